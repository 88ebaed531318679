"""lbfgs_attack on networks it was not tuned on, beside adv-lib's attacks: `make bench`.

100 test digits, random targets, one thread. Of every attack, the mean distortion over the best that
any of them found, image by image; and over PDGD's, the best of its kind on most networks. With the
argument `panda`, also EfficientNet-Lite0 (hours).
"""

import subprocess
import sys
import time
import types
from functools import partial

import pandas as pd
import torch
from torch import Tensor, nn

from course_utils.attacks import distortion, lbfgs_attack
from course_utils.data import load_image, load_mnist
from course_utils.imagenet import imagenet_classifier
from course_utils.inference import predict
from course_utils.training import fit
from course_utils.transfer import draw_targets
from course_utils.vision import import_torchvision
from course_utils.zoo import load_model, load_study

import_torchvision()  # before adv-lib does
sys.modules.setdefault("visdom", types.SimpleNamespace(Visdom=None))  # draws adv-lib's curves
try:
    import adv_lib.attacks as peers
except ImportError:
    wanted = ["install", "--quiet", "--no-deps", "adv-lib==0.2.8"]
    subprocess.run([sys.executable, "-m", "pip", *wanted], check=True)
    import adv_lib.attacks as peers

N, STEPS, PANDA_TARGETS = 100, 1000, 64
ZOO = ("FC100-100-10", "maxout", "maxout (adversarial)", "RBF")
MOST = 100  # evaluations
PDGD, OURS, LITE = "PDGD 1000", "ours", "EfficientNet-Lite0"


def ours(starts: int, model: nn.Module, images: Tensor, targets: Tensor) -> tuple[Tensor, float]:
    """Return the adversarial images, and the evaluations an image."""
    result = lbfgs_attack(model, images, targets, starts=starts)
    return result.images, result.evaluations.double().mean().item()


def theirs(attack, options: dict, model, images: Tensor, targets: Tensor) -> tuple[Tensor, float]:
    """The same of an attack of adv-lib's."""
    return attack(model, images, targets, targeted=True, **options).detach(), STEPS


ATTACKS = {
    OURS: partial(ours, 1),
    "ours, 2 starts": partial(ours, 2),
    # Rony et al. 2019, arXiv:1811.09600
    "DDN 1000": partial(theirs, peers.ddn, {"steps": STEPS}),
    # Matyasko and Chau 2021, arXiv:2106.01538
    PDGD: partial(theirs, peers.pdgd, {"num_steps": STEPS}),
    # Rony et al. 2021, arXiv:2011.11857
    "ALMA 1000": partial(theirs, peers.alma, {"num_steps": STEPS}),
    # Pintor et al. 2021, arXiv:2102.12827
    "FMN 1000": partial(theirs, peers.fmn, {"norm": 2, "steps": STEPS}),
}


def with_batch_norm() -> nn.Module:
    """Two convolutions with batch norm and a linear layer, trained for one epoch, seed 0."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [
            layer
            for channels in ((1, 16), (16, 32))
            for layer in (
                nn.Conv2d(*channels, 3, padding=1),
                nn.BatchNorm2d(channels[1]),
                nn.ReLU(),
                nn.MaxPool2d(2),
            )
        ]
        model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * 7 * 7, 10))
    options = {"epochs": 1, "batch_size": 128, "learning_rate": 1e-3, "seed": 0, "progress": False}
    fit(model, *load_mnist("train"), **options)
    return model.eval()


def compare(name: str, model: nn.Module, images: Tensor, targets: Tensor) -> pd.DataFrame:
    """One row an attack; a miss counts in `success %` and is left out of the means."""
    sizes, rows = {}, {}
    for attack, run in ATTACKS.items():
        start = time.process_time()
        found, evaluations = run(model, images, targets)
        seconds = time.process_time() - start
        found = found.clamp(0, 1)
        sizes[attack] = distortion(found - images).double()
        sizes[attack][predict(model, found) != targets] = torch.inf
        rows[attack] = {"evaluations": evaluations, "CPU seconds": seconds}
    best = torch.stack([*sizes.values()]).amin(0)
    for attack, size in sizes.items():
        hit = size.isfinite()
        both = hit & sizes[PDGD].isfinite()
        rows[attack] |= {
            "success %": 100 * hit.double().mean().item(),
            "over the best %": 100 * (size[hit].mean() / best[hit].mean() - 1).item(),
            "over PDGD %": 100 * (size[both].mean() / sizes[PDGD][both].mean() - 1).item(),
        }
    table = pd.DataFrame.from_dict(rows, orient="index")
    print(f"\n{name}, torch {torch.__version__}\n{table.round(2).to_string()}", flush=True)
    return table


def main(arguments: list[str]) -> int:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    images, labels = (tensor[:N] for tensor in load_mnist("test"))
    targets = draw_targets(labels, how="random", generator=torch.Generator().manual_seed(1))
    networks = {name: load_model(name) for name in ZOO}
    networks["convolutional"] = load_study("convolutional")[0]
    networks["convolutional, batch norm"] = with_batch_norm()
    tables = {name: compare(name, net, images, targets) for name, net in networks.items()}
    if "panda" in arguments:
        drawn = torch.Generator().manual_seed(1)
        panda = load_image("panda").expand(PANDA_TARGETS, -1, -1, -1)
        classes = torch.randperm(1000, generator=drawn)[:PANDA_TARGETS]
        tables[LITE] = compare(LITE, imagenet_classifier(), panda, classes)
    print()
    status = 0
    for name, table in tables.items():
        row = table.loc[[OURS, "ours, 2 starts"]]
        least = row.loc[row["evaluations"] <= MOST, "over PDGD %"].min()
        everywhere = (row["success %"] == 100).all()
        status |= not everywhere
        print(f"{'holds' if everywhere else 'FAILS'}  {name}: 100 % success")
        print(
            f"{'holds' if least <= 0 else 'FAILS'}  aim: {name}: at most {MOST} evaluations, "
            f"no more than PDGD's {STEPS} ({least:+.2f} %)"
        )
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
