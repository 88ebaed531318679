"""Lecture 4's figures show the numbers they are given; its explorer shows what the model says."""

import html
import io
import itertools
import statistics
import time
import zlib

import ipywidgets
import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from elsewhere import Elsewhere
from IPython.core.formatters import DisplayFormatter
from PIL import Image
from torch import nn

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from course_utils import figures
from course_utils.data import load_image
from course_utils.figures.style import apart
from course_utils.imagenet import imagenet_classifier
from course_utils.models import Normalize
from course_utils.widgets import FastGradientExplorer

SIDE = 16


@pytest.fixture(autouse=True)
def clean():
    yield
    plt.close("all")


def test_equation_draws_the_pattern_around_grey():
    picture, pattern = torch.rand(3, 6, 6), torch.randint(-1, 2, (3, 6, 6)).float()
    total = (picture + 0.1 * pattern).clamp(0, 1)
    figure = figures.equation([picture, pattern, total], ["a", "b", "c"], plus="+ .1 ×")
    drawn = [ax.images[0].get_array() for ax in figure.axes if ax.images]
    for array, expected in zip(drawn, (picture, (pattern + 1) / 2, total), strict=True):
        assert np.allclose(array, expected.permute(1, 2, 0))
    assert [ax.get_xlabel() for ax in figure.axes if ax.images] == ["a", "b", "c"]
    assert [ax.texts[0].get_text() for ax in figure.axes if ax.texts] == ["+ .1 ×", "="]


def test_landscapes_share_one_scale_and_label_its_contours_by_the_loss():
    side = torch.linspace(0, 2, 9)
    maps = {"low": side[:, None].expand(9, 9), "high": 4 * side.expand(9, 9)}
    figure = figures.landscapes(maps, end=0.25, xlabel="across", ylabel="up")
    low, high, bar = figure.axes
    assert (low.get_xlabel(), low.get_ylabel(), high.get_title()) == ("across", "up", "high")
    assert bar.get_ylabel() == "loss"
    assert float(bar.get_yticklabels()[-1].get_text()) == pytest.approx(8)
    told = [sorted({float(text.get_text()) for text in ax.texts}) for ax in (low, high)]
    assert told[0] and max(told[0]) <= 2 and max(told[1]) > 2
    assert set(told[0]) <= {float(f"{level:.2g}") for level in (np.linspace(0, 8**0.5, 13) ** 2)}


def test_logit_lines_tell_each_line_by_its_class():
    steps, logits = torch.linspace(-1, 1, 5), torch.randn(5, 4)
    figure = figures.logit_lines(steps, {"one": logits, "two": 2 * logits}, label=2)
    for ax, values in zip(figure.axes, (logits, 2 * logits), strict=True):
        lines = [line for line in ax.lines if len(line.get_xdata()) == 5]
        for k, line in enumerate(lines):
            assert np.allclose(line.get_ydata(), values[:, k])
        assert np.argmax([line.get_linewidth() for line in lines]) == 2
        assert [text.get_text() for text in ax.texts] == ["0", "1", "2", "3"]
        heights = [text.get_position()[1] for text in ax.texts]
        assert np.argsort(heights).tolist() == values[-1].argsort().tolist()


@pytest.mark.parametrize("heights", [[1.0, 1.0, 1.0], [3.0, 0.0, 2.9, 9.0, 2.95], [0.0, 5.0]])
def test_labels_are_moved_apart_and_no_further_than_needed(heights):
    """Against every other choice on a grid around it."""
    least = 0.5
    moved = apart(heights, least=least)
    gaps = np.diff(sorted(moved))
    assert (gaps >= least - 1e-9).all()
    assert np.argsort(moved, kind="stable").tolist() == np.argsort(heights, kind="stable").tolist()
    cost = np.square(np.subtract(moved, heights)).sum()
    for shift in itertools.product((-0.05, 0, 0.05), repeat=len(heights)):
        other = np.add(moved, shift)
        if (np.diff(other[np.argsort(heights, kind="stable")]) >= least - 1e-9).all():
            assert np.square(other - heights).sum() >= cost - 1e-9


def test_curves_draw_every_column_of_every_table():
    tables = {
        what: pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, np.nan]}, [0, 0.3]) * factor
        for what, factor in (("error", 1), ("sure", 10))
    }
    figure = figures.curves(tables, mark=0.25)
    for ax, (what, table) in zip(figure.axes, tables.items(), strict=True):
        *lines, mark = ax.lines
        assert ax.get_ylabel() == what and set(mark.get_xdata()) == {0.25}
        for line, column in zip(lines, table, strict=True):
            assert np.array_equal(line.get_ydata(), table[column], equal_nan=True)
        assert len({line.get_linestyle() for line in lines}) == 2
    legend = figure.axes[-1].get_legend().get_texts()
    assert [text.get_text() for text in legend] == ["a", "b"]


