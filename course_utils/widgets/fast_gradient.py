"""Lecture 4's explorer: the fast gradient sign on photographs."""

from collections.abc import Mapping

import torch
from torch import nn

from course_utils.data import load_image
from course_utils.inference import loss_and_gradient
from course_utils.models import eval_mode
from course_utils.widgets.explorer import Explorer, Menu, Shown, Slider, bars, screen

LARGEST = 0.1  # the slider's end
TOP = 5  # classes shown


def fast_gradient_explorer(model: nn.Module, pictures: Mapping[str, torch.Tensor]) -> Explorer:
    """Choose or upload a picture, and move it along the sign of its gradient.

    The label to get away from is the one that the model gives to the untouched picture. The
    gradient is computed once for each picture; a move of the slider costs one forward pass. An
    upload, cut to the model's square, joins the menu; a file that is no picture is told so.

    Args:
        model: as `course_utils.imagenet.imagenet_classifier` gives it: images (N, 3, S, S) in
            [0, 1] to logits, with S at `model[0].size` and names at `model.categories`.
        pictures: name to picture (3, S, S) in [0, 1], the entries of the menu.

    Returns:
        An explorer with the controls `picture` and `eps`, the moved picture, and bars for the
        likeliest classes.

    Raises:
        ValueError, TypeError: no picture, or one that the model refuses.
    """
    if not pictures:
        raise ValueError("pictures: got none, expected at least one")
    place = next(model.parameters()).device
    known: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}  # pictures and their signs
    menu = Menu([])

    def add(name: str, picture: torch.Tensor) -> None:
        picture = picture.to(place)
        with eval_mode(model), torch.no_grad():
            label = model(picture[None]).argmax(1)
        with eval_mode(model):
            known[name] = picture, loss_and_gradient(model, picture[None], label)[1][0].sign()
        menu.options[:] = known

    def receive(name: str, content: bytes) -> None:
        try:
            add(name, load_image(content, size=model[0].size))
        except ValueError as error:
            raise ValueError(str(error).removeprefix("name_or_path: ")) from error

    def frame(picture: str, eps: float) -> Shown:
        pixels, sign = known[picture]
        moved = (pixels + eps * sign).clamp(0, 1)
        with eval_mode(model), torch.no_grad():
            chances, classes = model(moved[None])[0].softmax(0).topk(TOP)
        names = [model.categories[k] for k in classes.tolist()]
        percent = dict(zip(names, (100 * chances).tolist(), strict=True))
        return Shown({picture: screen(moved.permute(1, 2, 0).cpu().numpy())}, bars(percent), [])

    for name, picture in pictures.items():
        add(name, picture)
    return Explorer(frame, {"picture": menu, "eps": Slider(0, LARGEST, 0.001, 0.007, 3)}, receive)
