"""Lecture 5's explorer: a walk through what a generator makes."""

import torch
from torch import nn

from course_utils.gan import Generator, draw_noise
from course_utils.models import eval_mode
from course_utils.widgets.explorer import Explorer, Shown, Slider, bars, screen
from course_utils.zoo import load_model

SLIDERS = 5  # of A's numbers
ZOOM = 5  # screen pixels for each pixel of an image
DRAWS = 20  # anchors over which the numbers' effects are averaged


def gan_explorer(generator: Generator) -> Explorer:
    """Walk in z from anchor A, and blend it with anchor B; see what a classifier says of it.

    An anchor is drawn by its seed, as `course_utils.gan.draw_noise` draws. Sliders change those
    of A's numbers that change the generator's images most, the strongest first. The blend is made
    from (1 - t) A + t B. All stays in the cube that noise is drawn from. The bars are of the
    shipped maxout network.

    Args:
        generator: from noise (N, generator.noise), each number in [-1, 1], to images
            (N, 1, 28, 28) in [0, 1].

    Returns:
        An explorer with the controls `seed_A`, `seed_B`, `blend` (t) and, for some of A's numbers,
        `change_z0` or so; pictures of A, the blend and B; and a bar for each digit.

    Raises:
        TypeError, ValueError: `generator` is none, or its images are not as described.
    """
    places = strongest(generator, SLIDERS)
    device = next(generator.parameters()).device
    classifier = load_model("maxout", device=device)

    def frame(seed_A: int, seed_B: int, blend: float, **changes: float) -> Shown:
        first, second = (draw_noise(1, generator.noise, seed=s)[0] for s in (seed_A, seed_B))
        first[places] += torch.tensor([changes[f"change_z{place}"] for place in places])
        first.clamp_(-1, 1)
        noise = torch.stack([first, first.lerp(second, blend), second])
        with eval_mode(generator), torch.no_grad():
            images = generator(noise.to(device))
            chances = classifier(images[1:2])[0].softmax(0).tolist()
        percent = {str(digit): 100 * chance for digit, chance in enumerate(chances)}
        return Shown(
            {name: screen(image, zoom=ZOOM)
             for name, image in zip(("A", "blend", "B"), images[:, 0].cpu().numpy(), strict=True)},
            bars(percent), [f"The blend is taken for a {max(percent, key=percent.get)}."],
        )

    return Explorer(frame, {
        "seed_A": Slider(0, 99, 1, 0, digits=0),
        "seed_B": Slider(0, 99, 1, 1, digits=0),
        "blend": Slider(0, 1, 0.02, 0.5),
        **{f"change_z{place}": Slider(-2, 2, 0.02, 0) for place in places},
    })


def strongest(generator: Generator, count: int) -> list[int]:
    """The numbers of z that change the images most on their way from -1 to 1, in the mean."""
    if not isinstance(generator, nn.Module) or not hasattr(generator, "noise"):
        raise TypeError(f"generator: got {type(generator).__name__}, expected a Generator")
    numbers = range(generator.noise)
    ends = draw_noise(DRAWS, generator.noise).repeat(2, generator.noise, 1, 1)
    ends[0, numbers, :, numbers], ends[1, numbers, :, numbers] = -1, 1
    with eval_mode(generator), torch.no_grad():
        images = generator(ends.flatten(0, 2).to(next(generator.parameters()).device))
    if (shape := tuple(images.shape[1:])) != (1, 28, 28):
        raise ValueError(f"generator: makes images of shape {shape}, expected (1, 28, 28)")
    low, high = images.unflatten(0, ends.shape[:3])
    effects = (high - low).square().flatten(1).mean(1)
    return effects.topk(min(count, generator.noise)).indices.tolist()
