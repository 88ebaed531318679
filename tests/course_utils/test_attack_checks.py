import pytest
import torch
from torch import nn

from course_utils.attacks import lbfgs_attack

NAN, INF = float("nan"), float("inf")


class Counting(nn.Module):
    """Class 1 where four pixels sum to 1.9; counts its calls, and answers what it is told to."""

    def __init__(self, answer=lambda logits: logits):
        super().__init__()
        self.linear, self.calls, self.answer = nn.Linear(4, 2), 0, answer
        with torch.no_grad():
            self.linear.weight.copy_(torch.tensor([[0.0], [1.0]]).expand(2, 4))
            self.linear.bias.copy_(torch.tensor([0.0, -1.9]))

    def forward(self, images):
        self.calls += 1
        return self.answer(self.linear(images.flatten(1)))


IMAGES = torch.linspace(0, 1, 12).view(3, 1, 2, 2)
TARGETS = torch.tensor([0, 1, 0])  # the last is not what the model says


def with_pixel(value: float) -> torch.Tensor:
    images = IMAGES.clone()
    images[2, 0, 1, 0] = value
    return images


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"images": with_pixel(1.001)}, ValueError, r"images: got values from 0 to 1\.001"),
        ({"images": with_pixel(-1e-6)}, ValueError, "images: got values from -1e-06"),
        ({"images": with_pixel(NAN)}, ValueError, "images: got values from nan"),
        ({"images": with_pixel(INF)}, ValueError, "images: got values from 0 to inf"),
        ({"images": IMAGES.numpy()}, TypeError, "images: got ndarray"),
        ({"images": (255 * IMAGES).byte()}, TypeError, r"images: got torch\.uint8"),
        ({"images": IMAGES.half()}, TypeError, r"images: got torch\.float16"),
        ({"images": torch.zeros(3)}, ValueError, r"images: got shape \(3,\)"),
        ({"images": torch.tensor(0.5)}, ValueError, r"images: got shape \(\)"),
        ({"images": IMAGES[:0], "targets": TARGETS[:0]}, ValueError, r"images: got shape \(0, 1"),
        ({"images": torch.zeros(3, 0)}, ValueError, r"images: got shape \(3, 0\)"),
        ({"targets": [0, 1, 0]}, TypeError, "targets: got list"),
        ({"targets": TARGETS.int()}, TypeError, r"targets: got torch\.int32"),
        ({"targets": TARGETS.float()}, TypeError, r"targets: got torch\.float32"),
        ({"targets": TARGETS[:2]}, ValueError, r"targets: got shape \(2,\), expected \(3,\)"),
        ({"targets": TARGETS[:, None]}, ValueError, r"targets: got shape \(3, 1\)"),
        ({"targets": TARGETS - 1}, ValueError, "targets: got -1"),
        ({"max_steps": 0}, ValueError, "max_steps: got 0"),
        ({"max_steps": 2.5}, ValueError, r"max_steps: got 2\.5"),
        ({"max_steps": True}, ValueError, "max_steps: got True"),
        ({"starts": 0}, ValueError, "starts: got 0"),
        ({"batch_size": -1}, ValueError, "batch_size: got -1"),
        ({"batch_size": 1.5}, ValueError, r"batch_size: got 1\.5"),
    ],
)
def test_bad_arguments_are_refused_before_the_model_is_asked(arguments, error, words):
    model = Counting()
    arguments = {"images": IMAGES, "targets": TARGETS} | arguments
    images, targets = arguments.pop("images"), arguments.pop("targets")
    with pytest.raises(error, match=words):
        lbfgs_attack(model, images, targets, **arguments)
    assert model.calls == 0


@pytest.mark.parametrize("model", [lambda images: images.flatten(1), nn.Linear, None])
def test_what_is_no_module_is_refused(model):
    with pytest.raises(TypeError, match="model: got"):
        lbfgs_attack(model, IMAGES, TARGETS)


@pytest.mark.parametrize(
    ("images", "targets", "words"),
    [
        (IMAGES, TARGETS + 1, "targets: got 2, expected 0 to 1"),
        (IMAGES.double(), TARGETS, r"images: got torch\.float64 .* does not take"),
        (torch.zeros(3, 5), TARGETS, r"images: .* shape \(3, 5\) .* does not take"),
    ],
)
def test_what_only_the_model_can_tell_costs_it_one_pass(images, targets, words):
    model = Counting()
    with pytest.raises(ValueError, match=words):
        lbfgs_attack(model, images, targets)
    assert model.calls == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda logits: logits * NAN, "model: gave logits that are NaN"),
        (lambda logits: logits - INF, "model: gave logits that are NaN or infinite"),
        (lambda logits: logits[:, 0], r"model: gave \(3,\), expected logits \(3, classes\)"),
        (lambda logits: logits[..., None], r"model: gave \(3, 2, 1\)"),
        (lambda logits: torch.cat([logits, logits]), r"model: gave \(6, 2\)"),
        (lambda logits: (logits, None), "model: gave tuple"),
        # One image of a batch gives NaN; one answer for all of them.
        (
            lambda logits: (
                logits.index_fill(0, torch.tensor([len(logits) - 1]), NAN)
                if len(logits) > 1
                else logits
            ),
            "model: gave logits that are NaN",
        ),
        (lambda logits: logits[:1], r"model: gave \(1, 2\), expected logits \(3, classes\)"),
        (lambda logits: logits.detach(), "model: its logits carry no gradient"),
    ],
)
def test_a_model_that_gives_no_logits_is_named(answer, words):
    model = Counting(answer).train()
    with pytest.raises(ValueError, match=words):
        lbfgs_attack(model, IMAGES, TARGETS)
    assert model.training
