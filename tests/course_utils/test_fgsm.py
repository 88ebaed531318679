import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from course_utils.attacks import fgsm
from course_utils.inference import loss_and_gradient
from course_utils.models import RBF, fully_connected

NAN, INF = float("nan"), float("inf")
IMAGES = torch.linspace(0, 1, 36).view(3, 1, 3, 4)
LABELS = torch.tensor([0, 1, 2])


def digits(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 1, 3, 4, generator=generator)
    return images, torch.randint(3, (count,), generator=generator)


@given(
    st.integers(1, 6),
    st.integers(0, 99),
    st.sampled_from([0.0, 0.007, 0.25, 2.0]),
    st.sampled_from([(0, 1), (-0.1, 1.5), (-INF, INF)]),
    st.booleans(),
)
def test_two_classes_have_a_closed_form(count, seed, eps, bounds, targeted):
    # Logistic regression: whatever the image, the loss falls along w_label - w_other.
    images, labels = digits(count, seed)
    labels = labels % 2
    model = fully_connected(2, inputs=12, seed=seed)
    weight = model[1].weight.detach().view(2, 1, 3, 4)
    signs = (weight[1 - labels] - weight[labels]).sign() * (-1 if targeted else 1)
    moved = fgsm(model, images, labels, eps=eps, bounds=bounds, targeted=targeted)
    torch.testing.assert_close(moved, (images + eps * signs).clamp(*bounds), rtol=0, atol=1e-7)


@given(st.integers(1, 6), st.integers(0, 99), st.booleans())
def test_the_sign_is_that_of_the_cross_entropys_numerical_slope(count, seed, targeted):
    images, labels = digits(count, seed)
    model = fully_connected(5, 3, inputs=12, seed=seed).double()
    images = images.double()
    moved = fgsm(model, images, labels, eps=0.25, bounds=(-INF, INF), targeted=targeted)
    step = 1e-5 * torch.eye(12, dtype=torch.float64).view(12, 1, 1, 3, 4)
    around = torch.stack([images + step, images - step]).flatten(0, 2)
    with torch.no_grad():
        losses = F.cross_entropy(model(around), labels.repeat(24), reduction="none")
    ahead, behind = losses.view(2, 12, count)
    slope = ((ahead - behind).T / 2e-5).view_as(images)
    sure = slope.abs() > 1e-7
    assert sure.any()
    signs = slope.sign() * (-1 if targeted else 1)
    torch.testing.assert_close(moved[sure], (images + 0.25 * signs)[sure])


def test_eps_0_returns_the_images():
    model = fully_connected(4, 3, inputs=12)
    moved = fgsm(model, IMAGES, LABELS, eps=0)
    assert torch.equal(moved, IMAGES) and moved is not IMAGES
    assert torch.equal(moved.signbit(), IMAGES.signbit())


def test_a_pixel_that_does_not_matter_stays():
    model = fully_connected(4, 3, inputs=12)
    with torch.no_grad():
        model[1].weight[:, 5] = 0
    moved = fgsm(model, IMAGES, LABELS, eps=0.1, bounds=(-INF, INF)) - IMAGES
    stays = torch.arange(12) == 5
    assert (moved.flatten(1)[:, stays] == 0).all()
    torch.testing.assert_close(moved.flatten(1)[:, ~stays].abs(), torch.full((3, 11), 0.1))


def test_a_network_too_sure_for_a_slope_is_attacked_all_the_same():
    model = fully_connected(2, inputs=12)
    with torch.no_grad():
        model[1].weight.mul_(1000)
        model[1].bias.copy_(torch.tensor([1e4, 0.0]))
    labels = torch.zeros(3, dtype=torch.int64)
    images = IMAGES.clone().requires_grad_()
    (slope,) = torch.autograd.grad(F.cross_entropy(model(images), labels), images)
    assert (slope == 0).all()  # the softmax is 1 to the last bit
    signs = (model[1].weight[1] - model[1].weight[0]).sign().view(1, 1, 3, 4)
    expected = (IMAGES + 0.25 * signs).clamp(0, 1)
    torch.testing.assert_close(fgsm(model, IMAGES, labels, eps=0.25), expected)


