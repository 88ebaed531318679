"""`make train`: every checkpoint trained anew, several at a time."""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from tqdm.auto import tqdm

from course_utils import data, gan, machine, zoo

MOST = 4  # processes; each takes about 0.7 GB


def retrain_all(folder: Path = zoo.CHECKPOINTS, *, workers: int | None = None) -> pd.DataFrame:
    """Retrain every network, write the checkpoints, and report how they compare with the old.

    Each network is trained on one thread: small networks gain little from a second, and so they
    come out the same whatever the number of cores. The GAN follows, since it is measured with one
    of the networks.

    Args:
        folder: of the checkpoints, old and new.
        workers: processes that train at the same time; None for one a core, up to `MOST`.

    Returns:
        The table that is printed: a row a checkpoint but the GAN's, as `zoo.retrain` returns it.
    """
    for split in ("train", "test"):
        data.load_mnist(split)  # fetched once, before several processes ask for it
    names = list(zoo.checkpoints())
    if workers is None:
        workers = min(machine.cores(), MOST)
    train = partial(zoo.retrain, folder=folder, progress=False)
    rows = {}
    with tqdm(total=len(names), desc="checkpoints", unit="network") as bar:
        # From the last, which take longest, so that no core idles at the end.
        for name, row in in_processes(train, names[::-1], workers=workers):
            rows[name] = row
            bar.write(f"{name}: test error {row['test error']:.2f} %, {row['seconds']:.0f} s")
            bar.update()
    table = pd.DataFrame.from_dict({name: rows[name] for name in names}, orient="index")
    print(table.to_string(float_format="{:.2f}".format), flush=True)
    gan.retrain_gan(folder)
    return table


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
