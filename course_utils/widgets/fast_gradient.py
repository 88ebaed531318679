"""Lecture 4's explorer: the fast gradient sign on photographs."""

import html
from collections.abc import Mapping

import ipywidgets
import torch
from torch import nn

from course_utils.data import load_image
from course_utils.models import eval_mode, odds_of_error
from course_utils.widgets.parts import bars, picture_widget, png

LARGEST = 0.1  # the slider's end
TOP = 5  # classes shown


def fast_gradient_explorer(
    model: nn.Module, pictures: Mapping[str, torch.Tensor]
) -> ipywidgets.VBox:
    """Choose or upload a picture, and move it along the sign of its gradient.

    The label to get away from is the one that the model gives to the untouched picture. The
    gradient is computed once for each picture; a move of the slider costs one forward pass. An
    upload, cut to the model's square, joins the menu; a file that is no picture is told so.

    Args:
        model: as `course_utils.models.imagenet_classifier` gives it: images (N, 3, S, S) in
            [0, 1] to logits, with S at `model[0].size` and names at `model.categories`.
        pictures: name to picture (3, S, S) in [0, 1], the entries of the menu.

    Returns:
        A VBox of four rows: the menu and the upload; the slider; a message (an HTML); the moved
        picture (an Image) and the likeliest classes (an HTML).

    Raises:
        ValueError, TypeError: no picture, or one that the model refuses.
    """
    if not pictures:
        raise ValueError("pictures: got none, expected at least one")
    known = dict(pictures)
    signs: dict[str, torch.Tensor] = {}

    def sign(name: str) -> torch.Tensor:
        if name not in signs:
            picture = known[name][None]
            with eval_mode(model):
                label = model(picture).argmax(1)
                signs[name] = odds_of_error(model, picture, label)[1][0].sign()
        return signs[name]

    for name in known:
        sign(name)
    menu = ipywidgets.Dropdown(options=list(known), description="picture")
    upload = ipywidgets.FileUpload(accept="image/*", description="your own")
    eps = ipywidgets.FloatSlider(
        value=0.007, min=0.0, max=LARGEST, step=0.001, description="eps", readout_format=".3f"
    )
    message, answers = ipywidgets.HTML(), ipywidgets.HTML()
    shown = picture_widget()

    def show(change: object = None) -> None:
        picture = (known[menu.value] + eps.value * sign(menu.value)).clamp(0, 1)
        with eval_mode(model), torch.no_grad():
            chances, classes = model(picture[None])[0].softmax(0).topk(TOP)
        names = [model.categories[k] for k in classes.tolist()]
        shown.value = png(picture.permute(1, 2, 0).cpu().numpy())
        percent = dict(zip(names, (100 * chances).tolist(), strict=True))
        answers.value = bars(percent, bold=names[0])

    def receive(change: object) -> None:
        if not upload.value:
            return
        file = upload.value[0]
        try:
            known[file["name"]] = load_image(bytes(file["content"]), size=model[0].size)
        except ValueError as error:
            reason = str(error).removeprefix("name_or_path: ")
            message.value = html.escape(f"{file['name']}: {reason}")
            return
        message.value = ""
        signs.pop(file["name"], None)  # another file of the same name
        menu.options = list(known)
        menu.value = file["name"]
        show()

    for control in (menu, eps):
        control.observe(show, names="value")
    upload.observe(receive, names="value")
    show()
    return ipywidgets.VBox([
        ipywidgets.HBox([menu, upload]),
        eps,
        message,
        ipywidgets.HBox([shown, answers]),
    ])
