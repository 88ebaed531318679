"""Lecture 1's blind test: is it the picture itself, the attack, or noise?"""

from collections.abc import Mapping

import ipywidgets
import torch
from scipy.stats import binomtest

from course_utils.widgets.fast_gradient import png


def blind_test(
    kinds: Mapping[str, torch.Tensor], generator: torch.Generator, *, rounds: int = 10
) -> ipywidgets.VBox:
    """Show pictures one by one, each of a kind drawn at random, and ask by buttons which it is.

    After the last click it says how many answers were right, and how often guessing does as well.

    Args:
        kinds: name to images (N, 1, H, W) in [0, 1], the same N pictures in each; N >= rounds.
        generator: of the kinds and of the pictures, none of which is shown twice.

    Returns a VBox of the picture (an Image), a row with a Button for each kind, and an HTML.
    """
    names, answers = list(kinds), []
    truth = torch.randint(len(names), (rounds,), generator=generator).tolist()
    order = torch.randperm(len(kinds[names[0]]), generator=generator)[:rounds].tolist()
    picture, says = ipywidgets.Image(format="png", width=224), ipywidgets.HTML()
    buttons = [ipywidgets.Button(description=name) for name in names]

    def show() -> None:
        number = len(answers)
        if number < rounds:
            shown = kinds[names[truth[number]]][order[number], 0]
            pixels = (255 * shown.clamp(0, 1)).round().byte().cpu().numpy()
            picture.value = png(pixels.repeat(8, 0).repeat(8, 1))
            says.value = f"<p>Picture {number + 1} of {rounds}: which is it?</p>"
            return
        right = sum(map(int.__eq__, answers, truth))
        chance = 100 * binomtest(right, rounds, 1 / len(names), alternative="greater").pvalue
        says.value = f"""<p>{right} of {rounds} right. Guessing gets as many in {chance:.0f} of 100
            tries. They were: {", ".join(names[kind] for kind in truth)}.</p>"""

    def click(button: ipywidgets.Button) -> None:
        if len(answers) < rounds:
            answers.append(names.index(button.description))
            show()

    for button in buttons:
        button.on_click(click)
    show()
    return ipywidgets.VBox([picture, ipywidgets.HBox(buttons), says])
