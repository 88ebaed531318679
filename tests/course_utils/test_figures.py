"""The figures show the numbers they are given, and can be read without colour."""

import re
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from elsewhere import elsewhere
from test_left_as_found import CALLS

from course_utils import figures
from course_utils.models import fully_connected

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def clean():
    with plt.rc_context():
        yield
    plt.close("all")


def pictures(figure):
    """Every picture drawn, as (array, colour limits), by rows."""
    return [(ax.images[0].get_array(), ax.images[0].get_clim()) for ax in figure.axes if ax.images]


def told_apart(lines):
    """Whether the lines differ in dashes and in markers, so that colour is not needed."""
    return all(
        len({getattr(line, what)() for line in lines}) == len(lines)
        for what in ("get_linestyle", "get_marker")
    )


def test_style_is_set_only_when_asked_for():
    before = dict(plt.rcParams)
    figures.digits([torch.rand(2, 1, 4, 4)])
    assert dict(plt.rcParams) == before
    figures.use_style()
    assert plt.rcParams["image.cmap"] == "gray" and plt.rcParams["font.size"] >= 10


def test_digits_draws_rows_with_grey_for_no_change():
    figures.use_style()
    rows = [torch.rand(3, 1, 5, 5), torch.rand(3, 1, 5, 5) - 0.5]
    figure = figures.digits(rows, names=["image", "r"], titles=[None, [7, 3, 5]], signed=[1])
    drawn = pictures(figure)
    assert len(drawn) == 6
    for (array, _), picture in zip(drawn, torch.cat(rows), strict=True):
        assert np.array_equal(array, picture[0])
    assert [limits for _, limits in drawn] == 3 * [(0, 1)] + 3 * [(-1, 1)]
    assert [ax.get_ylabel() for ax in figure.axes] == ["image", "", "", "r", "", ""]
    assert [ax.get_xlabel() for ax in figure.axes] == ["", "", "", "7", "3", "5"]


@pytest.mark.parametrize(
    ("lengths", "options", "says"),
    [
        ([2, 3], {}, r"rows: got \[2, 3\]"),
        ([0], {}, r"rows: got \[0\]"),
        ([2], {"names": ["a", "b"]}, "names: got 2, expected one for each of 1"),
        ([2, 2], {"titles": [None]}, "titles: got 1, expected one for each of 2"),
    ],
)
def test_digits_refuses_what_does_not_fit(lengths, options, says):
    with pytest.raises(ValueError, match=says):
        figures.digits([torch.rand(n, 1, 4, 4) for n in lengths], **options)
    assert not plt.get_fignums()


def test_equation_magnifies_the_perturbation_only():
    image, r = torch.rand(1, 5, 5), 0.1 * torch.randn(1, 5, 5)
    figure = figures.equation([image, r, image + r], ["a", "b", "c"], factor=4)
    drawn = pictures(figure)
    assert np.array_equal(drawn[0][0], image[0])
    assert np.allclose(drawn[1][0], 4 * r[0]) and drawn[1][1] == (-1, 1)
    assert np.array_equal(drawn[2][0], (image + r)[0])
    assert [ax.get_xlabel() for ax in figure.axes if ax.images] == ["a", "b", "c"]
    assert [ax.texts[0].get_text() for ax in figure.axes if ax.texts] == ["+", "="]


def test_descent_paths_counts_the_steps_and_marks_the_end():
    start, middle, end = [0.1, 0.2], [0.5, 0.5], [1.0, 0.7]
    paths = {"a": np.array([start, middle, end]), "b": np.array([start, end])}
    ax = figures.descent_paths(lambda p: (p**2).sum(-1), paths)
    first, second, start, end = ax.lines
    assert np.array_equal(first.get_xydata(), paths["a"])
    assert np.array_equal(second.get_xydata(), paths["b"])
    assert start.get_xydata().tolist() == [[0.1, 0.2]] and end.get_xydata().tolist() == [[1, 0.7]]
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts[:2] == ["a: 2 steps", "b: 1 steps"]
    assert told_apart([first, second])
    assert ax.patches[0].get_bbox().bounds == (0, 0, 1, 1)


def test_penalty_search_fills_the_points_that_reach_the_target():
    table = pd.DataFrame(
        {
            "c": [10, 1, 0.1],
            "||r||": [1.0, 2.0, 3.0],
            "P(target)": [1.0, 60.0, 99.0],
            "reached": [False, True, True],
        }
    )
    for ax, column in zip(figures.penalty_search(table).axes, ("||r||", "P(target)"), strict=True):
        hollow, filled = ax.collections
        assert hollow.get_offsets().tolist() == table[["c", column]].to_numpy()[:1].tolist()
        assert filled.get_offsets().tolist() == table[["c", column]].to_numpy()[1:].tolist()
        assert hollow.get_facecolor()[0, 0] == 1 and filled.get_facecolor()[0, 0] == 0
        assert ax.xaxis_inverted() and ax.get_xscale() == "log"


