"""Lecture 3's figures show the numbers they are given, and can be read without colour."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from course_utils import figures


@pytest.fixture(autouse=True)
def clean():
    with plt.rc_context():
        yield
    plt.close("all")


def test_a_function_that_leaves_its_cone_is_drawn_thick_there():
    figure = figures.cones(np.abs, constants=[1.0, 0.5])
    drawn = []
    for ax in figure.axes:
        curve, thick = ax.lines[0], ax.lines[1]
        assert np.allclose(curve.get_ydata(), np.abs(curve.get_xdata()))
        assert thick.get_linewidth() > 2 * curve.get_linewidth()
        drawn.append(np.isfinite(thick.get_ydata()).mean())
    assert drawn[0] == 0 and drawn[1] > 0.99
    assert [ax.get_title() for ax in figure.axes] == ["K = 1", "K = 0.5"]


@pytest.mark.parametrize("shape", [(8, 8), (7, 9)])
@pytest.mark.parametrize("peak", [(0, 0), (2, 5), (6, 1)])
def test_the_largest_frequency_is_marked_where_it_is(shape, peak):
    values = torch.ones(shape)
    values[peak] = 3.0
    figure = figures.frequency_maps({"layer": values})
    ax = figure.axes[0]
    (x,), (y,) = (ax.lines[0].get_xdata(), ax.lines[0].get_ydata())
    assert y == pytest.approx(np.fft.fftfreq(shape[0])[peak[0]])
    assert x == pytest.approx(np.fft.fftfreq(shape[1])[peak[1]])
    assert "largest 3" in ax.get_title()
    # The cell drawn there is the brightest.
    mesh = ax.collections[0]
    corners = mesh.get_coordinates()
    row, column = np.unravel_index(np.argmax(mesh.get_array()), shape)
    low, high = corners[row, column], corners[row + 1, column + 1]
    assert low[0] < x < high[0] and low[1] < y < high[1]
    assert ax.yaxis_inverted()


def test_patterns_have_zero_grey_and_colour_for_three_channels():
    pattern = torch.zeros(3, 2, 2)
    pattern[0, 0, 0], pattern[2, 1, 1] = 4.0, -2.0
    many = torch.zeros(5, 2, 2)
    many[1], many[3] = 0.1, torch.tensor([[1.0, -1.0], [0.0, 0.5]])
    shown = [pattern, many, torch.zeros(1, 2, 2)]
    figure = figures.patterns(shown, titles=["a", "b", "c"], beneath=["1", "2", "3"])
    colour, strongest, nothing = (ax.images[0].get_array() for ax in figure.axes)
    assert colour.shape == (2, 2, 3)
    assert colour[0, 0].tolist() == [1, 0.5, 0.5] and colour[1, 1].tolist() == [0.5, 0.5, 0.25]
    assert strongest.tolist() == [[1, 0], [0.5, 0.75]] and nothing.tolist() == [[0.5, 0.5]] * 2
    assert [ax.get_title() for ax in figure.axes] == ["a", "b", "c"]
    with pytest.raises(ValueError):
        figures.patterns([pattern], titles=["a", "b"], beneath=["1", "2"])


def test_trained_bounds_shows_every_bound():
    table = pd.DataFrame({"paper": [2.0, 3.0], "ours": [0.5, 0.7]}, index=["Conv. 1", "FC. 1"])
    bounds = pd.Series([1.0, 2.0, 2.1, 50.0])
    left, right = figures.trained_bounds(table, bounds, title="other").axes
    for line, (name, column) in zip(left.lines, table.items()):
        assert line.get_label() == name and line.get_xdata().tolist() == column.tolist()
    assert len({line.get_marker() for line in left.lines[:2]}) == 2
    assert sum(patch.get_height() for patch in right.patches) == len(bounds)
    assert left.get_xscale() == right.get_xscale() == "log"


def test_distances_by_network_draw_each_image_and_the_median():
    radii = {
        name: {"certified": torch.rand(9) + scale, "attack": torch.rand(9) + 5 * scale}
        for name, scale in [("a", 1.0), ("b", 2.0)]
    }
    ax = figures.distances_by_network(radii)
    strokes = [line for line in ax.lines if line.get_marker() == "|"]
    markers = [line for line in ax.lines if line.get_marker() != "|"]
    values = [values for kinds in radii.values() for values in kinds.values()]
    assert len(strokes) == len(markers) == len(values) == 4
    for stroke, marker, value in zip(strokes, markers, values):
        assert np.allclose(stroke.get_xdata(), value)
        assert np.allclose(marker.get_xdata(), np.median(value))
    heights = [marker.get_ydata().item() for marker in markers]
    assert heights == sorted(heights) and len(set(heights)) == 4
    assert markers[0].get_marker() != markers[1].get_marker()
    assert ax.get_xscale() == "log"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["certified", "attack"]


def test_the_axis_above_is_28_times_finer():
    ax = figures.distances_by_network({"a": {"certified": torch.tensor([0.28, 2.8])}})
    ax.figure.canvas.draw()
    above = ax.child_axes[0]
    assert np.allclose(above.get_xlim(), np.array(ax.get_xlim()) / 28)


def test_certified_curves_draw_the_mean_and_the_seeds():
    radii = torch.linspace(0, 1, 11)
    curves = {name: 100 * torch.rand(3, 11) for name in ("none", "penalty")}
    ax = figures.certified_curves(radii, curves)
    labelled = {line.get_label(): line for line in ax.lines}
    for name, values in curves.items():
        assert np.allclose(labelled[name].get_ydata(), values.mean(0))
    assert len(ax.lines) == 2 * (3 + 1)
    assert labelled["none"].get_linestyle() != labelled["penalty"].get_linestyle()
