"""What an explorer shows first, as a picture: on paper, without scripts, and until it is alive."""

import base64
import html
import io
from functools import cache
from urllib.parse import parse_qsl

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from course_utils import figures, laboratory
from course_utils.attacks import fgsm, lbfgs_attack
from course_utils.data import load_mnist
from course_utils.gan import draw_noise, plane
from course_utils.lipschitz import frequency_norms
from course_utils.transfer import amplify, draw_targets, transfer_table


def place(kind: str = "page", *, networks: tuple = (), files: str = "_static/laboratory") -> str:
    """HTML as of `laboratory.place`, with a picture where the explorer is not alive."""
    here = laboratory.place(kind, networks=networks, files=files)
    source, words = still(kind, tuple(networks or laboratory.NETWORKS))
    words = html.escape(f"What the explorer shows. {words}")
    return f'<div>{here}<img class="lab-still" src="{source}" alt="{words}"></div>'


@cache
def still(kind: str, networks: tuple[str, ...]) -> tuple[str, str]:
    """The picture, as an address that holds its bytes, and its alt text."""
    figures.use_style()
    figure, words = DRAWN.get(kind, lambda networks: attack(networks, kind))(networks)
    written = io.BytesIO()
    figure.savefig(written, format="webp", dpi=100, pil_kwargs={"lossless": True})
    plt.close(figure)
    return f"data:image/webp;base64,{base64.b64encode(written.getvalue()).decode()}", words


def attack(networks: tuple[str, ...], state: str) -> tuple[Figure, str]:
    """A digit, a perturbation magnified, and the sum, with the answers of the state's network."""
    told = {"attack": "smallest", "network": "FC100-100-10", "eps": 0.1, "t": 1, "digit": 0}
    told |= dict(parse_qsl(state))
    name = told["network"] if told["network"] in networks else networks[0]
    model, images = laboratory.network(name), load_mnist("test")[0]
    image = images[int(told["digit"])][None]
    with torch.no_grad():
        label, target = model(image).topk(2).indices[0].split(1)
    if told["attack"] == "smallest":
        target = torch.tensor([int(told["target"])]) if "target" in told else target
        moved = lbfgs_attack(model, image, target).images
    else:
        moved = fgsm(model, image, label, eps=float(told["eps"]))
    change = float(told["t"]) * (moved - image)
    pictures = torch.cat([image, change, (image + change).clamp(0, 1)])
    with torch.no_grad():
        sure, said = model(pictures[::2]).softmax(1).max(1)
    before, after = (f"{k}, {100 * p:.1f} %" for k, p in zip(said.tolist(), sure.tolist()))
    factor = max(1, round(0.5 / change.abs().max().item()))
    size = f"× {factor}; distortion {change.square().mean().sqrt().item():.3f}"
    figure = figures.equation(pictures, [before, size, after], factor=factor)
    return figure, f"A digit, a perturbation and their sum; {name} says {before}, then {after}."


def transfer(networks: tuple[str, ...]) -> tuple[Figure, str]:
    """Errors of all networks where the first 100 test digits were changed for the first one."""
    images, labels = (tensor[:100] for tensor in load_mnist("test"))
    models = {name: laboratory.network(name) for name in networks}
    targets = draw_targets(labels, how="random", generator=torch.Generator().manual_seed(0))
    found = lbfgs_attack(models[networks[0]], images, targets).images
    moved = amplify(images, found - images, 0.1)
    errors = transfer_table(models, {"moved": moved}, labels).errors.loc["moved"][::-1]
    figure, ax = plt.subplots(figsize=(7, 0.4 * len(errors) + 0.8))
    ax.bar_label(ax.barh(errors.index, errors, color="0.2"), padding=3)
    words = f"error (%) on digits changed for {networks[0]}, distortion 0.1"
    ax.set(xlabel=words, xlim=(0, 108))
    return figure, f"{len(errors)} bars, one for each network: {words}."


def frequency(networks: tuple[str, ...]) -> tuple[Figure, str]:
    """What the layers do at each frequency."""
    norms = {name: frequency_norms(*laboratory.network(name)) for name in networks}
    return figures.frequency_maps(norms), "For each layer a map: how much it amplifies frequencies."


def game(networks: tuple[str, ...]) -> tuple[Figure, str]:
    """Two states of the game between two networks."""
    side, lot = torch.linspace(-1.6, 1.6, 60).double(), torch.Generator().manual_seed(0)
    grid = torch.cartesian_prod(side, side).flip(1)
    noise, panels = torch.randn(100, plane.NOISE, generator=lot, dtype=torch.float64), {}
    for rounds in (0, 500):
        generator, judge = plane.run(plane.Rules(), rounds)
        made = plane.answer(generator.weights, noise)
        shades = plane.answer(judge.weights, grid).sigmoid().view(60, 60)
        panels[f"round {rounds}"] = (made, plane.pull(judge, made), shades)
    figure = figures.game_in_the_plane(panels, plane.ring(200, lot), extent=1.6)
    return figure, "Two states of the game: generated points spread to the places of real ones."


def walk(networks: tuple[str, ...]) -> tuple[Figure, str]:
    """From what the generator makes of one draw of noise to what it makes of another."""
    generator, classifier = (laboratory.network(name) for name in networks[:2])
    first, last = draw_noise(2, generator.noise)
    steps = torch.linspace(0, 1, 7)
    with torch.no_grad():
        made = generator(torch.stack([(1 - t) * first + t * last for t in steps]))
        said = classifier(made).argmax(1).tolist()
    titles = [[f"t = {t:.2g}\na {k}" for t, k in zip(steps.tolist(), said)]]
    figure = figures.digits([made], titles=titles)
    return figure, f"Seven pictures from A to B; {networks[1]} takes them for {said}."


DRAWN = {"transfer": transfer, "frequency": frequency, "game": game, "walk": walk}
