"""Lecture 5's explorer: a walk through what a generator makes."""

import ipywidgets
import torch
from torch import nn

from course_utils.gan import Generator, draw_noise
from course_utils.models import eval_mode
from course_utils.widgets.parts import bars, picture_widget, png
from course_utils.zoo import load_model

SLIDERS = 5  # of A's numbers
ZOOM = 5  # screen pixels for each pixel of an image
DRAWS = 20  # anchors over which the numbers' effects are averaged


def gan_explorer(generator: Generator) -> ipywidgets.VBox:
    """Walk in z from anchor A, and blend it with anchor B; see what a classifier says of it.

    An anchor is drawn by its seed, as `course_utils.gan.draw_noise` draws. The sliders hold those
    of A's numbers that change the generator's images most, the strongest first. The blend is made
    from (1 - t) A + t B, which stays in the cube that noise is drawn from. The bars are of the
    shipped maxout network.

    Args:
        generator: from noise (N, generator.noise), each number in [-1, 1], to images
            (N, 1, 28, 28) in [0, 1].

    Returns:
        A VBox of four rows: the seeds of A and B; the slider of t; the sliders of A's numbers (a
        VBox); the images of A, the blend and B, each an Image over its name, and the classifier's
        answer (an HTML).

    Raises:
        TypeError, ValueError: `generator` is none, or its images are not as described.
    """
    strongest = _strongest(generator, SLIDERS)
    device = next(generator.parameters()).device
    classifier = load_model("maxout", device=device)
    seeds = [
        ipywidgets.BoundedIntText(value=seed, min=0, max=9999, description=f"{name}: seed")
        for seed, name in enumerate("AB")
    ]
    t = ipywidgets.FloatSlider(value=0.5, min=0.0, max=1.0, step=0.02, description="blend t")
    walk = [
        ipywidgets.FloatSlider(min=-1.0, max=1.0, step=0.02, description=f"A's z[{place}]")
        for place in strongest
    ]
    pictures = [picture_widget() for _ in range(3)]
    answer = ipywidgets.HTML()
    first = torch.zeros(generator.noise)
    busy = False

    def draw(change: object = None) -> None:
        nonlocal busy
        busy = True  # the sliders move together, and nothing is drawn half-way
        first[:] = draw_noise(1, generator.noise, seed=seeds[0].value)[0]
        for slider, place in zip(walk, strongest, strict=True):
            slider.value = first[place].item()
        busy = False
        show()

    def show(change: object = None) -> None:
        if busy:
            return
        first[strongest] = torch.tensor([slider.value for slider in walk])
        second = draw_noise(1, generator.noise, seed=seeds[1].value)[0]
        noise = torch.stack([first, first.lerp(second, t.value), second])
        with eval_mode(generator), torch.no_grad():
            images = generator(noise.to(device))
            chances = classifier(images[1:2])[0].softmax(0).tolist()
        for picture, image in zip(pictures, images.squeeze(1).cpu().numpy(), strict=True):
            picture.value = png(image, zoom=ZOOM)
        percent = {str(digit): 100 * chance for digit, chance in enumerate(chances)}
        best = max(percent, key=percent.get)
        answer.value = f"<p>The blend is taken for a <b>{best}</b>.</p>" + bars(percent, bold=best)

    seeds[0].observe(draw, names="value")
    for control in (seeds[1], t, *walk):
        control.observe(show, names="value")
    draw()
    named = zip(pictures, ("A", "blend", "B"), strict=True)
    shown = [ipywidgets.VBox([picture, ipywidgets.Label(name)]) for picture, name in named]
    return ipywidgets.VBox([
        ipywidgets.HBox(seeds), t, ipywidgets.VBox(walk), ipywidgets.HBox([*shown, answer])
    ])


def _strongest(generator: Generator, count: int) -> list[int]:
    """The numbers of z that change the images most on their way from -1 to 1, in the mean."""
    if not isinstance(generator, nn.Module) or not hasattr(generator, "noise"):
        raise TypeError(f"generator: got {type(generator).__name__}, expected a Generator")
    device = next(generator.parameters()).device
    noise = draw_noise(DRAWS, generator.noise)
    effects = []
    with eval_mode(generator), torch.no_grad():
        for place in range(generator.noise):
            ends = noise.repeat(2, 1)
            ends[:DRAWS, place], ends[DRAWS:, place] = -1, 1
            images = generator(ends.to(device))
            if images.shape[1:] != (1, 28, 28):
                raise ValueError(
                    f"generator: makes images of shape {tuple(images.shape[1:])}, "
                    "expected (1, 28, 28)"
                )
            low, high = images.chunk(2)
            effects.append((high - low).square().mean().item())
    return torch.tensor(effects).topk(min(count, generator.noise)).indices.tolist()
