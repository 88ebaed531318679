"""What every door does with a network: odd answers, full memory, other devices, odd networks."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from course_utils import inference
from course_utils.attacks import fgsm, lbfgs_attack, pgd, square
from course_utils.evaluation import certified_within, misread, nearest_mistake
from course_utils.inference import (
    WITH_GRADIENT,
    batches,
    dlr,
    in_batches,
    log_odds,
    logits_of,
    loss_and_gradient,
    margin,
    predict,
)
from course_utils.losses import adversarial_loss
from course_utils.models import fully_connected
from course_utils.training import error_rate, fit, fit_linear
from course_utils.transfer import draw_targets, same_mistakes, transfer_table

FULL = "CUDA out of memory. Tried to allocate 2.00 GiB"


def digits(count: int = 6, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 1, 3, 4, generator=generator), torch.arange(count) % 3


# Every door through which a network is asked, as (model, images, labels) to anything.
DOORS = {
    "predict": lambda model, x, y: predict(model, x),
    "error_rate": error_rate,
    "transfer_table": lambda model, x, y: transfer_table({"A": model}, {"A": x}, y).errors,
    "same_mistakes": lambda model, x, y: same_mistakes({"A": model}, {"A": x}, y)[1],
    "draw_targets": lambda model, x, y: draw_targets(
        y, how="runner-up", model=model, images=x, classes=3
    ),
    "fgsm": lambda model, x, y: fgsm(model, x, y, eps=0.1),
    "pgd": lambda model, x, y: pgd(model, x, y, eps=0.1, step=0.05, steps=2),
    "lbfgs_attack": lambda model, x, y: lbfgs_attack(model, x, y, max_steps=5).images,
}
every_door = pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)


def equal(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    return one == other if isinstance(one, float) else one.equals(other)


class Answers(nn.Module):
    """A linear network whose answer is changed on the way out, and its images on the way in."""

    def __init__(self, out=lambda logits: logits, into=lambda images: images):
        super().__init__()
        self.linear = fully_connected(3, inputs=12, seed=1)
        self.out, self.into = out, into

    def forward(self, images):
        return self.out(self.linear(self.into(images)))


@every_door
@pytest.mark.parametrize(
    ("out", "words"),
    [
        (lambda logits: logits[..., None, None], r"gave \(6, 3, 1, 1\), expected logits"),
        (lambda logits: logits[:, :1], r"gave \(6, 1\), expected .*at least two classes"),
        (lambda logits: (logits, None), "gave tuple, expected logits"),
        (lambda logits: {"logits": logits}, "gave dict, expected logits"),
        (lambda logits: logits * torch.nan, "gave logits that are NaN"),
    ],
)
def test_what_is_no_logits_is_said_at_every_door(door, out, words):
    with pytest.raises(ValueError, match=f"model: {words}"):
        door(Answers(out), *digits())


@every_door
def test_a_network_that_works_in_place_changes_no_image(door):
    images, labels = digits()
    kept = images.clone()
    found = door(Answers(into=lambda images: images.sub_(0.13)), images, labels)
    assert torch.equal(images, kept)
    assert equal(found, door(Answers(into=lambda images: images - 0.13), images, labels))


@every_door
def test_full_memory_is_no_fault_of_the_images(door):
    def fill(images):
        raise torch.OutOfMemoryError(FULL)

    with pytest.raises(torch.OutOfMemoryError, match="Tried to allocate"):
        door(Answers(into=fill), *digits())


@every_door
def test_batches_are_halved_until_they_fit(door):
    sizes = []

    def narrow(images):
        sizes.append(len(images))
        if len(images) > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ...")
        return images

    found, images, labels = door(Answers(into=narrow), *digits()), *digits()
    assert max(sizes) == 6 and sizes.count(6) < len(sizes)
    plain = door(Answers(), images, labels)
    if isinstance(found, torch.Tensor) and found.is_floating_point():
        torch.testing.assert_close(found, plain, rtol=1e-3, atol=1e-4)
    elif isinstance(found, torch.Tensor) or isinstance(found, float):
        assert equal(found, plain)


def test_a_batch_size_that_was_asked_for_is_kept():
    sizes = []

    def count(images):
        sizes.append(len(images))
        return images

    model, (images, labels) = Answers(into=count), digits(9)
    predict(model, images, batch_size=4)
    assert sizes == [4, 5]  # the ninth joins the last batch: alone it is none for batch norm
    sizes.clear()
    lbfgs_attack(model, images, labels, max_steps=3, batch_size=3)
    assert max(sizes) == 3
    for bad in (0, 2.5, True):
        with pytest.raises(ValueError, match="batch_size: got"):
            predict(model, images, batch_size=bad)


@given(st.integers(1, 40), st.integers(1, 12))
def test_no_batch_of_one_is_left_over(count, size):
    rows = torch.arange(count)
    parts = list(batches(rows, size))
    assert torch.equal(torch.cat(parts), rows)
    assert all(len(part) == size for part in parts[:-1])
    assert len(parts[-1]) <= size + 1
    assert size == 1 or count == 1 or len(parts[-1]) > 1


def test_the_default_batch_follows_the_images_size_and_the_memory(monkeypatch):
    sizes = []

    def note(images):
        sizes.append(len(images))
        return (images.sum(1),)

    monkeypatch.setattr(inference, "free_memory", lambda device: 40 * WITH_GRADIENT)
    in_batches(note, torch.rand(7, 5), batch_size=None)
    in_batches(note, torch.rand(4, 5).double(), batch_size=None)
    in_batches(note, torch.rand(2, 500), batch_size=None)  # larger than the memory: one by one
    assert sizes == [2, 2, 3, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("name", ["fgsm", "pgd", "lbfgs_attack"])
def test_a_network_made_in_inference_mode_can_be_attacked(name):
    images, labels = digits()
    with torch.inference_mode():
        model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(12), fully_connected(3, inputs=12))
        inside = DOORS[name](model, images, labels)
    plain = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(12), fully_connected(3, inputs=12))
    expected = DOORS[name](plain, images, labels)
    assert equal(DOORS[name](model, images, labels), expected)
    assert equal(inside, expected)
    assert model.training and model[1].weight.is_inference()


@every_door
def test_batch_norm_without_running_statistics_gets_its_batch(door):
    model = nn.Sequential(
        nn.Flatten(), nn.BatchNorm1d(12, track_running_stats=False), fully_connected(3, inputs=12)
    )
    door(model, *digits())


class Elsewhere(torch.Tensor):
    """Labels on another device, as far as a machine without one can tell."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function is torch.Tensor.to:
            return args[0].as_subclass(torch.Tensor)
        tensors = [one for one in args if isinstance(one, torch.Tensor)]
        if any(type(one) is not Elsewhere for one in tensors):
            raise RuntimeError("Expected all tensors to be on the same device")
        return super().__torch_function__(function, types, args, kwargs or {})