def test_seeds_mark_each_run_and_print_the_mean():
    ax = figures.seeds({"none": [1.0, 2.0, 6.0], "noise": [1.5]}, xlabel="error")
    assert list(ax.lines[0].get_xdata()) == [1.0, 2.0, 6.0]
    assert list(ax.lines[1].get_xdata()) == [3.0, 3.0]
    assert [text.get_text() for text in ax.texts] == ["3.00", "1.50"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["none", "noise"]


@pytest.fixture
def model():
    """A linear classifier of small pictures, which answers as the real one does."""
    torch.manual_seed(0)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 7))
    classifier = nn.Sequential(Normalize((0.5,) * 3, (0.5,) * 3, size=SIDE), linear).eval()
    classifier.categories = [f"<{k}>" for k in range(7)]
    return classifier


@pytest.fixture
def pictures():
    generator = torch.Generator().manual_seed(1)
    return {name: torch.rand(3, SIDE, SIDE, generator=generator) for name in ("one", "two")}


def percents(shown):
    return [(int(name[1:-1]), percent) for name, percent in shown[1].items()]


def expected(model, picture, eps):
    """The moved picture and its five likeliest classes: the gradient of a linear model by hand."""
    weight = model[1][1].weight.detach()
    chances = model(picture[None])[0].softmax(0)
    label = chances.argmax()
    # The gradient of the cross-entropy is (chances - one-hot) @ weight, over std.
    error = chances - torch.eye(7)[label]
    sign = (error @ weight).sign().view_as(picture)
    moved = (picture + eps * sign).clamp(0, 1)
    chances, classes = model(moved[None])[0].softmax(0).topk(5)
    return moved, list(zip(classes.tolist(), (100 * chances).tolist(), strict=True))


@pytest.mark.parametrize(("name", "eps"), [("one", 0.007), ("one", 0.1), ("two", 0.0)])
def test_the_explorer_shows_what_the_model_says(model, pictures, name, eps):
    shown = FastGradientExplorer(model, pictures).frame(picture=name, eps=eps)
    moved, bars = expected(model, pictures[name], eps)
    pixels = torch.from_numpy(shown[0]).permute(2, 0, 1)
    assert (pixels - 255 * moved).abs().max() <= 0.51
    assert [k for k, _ in percents(shown)] == [k for k, _ in bars]
    assert np.allclose([p for _, p in percents(shown)], [p for _, p in bars], atol=1e-3)


def as_png(array, **options):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "png", **options)
    return file.getvalue()