@given(st.integers(0, 99))
def test_the_odds_and_the_cross_entropy_say_the_same(seed):
    images, labels = digits(4, seed)
    model = fully_connected(5, 3, inputs=12, seed=seed).double()
    odds, slope = loss_and_gradient(model, images.double(), labels)
    images = images.double().requires_grad_()
    losses = F.cross_entropy(model(images), labels, reduction="none")
    (by_images,) = torch.autograd.grad(losses.sum(), images)
    torch.testing.assert_close(odds.exp().log1p(), losses.detach())
    torch.testing.assert_close(odds.sigmoid().view(-1, 1, 1, 1) * slope, by_images)


def test_batches_do_not_show():
    images, labels = digits(7, 0)
    model = fully_connected(4, 3, inputs=12)
    whole = fgsm(model, images, labels, eps=0.1)
    assert torch.equal(fgsm(model, images, labels, eps=0.1, batch_size=2), whole)


@pytest.mark.parametrize("inference", [False, True])
def test_everything_is_left_as_found(inference):
    model = fully_connected(6, 3, inputs=12, dropout=(0.2, 0.5)).train()
    model[1].eval()
    images = IMAGES.clone().requires_grad_()
    before = torch.get_rng_state()
    with torch.inference_mode(inference):
        first, second = (fgsm(model, images, LABELS, eps=0.1) for _ in range(2))
    assert torch.equal(first, second)  # without dropout
    assert model.training and not model[1].training and model[2].training
    assert images.grad is None and all(p.grad is None for p in model.parameters())
    assert not first.requires_grad and torch.equal(images.detach(), IMAGES)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_images_keep_their_type(dtype):
    moved = fgsm(RBF(3, 12).to(dtype), IMAGES.to(dtype), LABELS, eps=0.1)
    assert moved.dtype == dtype and moved.shape == IMAGES.shape


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"eps": -0.1}, ValueError, r"eps: got -0\.1"),
        ({"eps": NAN}, ValueError, "eps: got nan"),
        ({"eps": INF}, ValueError, "eps: got inf"),
        ({"eps": "0.1"}, TypeError, "eps: got '0.1'"),
        ({"eps": True}, TypeError, "eps: got True"),
        ({"bounds": (1, 0)}, ValueError, r"bounds: got \(1, 0\)"),
        ({"bounds": (0, 0)}, ValueError, r"bounds: got \(0, 0\)"),
        ({"bounds": (0, NAN)}, ValueError, "bounds: got"),
        ({"bounds": 1}, TypeError, "bounds: got 1"),
        ({"bounds": (0, 0.5, 1)}, TypeError, "bounds: got"),
        ({"bounds": (0, 0.9)}, ValueError, r"images: got values from 0 to 1, .* \[0, 0\.9\]"),
        ({"images": 2 * IMAGES}, ValueError, "images: got values from 0 to 2"),
        ({"images": IMAGES / 0, "bounds": (-INF, INF)}, ValueError, "images: got values"),
        ({"images": (255 * IMAGES).byte()}, TypeError, "images: got torch.uint8"),
        ({"labels": LABELS - 1}, ValueError, "labels: got -1"),
        ({"labels": LABELS + 1}, ValueError, "labels: got 3, expected 0 to 2"),
        ({"labels": LABELS[:2]}, ValueError, "labels: got shape"),
        ({"labels": LABELS.float()}, TypeError, "labels: got torch.float32"),
        ({"model": torch.relu}, TypeError, "model: got"),
        ({"images": torch.zeros(3, 5)}, ValueError, "does not take"),
    ],
)
def test_bad_arguments_are_refused(options, error, words):
    arguments = {"model": fully_connected(3, inputs=12), "images": IMAGES, "labels": LABELS}
    arguments |= {"eps": 0.1} | options
    given = [arguments.pop(name) for name in ("model", "images", "labels")]
    with pytest.raises(error, match=words):
        fgsm(*given, **arguments)


class Answering(nn.Module):
    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, images):
        return self.answer(images.flatten(1)[:, :3])


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda logits: logits * NAN, "logits that are NaN"),
        (lambda logits: logits.detach(), "carry no gradient"),
        (lambda logits: (logits - logits.detach()).sqrt(), "slopes are NaN or infinite"),
        (lambda logits: logits[:, 0], "expected logits"),
    ],
)
def test_a_model_without_usable_slopes_is_named(answer, words):
    with pytest.raises(ValueError, match=f"model: .*{words}"):
        fgsm(Answering(answer), IMAGES, LABELS, eps=0.1)
