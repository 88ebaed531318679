"""Runs the study's jobs, here or on a Dask cluster, and joins what they measure into tables.

A job is a plain function that trains, attacks and yields rows. Each finished job is one small
file, written beside its place and renamed: an interrupted study goes on where it was.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from course_utils import zoo
from course_utils.study import RESULTS
from tools.environment import ROOT, put
from tools.retraining import in_processes

KEPT = ROOT / "build" / "study"


class Job(NamedTuple):
    """One seed of one setting: `function(*arguments)` yields a tuple, of `columns`, for each row.

    Every row begins with what is the `same` in all. `recipe` is whatever the result depends on
    besides the arguments, as JSON can hold it: a result kept from another recipe is not used.
    """

    part: str
    name: str
    function: Callable[..., Iterable[tuple]]
    arguments: tuple = ()
    recipe: object = None
    same: dict = {}
    columns: tuple[str, ...] = ("measure", "value")

    def path(self, folder: Path) -> Path:
        return folder / self.part / f"{self.name}-{self.digest()[:12]}.json"

    def digest(self) -> str:
        return digest([self.recipe, self.arguments])


def run_alone(job: Job) -> list[dict]:
    """Return a job's rows, found on one thread: so they don't depend on the number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # holds for the calling thread only
    try:
        rows = job.function(*job.arguments)
        return [job.same | dict(zip(job.columns, map(plain, row))) for row in rows]
    finally:
        torch.set_num_threads(before)


def plain(value: object) -> object:
    return value.item() if isinstance(value, Tensor) else value


def run(jobs: list[Job], *, folder: Path = KEPT, **where: object) -> None:
    """Run every job that is not in `folder` yet, and keep each result as soon as it is there.

    where: `in_processes`' workers, or the scheduler of a cluster.
    """
    todo = [job for job in jobs if not job.path(folder).exists()]
    with tqdm(total=len(jobs), initial=len(jobs) - len(todo), desc="study", unit="job") as bar:
        for job, rows in in_processes(run_alone, todo, **where):
            put(job.path(folder), json.dumps(rows))
            bar.set_postfix_str(f"{job.part}: {job.name}")
            bar.update()


def join(jobs: list[Job], *, folder: Path = KEPT, results: Path = RESULTS) -> None:
    """Write one CSV for each part of which every job is done, and what it was made from."""
    for part in dict.fromkeys(job.part for job in jobs):
        mine = [job for job in jobs if job.part == part]
        if missing := [job.name for job in mine if not job.path(folder).exists()]:
            print(f"{part}: {len(missing)} of {len(mine)} jobs are not done; its table stays")
            continue
        rows = sum((json.loads(job.path(folder).read_text("utf-8")) for job in mine), [])
        put(results / f"{part}.csv", pd.DataFrame(rows).to_csv(index=False, float_format="%.6g"))
        put(results / f"{part}.json", json.dumps({"recipes": recipes(mine)}, indent=1) + "\n")
        print(f"{part}: {len(rows)} rows from {len(mine)} jobs")


def digest(value: object) -> str:
    """The SHA-256 of a value as JSON; of a function in it, its name and options count."""
    text = json.dumps(value, sort_keys=True, default=zoo.told)
    return hashlib.sha256(text.encode()).hexdigest()


def recipes(jobs: list[Job]) -> str:
    """One digest of what the jobs' results depend on."""
    return digest(sorted([job.name, job.digest()] for job in jobs))


def trained(recipe: zoo.Recipe, seed: int) -> nn.Module:
    """Return one network of the recipe, trained anew from another seed."""
    return zoo.train(replace(recipe, seed=seed, copies=1), progress=False)[0][0]


def random_signs(images: Tensor, eps: float, drawn: torch.Generator) -> Tensor:
    """Return the images with eps added to each pixel or taken away, by a coin, within [0, 1]."""
    signs = 2.0 * torch.randint(2, images.shape, generator=drawn) - 1
    return (images + eps * signs).clamp(0, 1)
