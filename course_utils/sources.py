"""Files that are too large to ship, or not ours to ship: found, fetched, checked and kept.

Each file is known by its digest, so it does not matter who hands it over, or under which name.
"""

import contextlib
import gzip
import hashlib
import importlib.util
import io
import os
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from tqdm.auto import tqdm

LARGEST_FILE = 64 * 2**20  # bytes; MNIST's training images take 45 MiB
PATIENCE = (3.0, 15.0)  # seconds for a host to take the call, and between two pieces of a file
ADVICE = f"""What you can do:
  - Without network: put these files, under any names, plain or as .gz, into a folder and set the
    environment variable COURSE_DATA to it: {{}}.
  - With network: see that this Python has pip and reaches a package index
    ({sys.executable} -m pip --version), then try again.
  - If the cache cannot be written or the disk is full: make room (200 MB are enough), or set
    COURSE_CACHE to a folder on another disk that you may write to."""


class DataUnavailable(RuntimeError):
    """No source gave the right bytes, or they could not be kept."""


def find(what: str, wanted: dict[str, str], subfolder: str, sources: Sequence) -> Path:
    """Return a folder that holds all wanted files; fetch those that are not yet in the cache.

    From below the folder that the environment variable COURSE_DATA names, files are taken that
    have the right contents, plain or as .gz; then the sources are asked, one after the other.
    Says nothing where all is in the cache; else each source and its progress go to stderr.

    Args:
        what: what the files are, for the reader.
        wanted: the digest of each file, by its name: its SHA-256, or the SHA-1 that git gives it.
        subfolder: where in the cache they belong.
        sources: whom to ask: what each is called on screen, and the function that gives a file's
            bytes by its name. What raises, or gives other bytes, is passed over.

    Raises DataUnavailable where no source has the files, or the cache cannot hold them.
    """
    folder = cache_folder() / subfolder
    answers, outer = [f"the cache, {folder}: incomplete"], sys.exception()
    try:
        if not (missing := [name for name in wanted if not _kept(folder / name, wanted[name])]):
            return folder
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()  # better known before a download than after
        sources = [("the folder COURSE_DATA", lambda name: _reader(name, wanted[name])), *sources]
    except OSError as error:
        answers[0] += f"; it cannot be written: {error}"
        sources = []

    import pooch  # which brings requests: not before it is needed

    def keep(read: Callable[[str], bytes], url: str, path: str, _: object) -> None:
        name = url.rpartition("/")[2]
        content = read(name)
        if not _matches(content, wanted[name]):
            raise ValueError(f"{name} came with other contents than it should have")
        Path(path).write_bytes(content)
        os.chmod(path, 0o644)  # as pooch makes it, it is its owner's alone; a cache may be shared

    pooch.get_logger().setLevel("WARNING")  # the rest is said here
    for source, read in sources:
        try:
            cache = pooch.create(folder, "", registry=dict.fromkeys(missing), retry_if_failed=1)
            for name in missing:
                # (It skips what an earlier source gave.)
                cache.fetch(name, downloader=partial(keep, read))
        except Exception as error:  # a source may fail in any way: the next one is asked
            while error.__context__ not in (None, outer):  # requests wraps errors four deep
                error = error.__context__
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            answers.append(f"{source}: {reason}")
            tqdm.write(f"{what}: {answers[-1]}", file=sys.stderr)
        else:
            tqdm.write(f"{what}: complete, from {source}. It is in {folder}.", file=sys.stderr)
            return folder
    tried = "\n  - ".join(["What was tried, and what came of it:", *answers])
    raise DataUnavailable(f"{what} could not be had. {tried}\n{ADVICE.format(', '.join(wanted))}")


def cache_folder() -> Path:
    """Return the folder for what was fetched: COURSE_CACHE if set, else the system's place."""
    import platformdirs

    named = os.environ.get("COURSE_CACHE")
    return Path(named or platformdirs.user_cache_dir("adversarial-examples-course")).expanduser()


def download(url: str) -> bytes:
    """Return what is at a URL, with a progress bar.

    Raises OSError where the host is not there, refuses, stalls or breaks off.
    """
    import pooch

    content = io.BytesIO()
    label = "  {3} from {2}".format(*url.split("/", 3))
    with tqdm(desc=label, total=1, unit="B", unit_scale=True, leave=False) as bar:
        pooch.HTTPDownloader(progressbar=bar, timeout=PATIENCE)(url, content, None)
    return content.getvalue()


def gunzip(content: bytes) -> bytes:
    """Unpack a gzip file, at most `LARGEST_FILE` bytes of it; other bytes come back as they are.

    (requests unpacks what a host declares as compressed, so a .gz may arrive unpacked.)
    """
    if not content.startswith(b"\x1f\x8b"):
        return content
    return gzip.GzipFile(fileobj=io.BytesIO(content)).read(LARGEST_FILE)


def unpack_package(requirement: str, sha256: str, folder: Path) -> None:
    """Let pip (or uv, where there is no pip) unpack one wheel of that SHA-256 into a folder.

    They know the reader's index, proxy and certificates. Nothing is installed for Python to find.
    Raises RuntimeError where pip is missing or failed, in pip's own words.
    """
    tqdm.write(f"  {requirement} is being fetched through pip ...", file=sys.stderr)
    (folder / "requirements.txt").write_text(f"{requirement} --hash=sha256:{sha256}\n")
    wanted = "--no-deps --require-hashes --only-binary :all: --target . -r requirements.txt"
    command = [sys.executable, "-m", "pip", "install", "--no-input", "--no-compile", "--retries=1"]
    if not importlib.util.find_spec("pip"):  # an environment that uv made
        command = ["uv", "pip", "install", "--python", sys.executable]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    options = {"cwd": folder, "env": os.environ | {"PIP_USER": "0"}, "encoding": "utf-8"}
    done = subprocess.run([*command, *wanted.split()], **pipes, **options, errors="replace")
    if done.returncode:
        lines = done.stdout.splitlines()
        errors = [line for line in lines if line.startswith("ERROR")] or lines[-1:]
        if "connection broken" in done.stdout:  # pip then says "no such version"
            errors.insert(0, "no connection to the package index.")
        raise RuntimeError(" ".join(errors) or f"pip ended with {done.returncode}")


def _reader(name: str, digest: str) -> bytes:
    """Return the contents of that digest from below the reader's folder."""
    if not (named := os.environ.get("COURSE_DATA")):
        raise FileNotFoundError("not set")
    files = (path for path in Path(named).expanduser().rglob("*") if path.is_file())
    for path in sorted(files, key=lambda path: path.name[:5] != name[:5]):  # likely ones first
        with contextlib.suppress(OSError, EOFError, zlib.error):  # cannot be read, or no whole .gz
            if path.stat().st_size <= LARGEST_FILE:
                content = gunzip(path.read_bytes())
                if _matches(content, digest):
                    return content
    raise FileNotFoundError(f"nothing below {named} has the contents of {name}, plain or as .gz")


def _matches(content: bytes, digest: str) -> bool:
    # 40 digits are git's SHA-1, which no longer keeps a forger out: of some files we know no other.
    if len(digest) == 40:
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == digest
    return hashlib.sha256(content).hexdigest() == digest


def _kept(path: Path, digest: str) -> bool:
    """Whether a file of that digest is there; another is removed, to be fetched anew."""
    if path.exists() and not _matches(path.read_bytes(), digest):
        path.unlink()
    return path.exists()
