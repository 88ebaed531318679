"""Runs the study's jobs, here or on a Dask cluster, and joins what they measure into tables.

A job is a plain function that trains, attacks and returns rows. Each finished job is one small
file, written beside its place and renamed: an interrupted study goes on where it was.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import joblib
import pandas as pd
import torch
from tqdm.auto import tqdm

from course_utils.study import RESULTS
from course_utils.zoo import told
from tools.environment import ROOT

KEPT = ROOT / "build" / "study"


@dataclass(frozen=True)
class Job:
    """One seed of one setting: `function(*arguments)` returns its rows, a dict each.

    `recipe` is whatever the result depends on besides the arguments, as JSON can hold it: a
    result kept from another recipe is not used.
    """

    part: str
    name: str
    function: Callable[..., list[dict]]
    arguments: tuple = ()
    recipe: object = field(default=None, hash=False)

    def path(self, folder: Path) -> Path:
        return folder / self.part / f"{self.name}-{digest([self.recipe, self.arguments])[:12]}.json"


def run_alone(job: Job) -> list[dict]:
    """Run a job on one thread: so its result does not depend on the number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # holds for the calling thread only
    try:
        return job.function(*job.arguments)
    finally:
        torch.set_num_threads(before)


def run(
    jobs: list[Job], *, folder: Path = KEPT, workers: int = 1, scheduler: str | None = None
) -> None:
    """Run every job that is not in `folder` yet, and keep each result as soon as it is there.

    workers: processes on this machine, one thread each. scheduler: address of a Dask cluster's
    scheduler, to run there instead; a job whose worker dies is run again on another.
    """
    todo = [job for job in jobs if not job.path(folder).exists()]
    with tqdm(total=len(jobs), initial=len(jobs) - len(todo), desc="study", unit="job") as bar:
        for job, rows in (_on_cluster(todo, scheduler) if scheduler else _here(todo, workers)):
            path = job.path(folder)
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_name(f".{path.name}.{os.getpid()}")
            beside.write_text(json.dumps(rows), encoding="utf-8")
            os.replace(beside, path)
            bar.set_postfix_str(f"{job.part}: {job.name}")
            bar.update()


def _here(jobs: list[Job], workers: int) -> Iterator[tuple[Job, list[dict]]]:
    parallel = joblib.Parallel(workers, backend="loky", return_as="generator_unordered")
    return parallel(joblib.delayed(_told)(job) for job in jobs)


def _told(job: Job) -> tuple[Job, list[dict]]:
    return job, run_alone(job)


def _on_cluster(jobs: list[Job], scheduler: str) -> Iterator[tuple[Job, list[dict]]]:
    from dask.distributed import Client, as_completed  # the extra "cluster"

    with Client(scheduler) as client:
        futures = {client.submit(run_alone, job, pure=False): job for job in jobs}
        for future, rows in as_completed(futures, with_results=True):
            yield futures[future], rows


def join(jobs: list[Job], *, folder: Path = KEPT, results: Path = RESULTS) -> None:
    """Write one CSV for each part of which every job is done, and what it was made from."""
    for part in dict.fromkeys(job.part for job in jobs):
        mine = [job for job in jobs if job.part == part]
        if missing := [job.name for job in mine if not job.path(folder).exists()]:
            print(f"{part}: {len(missing)} of {len(mine)} jobs are not done; its table stays")
            continue
        rows = sum((json.loads(job.path(folder).read_text("utf-8")) for job in mine), [])
        results.mkdir(parents=True, exist_ok=True)
        texts = {
            f"{part}.csv": pd.DataFrame(rows).to_csv(index=False, float_format="%.6g"),
            f"{part}.json": json.dumps({"recipes": recipes(mine)}, indent=1) + "\n",
        }
        for name, text in texts.items():
            beside = results / f".{name}.{os.getpid()}"
            beside.write_text(text, encoding="utf-8", newline="\n")
            os.replace(beside, results / name)
        print(f"{part}: {len(rows)} rows from {len(mine)} jobs")


def digest(value: object) -> str:
    """The SHA-256 of a value as JSON; of a function in it, its name and options count."""
    text = json.dumps(value, sort_keys=True, default=told)
    return hashlib.sha256(text.encode()).hexdigest()


def recipes(jobs: list[Job]) -> str:
    """One digest of what the jobs' results depend on."""
    return digest(sorted([job.name, digest([job.recipe, job.arguments])] for job in jobs))
