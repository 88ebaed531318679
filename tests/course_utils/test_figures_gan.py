"""Lecture 5's figures show the numbers they are given, and can be read without colour."""

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


def drawn(ax):
    """The labelled lines of an Axes."""
    return {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}


def told_apart(lines):
    return len({(line.get_linestyle(), line.get_marker()) for line in lines}) == len(lines)


def test_discriminators_stand_below_the_densities():
    points = torch.linspace(-2, 2, 9)
    densities = {"p": points.square(), "q": 1 + 0 * points}
    outputs = {"best": points.sigmoid(), "learned": (2 * points).sigmoid()}
    above, below = figures.discriminators(points, densities, outputs).axes
    for ax, curves in ((above, densities), (below, outputs)):
        lines = drawn(ax)
        assert list(lines) == list(curves)
        for name, values in curves.items():
            assert np.allclose(lines[name].get_xdata(), points)
            assert np.allclose(lines[name].get_ydata(), values)
    assert told_apart(drawn(above).values())
    best, learned = drawn(below).values()
    assert best.get_linewidth() > 3 * learned.get_linewidth()


def test_game_values_are_a_line_and_marks_between_the_ends():
    values = pd.DataFrame(
        {"2 JS": [-1.3, 0.0], "best": [-1.3, -0.1], "learned": [-1.4, -0.2]}, index=[0.0, 5.0]
    )
    ax = figures.game_values(values, xlabel="distance")
    lines = drawn(ax)
    for name, line in lines.items():
        assert np.allclose(line.get_xdata(), values.index)
        assert np.allclose(line.get_ydata(), values[name])
    assert [line.get_linestyle() for line in lines.values()] == ["-", "None", "None"]
    assert told_apart(lines.values())
    texts = {text.get_text(): text.get_position()[1] for text in ax.texts}
    assert texts == {"-log 4": pytest.approx(-np.log(4)), "0": 0}
    assert ax.get_xlabel() == "distance"


def test_saturation_draws_slopes_and_paths_in_one_style():
    logits = torch.linspace(-3, 3, 7)
    slopes = {"one": logits.sigmoid(), "two": (-logits).sigmoid()}
    paths = {"one": [5.0, 4.0, 3.0], "two": [5.0, 1.0, 0.0]}
    left, right = figures.saturation(logits, slopes, paths).axes
    for ax, curves in ((left, slopes), (right, paths)):
        for name, values in curves.items():
            assert np.allclose(drawn(ax)[name].get_ydata(), values)
    assert np.allclose(drawn(left)["one"].get_xdata(), logits)
    for name in slopes:
        assert drawn(left)[name].get_linestyle() == drawn(right)[name].get_linestyle()
    assert told_apart(drawn(left).values())


def test_sheets_lay_pictures_out_row_by_row():
    pictures = torch.rand(6, 1, 4, 5, generator=torch.Generator().manual_seed(0))
    figure = figures.sheets({"a": pictures, "b": 1 - pictures}, columns=3)
    assert [ax.get_title() for ax in figure.axes] == ["a", "b"]
    sheet = figure.axes[0].images[0].get_array()
    assert sheet.shape == (2 * 6, 3 * 7)
    for place, picture in enumerate(pictures):
        top, left = 6 * (place // 3) + 1, 7 * (place % 3) + 1
        assert np.array_equal(sheet[top : top + 4, left : left + 5], picture[0])
    assert figure.axes[0].images[0].get_clim() == (0, 1)


@pytest.mark.parametrize("count", [0, 7])
def test_a_sheet_is_of_full_rows(count):
    with pytest.raises(ValueError, match=f"images: got {count}, expected a multiple of 3"):
        figures.sheets({"a": torch.rand(count, 1, 4, 4)}, columns=3)


def test_shares_put_each_set_beside_its_class():
    table = pd.DataFrame({"real": [60.0, 40.0], "made": [95.0, 5.0], "live": [70.0, 30.0]})
    ax = figures.class_shares(table, least=3)
    lines = drawn(ax)
    for name, line in lines.items():
        assert np.allclose(line.get_ydata(), table[name])
        assert np.array_equal(np.round(line.get_xdata()), table.index)
    places = [line.get_xdata()[0] for line in lines.values()]
    assert len(set(places)) == 3 and told_apart(lines.values())
    assert "3 %" in [text.get_text() for text in ax.texts]


def test_the_plane_shows_points_arrows_and_answers_where_they_are():
    made, arrows = torch.tensor([[0.5, -1.0], [0.0, 1.0]]), torch.tensor([[0.1, 0.2], [0.3, -0.4]])
    answers, real = torch.rand(5, 5), torch.tensor([[1.0, 1.0]])
    panels = {"start": (made, arrows, answers), "end": (real, real, answers.T)}
    figure = figures.game_in_the_plane(panels, real, extent=1.6)
    first, second = figure.axes[:2]
    lines = drawn(first)
    assert np.allclose(lines["generated"].get_xydata(), made)
    assert np.allclose(lines["real"].get_xydata(), real)
    assert told_apart(lines.values())
    (quiver,) = [c for c in first.collections if hasattr(c, "U")]
    assert np.allclose(np.column_stack([quiver.U, quiver.V]), arrows)
    (shades,) = first.images
    assert shades.origin == "lower" and np.allclose(shades.get_array(), answers)
    assert [ax.get_title() for ax in (first, second)] == ["start", "end"]
    assert shades.get_extent() == [-1.6, 1.6, -1.6, 1.6]