def test_an_upload_joins_the_menu_and_is_shown(model, pictures):
    explorer = FastGradientExplorer(model, pictures)
    grey = np.full((40, 60, 3), 128, np.uint8)
    explorer.receive("mine.png", as_png(grey))
    assert list(explorer.known) == ["one", "two", "mine.png"]
    shown, _ = explorer.frame("mine.png", 0.0)
    assert shown.shape == (SIDE, SIDE, 3) and (shown == 128).all()
    explorer.receive("mine.png", as_png(grey // 2))  # another file of that name replaces it
    assert list(explorer.known) == ["one", "two", "mine.png"]
    shown = explorer.frame("mine.png", 0.05)
    moved, bars = expected(model, torch.full((3, SIDE, SIDE), 64 / 255), 0.05)
    assert [k for k, _ in percents(shown)] == [k for k, _ in bars]


def test_uploads_with_transparency_or_sixteen_bits_are_pictures(model, pictures):
    explorer = FastGradientExplorer(model, pictures)
    explorer.receive("clear.png", as_png(np.zeros((20, 20, 4), np.uint8)))
    assert (explorer.frame("clear.png", 0.0)[0] == 255).all()
    explorer.receive("deep.png", as_png(np.full((20, 20), 65535 // 2, np.uint16)))
    deep, _ = explorer.frame("deep.png", 0.0)
    assert abs(deep.astype(int) - 128).max() <= 1


def huge(*sides):
    """The head of a PNG of many pixels, with none in it."""
    head = bytearray(as_png(np.zeros((1, 1), np.uint8)))
    head[16:24] = b"".join(side.to_bytes(4, "big") for side in sides)
    head[29:33] = zlib.crc32(bytes(head[12:29])).to_bytes(4, "big")
    return bytes(head)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"<b>no picture</b>", "none of PNG"),
        (b"", "none of PNG"),
        (as_png(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))[:900], "read"),
        (huge(10_000, 10_000), "10000 x 10000 pixels, expected at most 50,000,000"),
        (huge(20_000, 15_000), "too many pixels, expected at most 50,000,000"),
    ],
    ids=["text", "empty", "cut short", "large", "huge"],
)
def test_a_bad_upload_is_told_so_and_changes_nothing(model, pictures, content, says):
    explorer = FastGradientExplorer(model, pictures)
    with pytest.raises(ValueError, match=says) as error:
        explorer.receive("bad.png", content)
    assert "name_or_path" not in str(error.value) and "bomb" not in str(error.value)
    assert list(explorer.known) == ["one", "two"]


def shown_by(widget):
    """The picture's pixels and the table's rows."""
    image, table = widget.children[-1].children
    return np.asarray(Image.open(io.BytesIO(image.value))), table.value


def test_every_move_shows_the_frame_of_that_place_and_costs_one(model, pictures, monkeypatch):
    explorer, seen = FastGradientExplorer(model, pictures), []
    frame = explorer.frame
    monkeypatch.setattr(explorer, "frame", lambda *at: seen.append(at) or frame(*at))
    widget = explorer.widget()
    menu, _, eps, *_ = widget.children
    assert (menu.options, eps.min, eps.max, eps.value) == (("one", "two"), 0, 0.1, 0.007)
    for control, value in ((eps, 0.05), (menu, "two"), (eps, 0.0)):
        seen.clear()
        control.value = value
        assert seen == [(menu.value, eps.value)]
        pixels, table = shown_by(widget)
        wanted, percent = frame(menu.value, eps.value)
        assert np.array_equal(pixels, wanted)
        for name, p in percent.items():
            assert f"{html.escape(name)}</td>" in table and f"width:{p:.1f}%" in table


def test_it_is_shown_as_its_widget_whatever_ipywidgets_asks_of_that(model, pictures, monkeypatch):
    shown = []
    monkeypatch.setattr("course_utils.widgets.fast_gradient.display", shown.append)
    explorer = FastGradientExplorer(model, pictures)
    assert DisplayFormatter().format(explorer) == ({}, {})
    assert [type(widget) for widget in shown] == [ipywidgets.VBox]


def test_uploads_join_the_menu_and_bad_ones_are_told_so(model, pictures):
    widget = FastGradientExplorer(model, pictures).widget()
    menu, upload, eps, message, _ = widget.children
    send = lambda name, content: upload._handle_custom_msg({"name": name}, [memoryview(content)])
    eps.value = 0.0
    send("<mine>", as_png(np.full((20, 20, 3), 7, np.uint8)))
    assert menu.options == ("one", "two", "<mine>") and menu.value == "<mine>"
    assert (shown_by(widget)[0] == 7).all() and message.value == ""
    send("<bad>", b"words")
    assert message.value.startswith("&lt;bad&gt;: ") and menu.value == "<mine>"
    send("<mine>", as_png(np.full((20, 20, 3), 9, np.uint8)))
    assert (shown_by(widget)[0] == 9).all() and message.value == ""


def test_a_move_takes_less_than_the_eye_notices():
    """In one thread's processor time, which other programs on the machine change little."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    classifier, times = imagenet_classifier("efficientnet_lite0"), []
    _, _, eps, *_ = (
        FastGradientExplorer(classifier, {"panda": load_image("panda", size=224)}).widget().children
    )
    for step in range(9):
        began = time.process_time()
        eps.value = 0.01 * (step + 1)
        times.append(time.process_time() - began)
    torch.set_num_threads(before)
    assert statistics.median(times) < 0.15, times


def test_pictures_are_moved_to_the_models_device(model, pictures):
    far = {name: picture.as_subclass(Elsewhere) for name, picture in pictures.items()}
    shown = FastGradientExplorer(model, far).frame("one", 0.01)
    assert percents(shown) == percents(FastGradientExplorer(model, pictures).frame("one", 0.01))


def test_no_picture_and_a_wrong_size_are_refused(model, pictures):
    with pytest.raises(ValueError, match="pictures: got none"):
        FastGradientExplorer(model, {})
    with pytest.raises(ValueError, match="images: got shape"):
        FastGradientExplorer(model, {"small": pictures["one"][:, :8]})


def test_the_model_is_left_as_it_was(model, pictures):
    model.train()
    FastGradientExplorer(model, pictures).frame("two", 0.05)
    assert model.training and all(p.grad is None for p in model.parameters())