ON_LABELS = DOORS | {
    "fit": lambda model, x, y: fit(model, x, y, epochs=1, batch_size=4, progress=False)["loss"],
    "fit_linear": lambda model, x, y: fit_linear(
        model, x, y, weight_decay=1.0, iterations=3, progress=False
    )["loss"],
}


ON_LABELS |= {
    "square": lambda model, x, y: square(model, x, y, eps=0.1, queries=3),
    "misread": lambda model, x, y: misread(model, x, y, eps=0.1, attack="one step"),
    "nearest_mistake": nearest_mistake,
    "certified_within": lambda model, x, y: certified_within(model, x, y, eps=0.1),
}


@pytest.mark.parametrize("name", sorted(set(ON_LABELS) - {"predict"}))
def test_labels_are_moved_to_the_images(name):
    images, labels = digits()
    model = fully_connected(3, inputs=12)
    with pytest.raises(RuntimeError, match="same device"):
        labels.as_subclass(Elsewhere) == torch.arange(6)  # noqa: B015
    ON_LABELS[name](model, images, labels.as_subclass(Elsewhere))


@given(st.integers(0, 99), st.integers(3, 6))
def test_the_losses_are_their_formulas(seed, classes):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(5, classes, generator=generator, dtype=torch.float64)
    labels = torch.randint(classes, (5,), generator=generator)
    p = logits.softmax(1).gather(1, labels[:, None])[:, 0]
    torch.testing.assert_close(log_odds(logits, labels), ((1 - p) / p).log())
    for row, label, gap, ratio in zip(
        logits.tolist(), labels.tolist(), margin(logits, labels), dlr(logits, labels)
    ):
        rival = max(value for k, value in enumerate(row) if k != label)
        first, _, third, *_ = sorted(row, reverse=True)
        assert gap.item() == pytest.approx(rival - row[label])
        assert ratio.item() == pytest.approx((rival - row[label]) / (first - third))
    assert ((margin(logits, labels) > 0) == (logits.argmax(1) != labels)).all()


def test_the_loss_of_a_label_that_the_model_does_not_have():
    images, labels = digits()
    with pytest.raises(ValueError, match="labels: got 2, expected 0 to 1"):
        loss_and_gradient(fully_connected(2, inputs=12), images, labels)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_network_may_compute_in_another_precision_than_its_images(dtype):
    images, labels = digits()
    model = Answers(into=lambda images: images.to(dtype)).to(dtype)
    for door in (DOORS["fgsm"], DOORS["pgd"]):
        assert door(model, images, labels).dtype == torch.float32
    targets = (predict(model, images) + 1) % 3
    found, plain = (lbfgs_attack(one, images, targets) for one in (model, Answers()))
    assert found.images.dtype == torch.float32
    torch.testing.assert_close(found.distortion, plain.distortion, rtol=0.1, atol=0.02)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_refused_by_name(dtype):
    images, labels = digits()
    for door in DOORS.values():
        with pytest.raises(TypeError, match="expected float32 or float64"):
            door(fully_connected(3, inputs=12).to(dtype), images.to(dtype), labels)


def test_logits_are_those_of_eval_mode():
    model = nn.Sequential(nn.Dropout(0.9), fully_connected(3, inputs=12)).train()
    images, _ = digits()
    assert torch.equal(logits_of(model, images), model[1](images)) and model.training


def test_an_adversarial_step_asks_the_network_for_no_more_than_it_needs():
    calls = []
    model, (images, labels) = fully_connected(3, inputs=12), digits()
    model.register_forward_hook(lambda _, inputs, __: calls.append(len(inputs[0])))
    adversarial_loss(model, images, labels, eps=0.1)
    assert calls == [6, 12]  # the slope; the images and the perturbed ones


def test_the_attacks_load_nothing_heavy():
    code = "import sys, course_utils.attacks; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {
        "requests",
        "pandas",
        "matplotlib",
        "IPython",
        "jupyter",
        "ipywidgets",
        "torchvision",
        "scipy",
        "pooch",
    }
    assert not heavy & set(run.stdout.split())
