"""`make train`: every checkpoint trained anew, several at a time."""

import platform
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from course_utils import checkpoint, data, gan, machine, zoo
from course_utils.gan import shipped
from course_utils.inference import predict

MOST = 4  # processes; each takes about 0.7 GB
OPTIONS = {"epochs": 20, "batch_size": 100, "learning_rate": (1e-3, 3e-4), "average": 0.9998}
TRAINED_ON = 50_000  # images for the GAN; the others are left to choose sigma on
TOLD = "log-likelihood {log_likelihood:.1f} +- {standard_error:.1f} nats, digits in % {digits}"


def retrain_all(folder: Path = zoo.CHECKPOINTS, *, workers: int | None = None) -> pd.DataFrame:
    """Retrain every network, write the checkpoints, and report how they compare with the old.

    Each network is trained on one thread: small networks gain little from a second, and so they
    come out the same whatever the number of cores. The GAN follows, since it is measured with one
    of the networks. workers: processes at a time; None for one a core, up to `MOST`. Returns the
    table that is printed: a row a checkpoint but the GAN's, as `retrain` returns it.
    """
    for split in ("train", "test"):
        data.load_mnist(split)  # fetched once, before several processes ask for it
    names, rows = list(zoo.checkpoints()), {}
    train = partial(retrain, folder=folder, progress=False)
    # From the last, which take longest, so that no core idles at the end.
    done = in_processes(train, names[::-1], workers=workers or min(machine.cores(), MOST))
    for name, row in tqdm(done, "checkpoints", len(names), unit="network"):
        rows[name] = row
        tqdm.write(f"{name}: test error {row['test error']:.2f} %, {row['seconds']:.0f} s")
    table = pd.DataFrame.from_dict({name: rows[name] for name in names}, orient="index")
    print(table.to_string(float_format="{:.2f}".format), flush=True)
    retrain_gan(folder)
    return table


def retrain(name: str, folder: Path = zoo.CHECKPOINTS, *, progress: bool = True) -> dict:
    """Train one of `zoo.checkpoints()` anew, write it, and report how it compares with the old one.

    Returns train and test error in percent, retrained and as shipped; the seconds that training
    took; and "agreement", the percentage of the test images to which both give the same class.
    Where a checkpoint holds several networks, their means. Without an old one, only the new one's.
    The folder is that of the checkpoints, old and new.
    """
    start, recipe = time.perf_counter(), zoo.checkpoints()[name]
    networks, record = zoo.train(recipe, progress=progress)
    kinds = ("train error", "test error")
    row = {kind: np.mean(record[kind.replace(" ", "_")]) for kind in kinds}
    row["seconds"] = time.perf_counter() - start
    try:
        old, before = zoo.read(name, folder)
    except RuntimeError as error:
        print(f"nothing to compare {name} with: {error}", flush=True)
    else:
        row |= {f"shipped {kind}": np.mean(before[kind.replace(" ", "_")]) for kind in kinds}
        images = data.load_mnist("test")[0]
        same = [predict(one, images) == predict(two, images) for one, two in zip(networks, old)]
        row["agreement"] = 100 * torch.cat(same).double().mean().item()
    state = zoo.together(networks).state_dict()
    state = {key: value.to(recipe.precision) for key, value in state.items()}
    checkpoint.write(name, state, record, folder)
    return row


def in_processes(
    work: Callable, items: Iterable, *, workers: int = 1, scheduler: str | None = None
) -> Iterator[tuple]:
    """Yield each item with what `work` returns for it, in the order in which they are done.

    workers: processes on this machine, of one thread each. scheduler: address of a Dask cluster's
    scheduler, to work there instead; what a worker that dies had begun is begun anew on another.
    What fails elsewhere is raised here, and Ctrl-C too; what has not begun by then is left.
    """
    from joblib import Parallel, delayed, parallel_config  # in the environment of tests

    where = {"backend": "loky", "n_jobs": workers, "inner_max_num_threads": 1}
    with ExitStack() as stack:
        if scheduler:
            from distributed import Client

            stack.enter_context(Client(scheduler))
            where = {"backend": "dask"}
        stack.enter_context(parallel_config(**where))
        run = Parallel(batch_size=1, return_as="generator_unordered")
        yield from run(delayed(_paired)(work, item) for item in items)


def _paired(work: Callable, item: object) -> tuple:
    return item, work(item)


def measure_gan(generator: gan.Generator) -> dict[str, object]:
    """Return the log-likelihood of MNIST's test images, and the digits, of 10,000 samples.

    Sigma is chosen on the first 1,000 of the last 10,000 training images, those on which the
    paper's code chooses.

    Of the samples, made from noise of seed 0, it returns "log_likelihood": the mean over the test
    images, in nats, its "standard_error", and the "sigma", the best of `gan.SIGMAS`; the same
    three with the best of only the paper's ten sigmas, each with "papers_" before its name; and
    "digits", the percentage that the shipped classifier "maxout" takes for each digit.

    Source: Goodfellow et al. 2014 (arXiv:1406.2661), section 5 and Table 1.
    """
    validation = data.load_mnist("train")[0][TRAINED_ON : TRAINED_ON + 1000]
    test = data.load_mnist("test")[0]
    samples = gan.sample(generator, 10_000).cpu()
    measured: dict[str, object] = {}
    for prefix, sigmas in (("", gan.SIGMAS), ("papers_", gan.PAPERS_SIGMAS)):
        sigma = gan.choose_sigma(samples, validation, sigmas)
        nats = gan.parzen_log_likelihood(samples, test, sigma)
        measured[f"{prefix}log_likelihood"] = nats.mean().item()
        measured[f"{prefix}standard_error"] = nats.std().item() / len(nats) ** 0.5
        measured[f"{prefix}sigma"] = sigma
    digits = predict(zoo.load_model("maxout"), samples).bincount(minlength=10)
    return measured | {"digits": (100 * digits.double() / len(samples)).tolist()}


@torch.no_grad()
def retrain_gan(folder: Path = zoo.CHECKPOINTS) -> dict:
    """Train the pair anew, write it to the folder, say how it compares; return the new record."""
    images, start = data.load_mnist("train")[0][:TRAINED_ON], time.perf_counter()
    pair = shipped.new_pair(images.mean(0))
    with torch.enable_grad():
        gan.train_gan(*pair, images, seed=shipped.SEED, **OPTIONS)
    print(f"GAN: trained in {time.perf_counter() - start:.0f} s", flush=True)
    state = {key: v.half() if v.is_floating_point() else v for key, v in pair.state_dict().items()}
    pair.load_state_dict(state)  # measured as they are shipped
    source = f"MNIST, the first {TRAINED_ON} of its training set"
    record = {
        "architecture": shipped.ARCHITECTURE,
        "training": {"function": "train_gan", "options": OPTIONS, "seed": shipped.SEED},
        "data": {"name": source, "sha256": data.MNIST_SHA256},
        **measure_gan(pair[0]),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }
    try:
        print("GAN, as shipped:", TOLD.format(**shipped.read(folder)[1]), flush=True)
    except RuntimeError as error:
        print(f"nothing to compare GAN with: {error}", flush=True)
    print("GAN, retrained:", TOLD.format(**record))
    return checkpoint.write(shipped.NAME, state, record, folder)