def test_histograms_count_every_image_and_mark_the_means():
    values = {"near": torch.linspace(0.01, 0.1, 30), "far": torch.linspace(0.2, 0.4, 50)}
    ax = figures.histograms(values, xlabel="distortion")
    near, far = ax.lines
    assert near.get_xdata()[0] == pytest.approx(0.055) and far.get_xdata()[0] == pytest.approx(0.3)
    assert near.get_linestyle() != far.get_linestyle()
    assert ax.patches[0].get_hatch() != ax.patches[1].get_hatch()
    for patch, value in zip(ax.patches, values.values(), strict=True):
        x, y = patch.get_xy().T
        area = abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2
        assert area / (0.4 / 49) == pytest.approx(len(value))  # 49 bins from 0 to the largest
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [
        "near (mean 0.055)",
        "far (mean 0.300)",
    ]


def test_number_table_prints_each_number_in_its_row_and_column():
    matrix = torch.arange(100.0).view(10, 10)
    matrix.fill_diagonal_(torch.nan)
    ax = figures.number_table(matrix, label="thousandths", rows="digit", columns="target")
    texts = {text.get_position(): text.get_text() for text in ax.texts}
    assert len(texts) == 100
    assert texts[(5, 2)] == "25" and texts[(2, 5)] == "52" and texts[(3, 3)] == "-"
    assert ax.get_title() == "thousandths"
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("digit", "target")


def test_agreement_puts_equal_values_on_the_diagonal():
    exact, ours = torch.tensor([0.1, 0.2]), torch.tensor([0.1, 0.25])
    diagonal, points = figures.agreement(exact, ours, label="distortion").lines
    assert np.allclose(points.get_xydata(), [[0.1, 0.1], [0.2, 0.25]])
    assert (diagonal.get_xdata() == diagonal.get_ydata()).all()


def test_probability_strip_shows_the_models_probabilities():
    model = fully_connected(10, inputs=16).train()
    image, r = torch.rand(1, 4, 4), 2 * torch.randn(1, 4, 4)
    figure = figures.probability_strip(model, image, r, label=2, target=6)
    assert model.training
    *strip, ax = figure.axes
    assert [small.get_title() for small in strip] == [
        f"t = {t:g}" for t in (0, 0.25, 0.5, 0.75, 1, 1.25, 1.5)
    ]
    assert np.array_equal(strip[0].images[0].get_array(), image[0])
    assert np.allclose(strip[4].images[0].get_array(), (image + r).clamp(0, 1)[0])
    *curves, at_one = ax.lines
    assert told_apart(curves) and set(at_one.get_xdata()) == {1}
    for t in (0.0, 0.6, 1.5):
        chances = 100 * model((image + t * r).clamp(0, 1)[None]).softmax(1)[0].detach()
        own, target = chances[2].item(), chances[6].item()
        at = np.abs(curves[0].get_xdata() - t).argmin()
        shown = [curve.get_ydata()[at].item() for curve in curves]
        assert shown == pytest.approx([own, target, 100 - own - target], abs=1e-2)


def table(values, *, rows="AB", columns="AB"):
    return pd.DataFrame(values, index=list(rows), columns=list(columns), dtype=float)


def test_probabilities_by_network_marks_the_true_class_and_the_target_by_words():
    chances = {"one": torch.tensor([0.2, 0.7, 0.1]), "two": torch.tensor([0.1, 0.1, 0.8])}
    figure = figures.probabilities_by_network(torch.rand(1, 4, 4), chances, label=0, target=1)
    _, first, second = figure.axes
    assert [text.get_text() for text in first.get_yticklabels()] == ["true 0", "target 1", "2"]
    for ax, values in zip((first, second), chances.values(), strict=True):
        assert np.allclose([bar.get_width() for bar in ax.patches], 100 * values)
        assert ax.get_title().endswith(f"says {values.argmax()}")


def test_beside_paper_prints_differences_and_is_bold_outside_the_interval():
    ours, paper = table([[100, 20], [30, 5]]), table([[100, 10], [31, 5]])
    figure = figures.beside_paper(ours, ours - 4, ours + 4, paper)
    first, second = figure.axes
    assert [ax.get_title() for ax in figure.axes] == ["made for A", "made for B"]
    texts = [(t.get_text(), t.get_weight()) for ax in (first, second) for t in ax.texts]
    assert texts == [("+0", "normal"), ("+10", "bold"), ("-1", "normal"), ("+0", "normal")]
    papers = [line for line in second.lines if line.get_marker() == "D"]
    assert len(papers) == 1 and papers[0].get_fillstyle() == "none"
    assert np.array_equal(papers[0].get_xdata(), [31, 5])
    dots = [line for line in second.lines if line.get_marker() == "o"]
    assert np.array_equal(dots[0].get_xdata(), [30, 5])


