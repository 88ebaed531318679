"""`make train`: every checkpoint trained anew, several at a time."""

import multiprocessing
import platform
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
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


def retrain_all(folder: Path = zoo.CHECKPOINTS, *, workers: int | None = None) -> pd.DataFrame:
    """Retrain every network, write the checkpoints, and report how they compare with the old.

    Each network is trained on one thread: small networks gain little from a second, and so they
    come out the same whatever the number of cores. The GAN follows, since it is measured with one
    of the networks. workers: processes at a time; None for one a core, up to `MOST`. Returns the
    table that is printed: a row a checkpoint but the GAN's, as `retrain` returns it.
    """
    for split in ("train", "test"):
        data.load_mnist(split)  # fetched once, before several processes ask for it
    names = list(zoo.checkpoints())
    if workers is None:
        workers = min(machine.cores(), MOST)
    train = partial(retrain, folder=folder, progress=False)
    rows = {}
    with tqdm(total=len(names), desc="checkpoints", unit="network") as bar:
        # From the last, which take longest, so that no core idles at the end.
        for name, row in in_processes(train, names[::-1], workers=workers):
            rows[name] = row
            bar.write(f"{name}: test error {row['test error']:.2f} %, {row['seconds']:.0f} s")
            bar.update()
    table = pd.DataFrame.from_dict({name: rows[name] for name in names}, orient="index")
    print(table.to_string(float_format="{:.2f}".format), flush=True)
    retrain_gan(folder)
    return table


def retrain(
    name: str, folder: Path = zoo.CHECKPOINTS, *, progress: bool = True
) -> dict[str, float]:
    """Train one of `zoo.checkpoints()` anew, write it, and report how it compares with the old one.

    Returns train and test error in percent, retrained and as shipped; the seconds that training
    took; and "agreement", the percentage of the test images to which both give the same class.
    Where a checkpoint holds several networks, their means. Without an old one, only the new one's.
    The folder is that of the checkpoints, old and new.
    """
    start, recipe = time.perf_counter(), zoo.checkpoints()[name]
    networks, record = zoo.train(recipe, progress=progress)

    def errors(record: dict) -> list[float]:
        return [np.mean(record["train_error"]), np.mean(record["test_error"])]

    row = dict(zip(("train error", "test error"), errors(record)))
    row["seconds"] = time.perf_counter() - start
    try:
        shipped, before = zoo.read(name, folder)
    except RuntimeError as error:
        print(f"nothing to compare {name} with: {error}", flush=True)
    else:
        row["shipped train error"], row["shipped test error"] = errors(before)
        images, pairs = data.load_mnist("test")[0], zip(networks, shipped)
        same = [predict(new, images) == predict(old, images) for new, old in pairs]
        row["agreement"] = 100 * torch.cat(same).double().mean().item()
    state = zoo.together(networks).state_dict()
    state = {key: value.to(recipe.precision) for key, value in state.items()}
    checkpoint.write(name, state, record, folder)
    return row


def in_processes(
    work: Callable[[str], dict], names: list[str], *, workers: int
) -> Iterator[tuple[str, dict]]:
    """Yield each name with what `work` returns for it, in the order in which they are done.

    The work is done in that many processes of one thread each. What fails in one is raised here,
    and Ctrl-C too; what has not begun by then is left.
    """
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), torch.set_num_threads, (1,)
    )
    try:
        futures = {pool.submit(work, name): name for name in names}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        pool.shutdown(cancel_futures=True)


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
    images = data.load_mnist("train")[0][:TRAINED_ON]
    pair = shipped.new_pair(images.mean(0))
    start = time.perf_counter()
    with torch.enable_grad():
        gan.train_gan(*pair, images, seed=shipped.SEED, **OPTIONS)
    print(f"GAN: trained in {time.perf_counter() - start:.0f} s", flush=True)
    state = pair.state_dict()
    for name, values in state.items():
        if values.is_floating_point():  # measured as they are shipped
            state[name] = values.half()
            values.copy_(state[name])
    record = {
        "architecture": shipped.ARCHITECTURE,
        "training": {"function": "train_gan", "options": OPTIONS, "seed": shipped.SEED},
        "data": {"name": f"MNIST, the first {TRAINED_ON} of its training set",
                 "sha256": data.MNIST_SHA256},
        **measure_gan(pair[0]),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }
    told = ("log-likelihood {log_likelihood:.1f} +- {standard_error:.1f} nats, digits in % of the "
            "samples {digits}")
    try:
        print("GAN, as shipped:", told.format(**shipped.read(folder)[1]), flush=True)
    except RuntimeError as error:
        print(f"nothing to compare GAN with: {error}", flush=True)
    print("GAN, retrained:", told.format(**record))
    return checkpoint.write(shipped.NAME, state, record, folder)
