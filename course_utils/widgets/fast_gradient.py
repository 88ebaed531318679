"""Lecture 4's explorer: the fast gradient sign on photographs."""

import html
import io
from collections.abc import Mapping
from pathlib import Path

import anywidget
import ipywidgets
import numpy as np
import torch
from IPython.display import display
from PIL import Image
from torch import nn

from course_utils.data import load_image
from course_utils.inference import loss_and_gradient
from course_utils.models import eval_mode

LARGEST = 0.1  # the slider's end
TOP = 5  # classes shown
BAR = """<tr style="line-height:1.3"><td>{}</td><td style="width:14em"><div style="width:{:.1f}%;
height:0.9em;background:currentColor"></div></td><td style="text-align:right">{:.1f} %</td></tr>"""


class Upload(anywidget.AnyWidget):
    """A button for a picture of one's own, which makes a large one smaller before it is sent."""

    _esm = Path(__file__).with_name("upload.js")


class FastGradientExplorer:
    """Choose or upload a picture, and move it along the sign of its gradient.

    The label to get away from is the one that the model gives to the untouched picture. The
    gradient is computed once for each picture; a move of the slider costs one forward pass.

    Args:
        model: as `course_utils.imagenet.imagenet_classifier` gives it: images (N, 3, S, S) in
            [0, 1] to logits, with S at `model[0].size` and names at `model.categories`.
        pictures: name to picture (3, S, S) in [0, 1], the entries of the menu.

    Raises ValueError, TypeError where there is no picture, or one that the model refuses.
    """

    def __init__(self, model: nn.Module, pictures: Mapping[str, torch.Tensor]):
        if not pictures:
            raise ValueError("pictures: got none, expected at least one")
        self.model = model
        self.known: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}  # pictures and their signs
        for name, picture in pictures.items():
            self._add(name, picture)

    def _add(self, name: str, picture: torch.Tensor) -> None:
        picture = picture.to(next(self.model.parameters()).device)
        with eval_mode(self.model):
            with torch.no_grad():
                label = self.model(picture[None]).argmax(1)
            sign = loss_and_gradient(self.model, picture[None], label)[1][0].sign()
        self.known[name] = picture, sign

    def receive(self, name: str, content: bytes) -> None:
        """Put an upload, cut to the model's square, into the menu; ValueError for no picture."""
        try:
            self._add(name, load_image(content, size=self.model[0].size))
        except ValueError as error:
            raise ValueError(str(error).removeprefix("name_or_path: ")) from error

    def frame(self, picture: str, eps: float) -> tuple[np.ndarray, dict[str, float]]:
        """The moved picture, uint8 (S, S, 3), and its likeliest classes, in percent."""
        pixels, sign = self.known[picture]
        moved = (pixels + eps * sign).clamp(0, 1)
        with eval_mode(self.model), torch.no_grad():
            chances, classes = self.model(moved[None])[0].softmax(0).topk(TOP)
        names = [self.model.categories[k] for k in classes.tolist()]
        percent = dict(zip(names, (100 * chances).tolist(), strict=True))
        return (255 * moved.permute(1, 2, 0)).round().byte().cpu().numpy(), percent

    def widget(self) -> ipywidgets.VBox:
        """A menu, an Upload, a slider, a message, and the picture beside a table of bars."""
        menu = ipywidgets.Dropdown(options=list(self.known), description="picture")
        steps = {"max": LARGEST, "step": 0.001, "readout_format": ".3f"}
        eps = ipywidgets.FloatSlider(value=0.007, description="eps", **steps)
        upload, message, text = Upload(), ipywidgets.HTML(), ipywidgets.HTML()
        image = ipywidgets.Image(format="png", layout={"flex": "none", "align_self": "flex-start"})

        def show(change: object = None) -> None:
            pixels, percent = self.frame(menu.value, eps.value)
            image.value = png(pixels)
            rows = [BAR.format(html.escape(name), p, p) for name, p in percent.items()]
            text.value = f"<table>{''.join(rows)}</table>"

        def take(button: Upload, sent: dict, buffers: list) -> None:
            message.value = ""
            try:
                self.receive(sent["name"], bytes(buffers[0]))
            except ValueError as error:
                message.value = html.escape(f"{sent['name']}: {error}")
                return
            menu.options = list(self.known)
            menu.value = sent["name"]
            show()  # another file of the same name

        for control in (menu, eps):
            control.observe(show, names="value")
        upload.on_msg(take)
        show()
        return ipywidgets.VBox([menu, upload, eps, message, ipywidgets.HBox([image, text])])

    def _ipython_display_(self) -> None:
        display(self.widget())


def png(pixels: np.ndarray) -> bytes:
    """Pixels, uint8, as PNG, packed as quickly as a slider asks for."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png", compress_level=1)
    return file.getvalue()