def test_curves_tell_six_columns_apart_and_mark_a_place():
    curves = pd.DataFrame(np.arange(18).reshape(3, 6), index=[0, 0.1, 0.2], columns=list("ABCDEF"))
    (ax,) = figures.curves({"error (%)": curves}, mark=0.05, marked="own").axes
    *drawn, mark = ax.lines
    assert len({line.get_marker() for line in drawn}) == len(drawn) == 6
    for line, (name, errors) in zip(drawn, curves.items(), strict=True):
        assert line.get_label() == name and np.array_equal(line.get_ydata(), errors)
        assert np.array_equal(line.get_xdata(), curves.index)
    assert list(mark.get_xdata()) == [0.05, 0.05] and ax.texts[0].get_text() == "own"
    assert ax.get_ylim() == (-2, 102) and ax.get_ylabel() == "error (%)"


def test_curves_share_a_legend_only_where_the_columns_are_the_same():
    one, other = table([[1, 2], [3, 4]], rows=[1, 10]), table([[5], [6]], rows=[1, 10], columns="A")
    for panels, legends in (
        ({"x": one, "y": one}, [False, True]),
        ({"x": one, "y": one.rename(columns={"A": "C"})}, [True, True]),
        ({"x": other}, [False]),
    ):
        axes = figures.curves(panels, log=True).axes
        assert [ax.get_legend() is not None for ax in axes] == legends
        assert axes[0].get_xscale() == "log"
        assert [tick.get_text() for tick in axes[0].get_xticklabels()] == ["1", "10"]


def test_number_table_prints_every_number_with_its_count():
    values, counts = table([[100, float("nan")], [25.4, 100]]), table([[9, 0], [3, 8]]).astype(int)
    ax = figures.number_table(
        values, label="share", rows="made for", columns="shown to", beneath=counts
    )
    assert [t.get_text() for t in ax.texts] == [
        "100",
        "of 9",
        "-",
        "of 0",
        "25",
        "of 3",
        "100",
        "of 8",
    ]
    assert ax.images[0].get_clim()[1] > 100  # so that black text can be read on every shade


def test_transfer_scatter_draws_each_ordered_pair_once():
    cosines, rates = table([[1, 0.5], [0.4, 1]]), table([[100, 20], [30, 100]])
    figure = figures.transfer_scatter({"l": rates, "r": rates + 1}, cosines, xlabel="cosine")
    for ax, shift in zip(figure.axes, (0, 1), strict=True):
        points = [(line.get_label(), *line.get_xdata(), *line.get_ydata()) for line in ax.lines]
        assert points == [("A", 0.5, 20 + shift), ("B", 0.4, 30 + shift)]
        assert len({line.get_marker() for line in ax.lines}) == 2


def test_transfer_scatter_takes_a_number_for_each_column():
    bounds = pd.Series([1.0, 10.0, 100.0], index=list("abc"))
    rates = table(np.arange(9.0).reshape(3, 3), rows="abc", columns="abc")
    (ax,) = figures.transfer_scatter({"": rates}, bounds, xlabel="bound", log=True).axes
    assert ax.get_xscale() == "log" and len({line.get_marker() for line in ax.lines}) == 3
    for line, name in zip(ax.lines, "abc"):
        others = [other for other in "abc" if other != name]
        assert line.get_label() == name
        assert line.get_xdata().tolist() == bounds[others].tolist()
        assert line.get_ydata().tolist() == rates.loc[name, others].tolist()


def test_the_device_that_is_made_up_is_as_hard_to_reach_as_a_real_one():
    with pytest.raises(TypeError):
        np.asarray(elsewhere(2))
    with pytest.raises(TypeError):
        elsewhere(2).detach().numpy()
    with pytest.raises(RuntimeError):
        elsewhere(2) + torch.rand(2)
    with pytest.raises(RuntimeError):
        torch.cat([elsewhere(2), torch.rand(2)])
    assert type((2 * elsewhere(2)).detach().cpu()) is torch.Tensor


FROM_ELSEWHERE = (
    "agreement certified_curves digits discriminators distances_by_network equation frequency_maps "
    "game_in_the_plane histograms landscapes logit_lines number_table patterns "
    "probabilities_by_network probability_strip saturation seeds sheets"
).split()


@pytest.mark.parametrize("name", FROM_ELSEWHERE)
def test_a_figure_takes_tensors_of_any_device(name):
    draw = getattr(figures, name)
    *arguments, options = CALLS[draw](
        fully_connected(3, inputs=12), elsewhere(4, 1, 4, 3), range(4)
    )
    draw(*arguments, **options)


def test_probability_strip_takes_the_pictures_to_the_models_device(monkeypatch):
    moved, model = [], fully_connected(10, inputs=16)
    place = next(model.parameters()).device
    move = torch.Tensor.to
    monkeypatch.setattr(torch.Tensor, "to", lambda t, *a, **k: moved.append(a) or move(t, *a, **k))
    figures.probability_strip(model, torch.rand(1, 4, 4), torch.rand(1, 4, 4), label=2, target=6)
    assert (place,) in moved


def test_lectures_draw_every_figure_and_none_that_is_not_there():
    drawn = set()
    for path in (ROOT / "notebooks").rglob("*.py"):
        drawn |= set(re.findall(r"\bfigures\.(\w+)\(", path.read_text(encoding="utf-8")))
    assert drawn == set(figures.__all__)
