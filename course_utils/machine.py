"""What the lectures need of a machine, and whether it is here: Python, packages, memory, data.

Only the standard library is imported above the functions: a machine that lacks a package must be
able to say so.
"""

import contextlib
import math
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

PROJECT = "adversarial-examples-course"
ROOT = Path(__file__).resolve().parent.parent
MEMORY = 2.0  # GB of 10^9 bytes; the hungriest, Lecture 3, was seen to take 1.75
DISK = 0.2  # GB, for MNIST and whatever is half unpacked on the way


class Finding(NamedTuple):
    """What one check found, and what the reader can do about it: "" where all is well."""

    what: str
    found: str
    todo: str = ""
    needed: bool = True  # False where the lectures run all the same, slower or with some risk

    @property
    def word(self) -> str:
        return "fine" if not self.todo else "MISSING" if self.needed else "note"


def check() -> Iterator[Finding]:
    """Look at one thing that the lectures need after the other; fetch the data if need be."""
    for look in (python, packages, torch, torchvision, memory, disk, data):
        try:
            yield look()
        except (ImportError, OSError, RuntimeError) as error:  # a broken package fails in any way
            reason = " ".join(str(error).split())[:200]
            again = f"{update()}; if it is no better, delete the folder .venv in the course's first"
            yield Finding(look.__name__, f"cannot be looked at: {reason}", again)


def report(findings: Iterable[Finding]) -> str:
    """One line for each finding, and beneath it what to do, where there is something to do."""
    return "\n".join(
        f"{one.word:8} {one.what:12} {one.found}" + (f"\n{'':8} -> {one.todo}" if one.todo else "")
        for one in findings
    )


def verdict(findings: Iterable[Finding]) -> str:
    """Whether the lectures can run here, in one sentence."""
    missing = ", ".join(finding.what for finding in findings if finding.word == "MISSING")
    if missing:
        return f"Not yet ready: {missing}. See what stands behind -> above."
    return "Everything that the lectures need is here."


def python() -> Finding:
    """Whether this Python is new enough for the course, and how many cores it may use."""
    from packaging.specifiers import SpecifierSet

    here, wanted = "{}.{}.{}".format(*sys.version_info), _requirements()[0]
    if not SpecifierSet(wanted).contains(here):
        todo = f"install a newer one, then {update()}"
        return Finding("python", f"{here}; the course needs {wanted}", todo)
    return Finding("python", f"{here}, on {cores()} core{'s' * (cores() > 1)}")


def packages() -> Finding:
    """Whether each package that the course names is installed, in a version that should work."""
    from packaging.requirements import Requirement

    wanted = [Requirement(line) for line in _requirements()[1]]
    wanted = [r for r in wanted if r.marker is None or r.marker.evaluate({"extra": ""})]
    wrong = [] if wanted else ["the course is not installed"]
    for requirement in wanted:
        try:
            version = metadata.version(requirement.name)
            if not requirement.specifier.contains(version, prereleases=True):
                wrong.append(f"{requirement} is wanted, {version} is installed")
        except metadata.PackageNotFoundError:
            wrong.append(f"{requirement} is not installed")
    if wrong:
        return Finding("packages", "; ".join(wrong), update())
    return Finding("packages", f"all {len(wanted)} are here, in versions that should work")


def torch() -> Finding:
    """Whether PyTorch can be imported, and what it computes on."""
    import torch

    from course_utils.device import get_device

    place = "the processor, which is all that the lectures need"
    if get_device().type != "cpu":
        place += "; there is a GPU, too"
    return Finding("torch", f"{torch.__version__}, on {place}")


def torchvision() -> Finding:
    """Whether torchvision can be imported."""
    from course_utils.vision import import_torchvision

    return Finding("torchvision", import_torchvision().__version__)


def memory() -> Finding:
    """How much memory is free; in a container, no more than its limit."""
    import psutil

    free = min(psutil.virtual_memory().available, _container_limit()) / 1e9
    todo = "close other programs, and notebooks that still run (Kernel > Shut Down All Kernels); "
    todo += "open one lecture at a time. If a cell ends in `Kernel died`, memory was the cause"
    found = f"{free:.1f} GB free, the lectures take up to {MEMORY} GB"
    return Finding("memory", found, "" if free >= MEMORY else todo, needed=False)


def disk() -> Finding:
    """How much room there is where the data are kept."""
    from course_utils.sources import cache_folder

    folder = cache_folder().absolute()
    there = next(place for place in (folder, *folder.parents) if place.is_dir())
    free = shutil.disk_usage(there).free / 1e9
    todo = f"make {DISK} GB of room, or set COURSE_CACHE to a folder on another disk"
    found = f"{free:.1f} GB free where downloads are kept, {shown(folder)}"
    return Finding("disk", found, "" if free >= DISK else todo, needed=False)


def data() -> Finding:
    """Whether MNIST is here or can be had, and where it lies; the first time, it is fetched."""
    from course_utils import data, sources

    try:
        digits = sum(len(data.load_mnist(split)[1]) for split in ("train", "test"))
    except sources.DataUnavailable as error:
        again = "run this cell again (if you set a variable: close Jupyter and start it from there)"
        told = str(error).replace("\n", "\n" + " " * 12).partition("What you can do:")
        return Finding("data", told[0].strip(), f"do one of these, then {again}:{told[2]}")
    return Finding("data", f"{digits:,} digits of MNIST, in {shown(sources.cache_folder())}")


def cores() -> int:
    """The processor cores that this Python may use."""
    allowed = getattr(os, "sched_getaffinity", None)  # macOS and Windows have none
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def update() -> str:
    """What to do to get the course's packages, here or where it was installed without a folder."""
    if not (ROOT / "pyproject.toml").exists():
        return "run the first cell of this notebook again, and restart the kernel"
    how = f"in a terminal, in the folder {ROOT}, run `make setup` (or `python3 -m tools setup`)"
    return f"{how}, then choose Kernel > Restart Kernel and run this cell again"


def places() -> str:
    """Where things lie on this machine, in four lines."""
    from course_utils.sources import cache_folder

    cache, package = cache_folder(), Path(__file__).parent
    lines = {"this notebook runs in": Path.cwd(), "the course's code is in": package}
    lines |= {"the Python that runs it": Path(sys.executable), "downloads are kept in": cache}
    return "\n".join(f"{what:27}{shown(path)}" for what, path in lines.items())


def shown(path: Path) -> str:
    """A path as people read it: from the course's folder or from home (~) where it lies inside."""
    path = path.expanduser().absolute()
    for root, name in ((ROOT, "the course's folder"), (Path.home(), "~")):
        if path.is_relative_to(root):
            return str(Path(name) / path.relative_to(root))
    return str(path)


def _requirements() -> tuple[str, list[str]]:
    """The Python and the packages that the installed course asks for; no packages if it is not."""
    try:
        course = metadata.metadata(PROJECT)
    except metadata.PackageNotFoundError:
        return ">=3.11", []
    return course["Requires-Python"], course.get_all("Requires-Dist") or []


def _container_limit(folder: Path = Path("/sys/fs/cgroup")) -> float:
    """The bytes that a container may use; infinity where there is no limit."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):  # no such file, or the word max
            return int((folder / name).read_text())
    return math.inf
