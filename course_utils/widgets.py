"""Pictures that answer to a slider, for lectures that run in a notebook."""

import io
from collections.abc import Mapping

import ipywidgets
import numpy as np
import torch
from PIL import Image
from torch import nn

from course_utils.attacks import lbfgs_attack
from course_utils.models import eval_mode
from course_utils.transfer import amplify, transfer_table

ZOOM = 8  # screen pixels for each pixel of an image
GAP = 16  # screen pixels between two images
LARGEST = 1.5  # the slider's end


def perturbation_explorer(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor
) -> ipywidgets.VBox:
    """Choose a digit and a target, then scale the perturbation and watch the probabilities.

    All perturbations are computed here, at once, by `lbfgs_attack`; the slider only scales them.
    The images x + t r are clipped to [0, 1], which matters beyond t = 1. On the left is t r, with
    grey for 0.

    Args:
        model: images (N, 1, H, W) to logits (N, classes).
        images: the digits to choose from, (N, 1, H, W) in [0, 1]; about ten.
        labels: (N,), their classes.

    Returns:
        A VBox of three rows: the two menus; the slider; the picture (an Image) and the
        probabilities (an HTML).

    Raises:
        ValueError, TypeError: as `lbfgs_attack`, for images that are not as described; or not as
            many labels as images.
    """
    if len(images) != len(labels):
        raise ValueError(f"labels: got {len(labels)}, expected one for each of {len(images)}")
    with eval_mode(model), torch.no_grad():
        classes = model(images[:1]).shape[1]
    pairs = torch.cartesian_prod(torch.arange(len(images)), torch.arange(classes))
    result = lbfgs_attack(
        model, images[pairs[:, 0]], pairs[:, 1].to(images.device), progress=False
    )
    perturbations = result.perturbation.unflatten(0, (len(images), classes))

    digit = ipywidgets.Dropdown(
        options=[(_name(i, labels), i) for i in range(len(labels))], description="digit"
    )
    target = ipywidgets.Dropdown(
        options=range(classes), value=(int(labels[0]) + 1) % classes, description="target"
    )
    scale = ipywidgets.FloatSlider(
        value=1.0, min=0.0, max=LARGEST, step=0.05, description="t", readout_format=".2f"
    )
    picture = ipywidgets.Image(format="png")
    chances = ipywidgets.HTML()

    def show(change: object = None) -> None:
        perturbation = scale.value * perturbations[digit.value, target.value]
        image = (images[digit.value] + perturbation).clamp(0, 1)
        with eval_mode(model), torch.no_grad():
            probabilities = model(image[None])[0].softmax(0).tolist()
        size = (image - images[digit.value]).square().mean().sqrt().item()
        picture.value = _png((perturbation + 1) / 2, image)
        chances.value = _bars(probabilities, target.value, size)

    for control in (digit, target, scale):
        control.observe(show, names="value")
    show()
    return ipywidgets.VBox([
        ipywidgets.HBox([digit, target]),
        scale,
        ipywidgets.HBox([picture, chances]),
    ])


def transfer_explorer(
    models: Mapping[str, nn.Module],
    images: torch.Tensor,
    adversarial: Mapping[str, torch.Tensor],
    labels: torch.Tensor,
) -> ipywidgets.VBox:
    """Choose the network that images were made for and an amplification; watch all errors.

    Each perturbation is scaled to the slider's root mean square per pixel and not clipped, as by
    `course_utils.transfer.amplify`. At 0 the images are the originals.

    Args:
        models, labels: as for `course_utils.transfer.transfer_table`.
        images: the originals, (N, ...).
        adversarial: name to adversarial images (N, ...), one set for each entry of the menu.

    Returns:
        A VBox of three rows: the menu; the slider; the error bars (an HTML).

    Raises:
        ValueError, TypeError: as `transfer_table` and `amplify`.
    """
    source = ipywidgets.Dropdown(options=list(adversarial), description="made for")
    stddev = ipywidgets.FloatSlider(
        value=0.1, min=0.0, max=0.3, step=0.01, description="distortion", readout_format=".2f"
    )
    errors = ipywidgets.HTML()

    def show(change: object = None) -> None:
        moved = amplify(images, adversarial[source.value] - images, stddev.value)
        row = transfer_table(models, {source.value: moved}, labels).errors.loc[source.value]
        errors.value = _error_bars(row.to_dict(), source.value)

    for control in (source, stddev):
        control.observe(show, names="value")
    show()
    return ipywidgets.VBox([source, stddev, errors])


def _error_bars(errors: Mapping[str, float], source: str) -> str:
    """Error rates as a table of bars; the network that the images were made for in bold."""
    rows = [
        f'<tr style="font-weight:{"bold" if name == source else "normal"};line-height:1.3">'
        f'<td style="width:9em">{name}</td>'
        f'<td style="width:16em"><div style="width:{error:.1f}%;height:0.9em;'
        'background:#555"></div></td>'
        f'<td style="text-align:right;width:4.5em">{error:.1f} %</td></tr>'
        for name, error in errors.items()
    ]
    return f"<table>{''.join(rows)}</table>"


def _name(index: int, labels: torch.Tensor) -> str:
    """An image's entry in the menu: its label, and its number where labels repeat."""
    label = int(labels[index])
    return f"{label}" if int((labels == label).sum()) == 1 else f"{label} (image {index})"


def _png(*pictures: torch.Tensor) -> bytes:
    """Grey pictures (1, H, W) in [0, 1], side by side and enlarged, as PNG."""
    squares = []
    for picture in pictures:
        pixels = picture.clamp(0, 1).mul(255).round().squeeze(0).cpu().numpy().astype(np.uint8)
        squares += [np.kron(pixels, np.ones((ZOOM, ZOOM), np.uint8))]
        squares += [np.full((len(squares[0]), GAP), 255, np.uint8)]
    file = io.BytesIO()
    Image.fromarray(np.hstack(squares[:-1])).save(file, "png", compress_level=1)
    return file.getvalue()


def _bars(probabilities: list[float], target: int, size: float) -> str:
    """The probabilities as a table of bars; the largest in bold, the target marked by a word."""
    best = max(range(len(probabilities)), key=probabilities.__getitem__)
    rows = []
    for label, probability in enumerate(probabilities):
        weight = "bold" if label == best else "normal"
        rows.append(
            f'<tr style="font-weight:{weight};line-height:1.3">'
            f"<td>{label}</td>"
            f'<td style="width:12em"><div style="width:{100 * probability:.1f}%;height:0.9em;'
            'background:#555"></div></td>'
            f'<td style="text-align:right;width:4.5em">{100 * probability:.1f} %</td>'
            f"<td>{'target' if label == target else ''}</td></tr>"
        )
    return (
        f"<p>Prediction: <b>{best}</b>. Distortion: {size:.4f}.</p>"
        f"<table>{''.join(rows)}</table>"
    )
