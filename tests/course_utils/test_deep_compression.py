"""The reader of the compressed AlexNet, on files that the writer below makes.

The writer follows Han et al. 2015, section 3: weights kept with the gaps between them, and where
a gap is longer than 4 bits can say, a weight 0 is kept on the way.
"""

import hashlib
import math
import struct

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_utils import deep_compression
from course_utils.deep_compression import GIT_SHA1, SHAPES, alexnet_weights, read
from course_utils.sources import DataUnavailable, _matches

# AlexNet's layers with few channels.
SMALL = {
    "conv1": (6, 3, 11, 11),
    "conv2": (4, 3, 5, 5),
    "conv3": (5, 4, 3, 3),
    "conv4": (4, 3, 3, 3),
    "conv5": (4, 2, 3, 3),
    "fc6": (7, 36),
    "fc7": (5, 7),
    "fc8": (3, 5),
}


def nibbles(numbers: list[int]) -> bytes:
    """Two numbers a byte, the first in the lower half."""
    even = [*numbers, 0] if len(numbers) % 2 else numbers
    return bytes(low + 16 * high for low, high in zip(even[::2], even[1::2]))


def kept(flat_codes: np.ndarray) -> list[tuple[int, int]]:
    """Return (gap, code) of each weight that is kept."""
    pairs, last = [], -1
    for place in np.flatnonzero(flat_codes):
        while place - last > 16:
            pairs.append((15, 0))
            last += 16
        pairs.append((place - last - 1, flat_codes[place]))
        last = place
    return pairs


def parts(shapes: dict, share: float, seed: int) -> tuple[list[bytes], dict]:
    """Return the pieces of a file, the counts first, and the weights that it should give."""
    generator = np.random.default_rng(seed)
    counts, pieces, weights = [], [], {}
    for name, shape in shapes.items():
        entries = 256 if len(shape) == 4 else 16
        codebook = generator.normal(size=entries).astype("<f4")
        codebook[0] = 0
        bias = generator.normal(size=shape[0]).astype("<f4")
        codes = generator.integers(1, entries, shape) * (generator.random(shape) < share)
        pairs = kept(codes.reshape(-1))
        gaps, numbers = ([int(pair[i]) for pair in pairs] for i in (0, 1))
        counts.append(len(pairs))
        packed = bytes(numbers) if entries == 256 else nibbles(numbers)
        pieces += [codebook.tobytes(), bias.tobytes(), packed, nibbles(gaps)]
        weights |= {f"{name}.weight": codebook[codes], f"{name}.bias": bias}
    return [struct.pack(f"<{len(counts)}I", *counts), *pieces], weights


@given(st.sampled_from([0.0, 0.02, 0.1, 0.6, 1.0]), st.integers(0, 999))
def test_what_was_written_is_read_back(share, seed):
    pieces, weights = parts(SMALL, share, seed)
    found = read(b"".join(pieces), SMALL)
    assert found.keys() == weights.keys()
    for name, weight in weights.items():
        assert found[name].dtype == torch.float32
        np.testing.assert_array_equal(found[name].numpy(), weight, err_msg=name)


def test_a_file_written_by_hand():
    """One layer of 2 x 20: codes 3, 9 and 1 after gaps of 2, 15 and 0, so at 2, 18 and 19."""
    codebook = [0.5 * k for k in range(16)]
    content = struct.pack("<I16f2f", 3, *codebook, 7.0, -8.0) + bytes([0x93, 0x01, 0xF2, 0x00])
    found = read(content, {"fc": (2, 20)})
    expected = torch.zeros(40)
    expected[[2, 18, 19]] = torch.tensor([1.5, 4.5, 0.5])
    assert torch.equal(found["fc.weight"], expected.view(2, 20))
    assert found["fc.bias"].tolist() == [7, -8]


def test_untouched_places_carry_the_codebooks_first_entry():
    content = struct.pack("<I16f1f", 1, *range(5, 21), 0.0) + bytes([0x01, 0x01])
    assert read(content, {"fc": (1, 3)})["fc.weight"].tolist() == [[5, 6, 5]]


def test_the_shapes_are_alexnets():
    weights = sum(math.prod(shape) for shape in SHAPES.values())
    assert weights + sum(shape[0] for shape in SHAPES.values()) == 60_965_224


def test_every_cut_is_refused_and_so_are_extra_bytes():
    pieces, _ = parts(SMALL, 0.1, 0)
    content = b"".join(pieces)
    ends = np.cumsum([len(piece) for piece in pieces]).tolist()
    assert len(ends) == 33
    cuts = {0, 1, 31} | {end + step for end in ends for step in (-1, 0, 1)} - {len(content)}
    assert len(cuts) > 60
    for end in sorted(cuts):
        cut = (content + b"\0")[:end]
        with pytest.raises(ValueError, match=f"content: got {end} bytes, expected \\d+"):
            read(cut, SMALL)


@pytest.mark.parametrize("layer", range(8))
def test_a_count_that_the_file_does_not_hold_is_refused(layer):
    pieces, _ = parts(SMALL, 0.7, 0)
    counts = list(struct.unpack("<8I", pieces[0]))
    for count in (counts[layer] - 2, counts[layer] + 2, 2**32 - 1):
        changed = [count if i == layer else old for i, old in enumerate(counts)]
        with pytest.raises(ValueError, match="^content: "):
            read(struct.pack("<8I", *changed) + b"".join(pieces[1:]), SMALL)


@pytest.mark.parametrize("layer", range(8))
def test_a_place_beyond_the_end_is_refused_by_name(layer):
    pieces, _ = parts(SMALL, 0.9, 0)
    gaps = 4 * layer + 4
    pieces[gaps] = b"\xff" * len(pieces[gaps])
    with pytest.raises(ValueError, match=f"{list(SMALL)[layer]} has a weight at "):
        read(b"".join(pieces), SMALL)


def test_the_last_place_is_taken_and_the_next_refused():
    head = struct.pack("<I16f1f", 1, *range(16), 0.0) + bytes([0x04])
    assert read(head + bytes([2]), {"fc": (1, 3)})["fc.weight"].tolist() == [[0, 0, 4]]
    with pytest.raises(ValueError, match="fc has a weight at 3, of 3"):
        read(head + bytes([3]), {"fc": (1, 3)})


@given(st.binary(max_size=300))
def test_any_bytes_are_a_network_or_a_value_error(content):
    try:
        read(content, {"fc": (2, 20)})
    except ValueError as error:
        assert str(error).startswith("content: ")


# The file


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("COURSE_DATA", raising=False)
    monkeypatch.setattr(deep_compression, "SHAPES", SMALL)
    return tmp_path / "cache"


@pytest.fixture
def content(monkeypatch) -> bytes:
    content = b"".join(parts(SMALL, 0.1, 0)[0])
    digest = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    monkeypatch.setattr(deep_compression, "GIT_SHA1", digest)
    return content


def unreachable(url):
    raise OSError("Name or service not known")


def test_git_names_a_file_as_git_does():
    # git hash-object of an empty file, and of "hello\n".
    empty, hello = (
        "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
        "ce013625030ba8dba906f756967f9e9ca394464a",
    )
    assert _matches(b"", empty) and _matches(b"hello\n", hello) and not _matches(b"hello", hello)
    assert len(GIT_SHA1) == 40


def test_the_file_is_fetched_once(cache, content, monkeypatch):
    asked = []
    monkeypatch.setattr(deep_compression, "download", lambda url: asked.append(url) or content)
    first, second = alexnet_weights(), alexnet_weights()
    assert all(torch.equal(first[name], second[name]) for name in second)
    assert [path.name for path in cache.iterdir()] == ["AlexNet_compressed.net"]
    assert len(asked) == 1
    assert asked[0].startswith("https://raw.githubusercontent.com/songhan/Deep-Compression-AlexNet")


def test_the_file_is_read_from_the_readers_folder(cache, content, tmp_path, monkeypatch):
    monkeypatch.setattr(deep_compression, "download", unreachable)
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    (tmp_path / "AlexNet_compressed.net").write_bytes(content)
    assert alexnet_weights()["fc8.bias"].shape == (3,)


def test_a_damaged_file_in_the_cache_is_replaced(cache, content, monkeypatch):
    monkeypatch.setattr(deep_compression, "download", lambda url: content)
    cache.mkdir()
    (cache / "AlexNet_compressed.net").write_bytes(content[:-1])
    alexnet_weights()
    assert (cache / "AlexNet_compressed.net").read_bytes() == content


@pytest.mark.parametrize(
    ("answer", "words"),
    [(unreachable, "service not known"), (lambda url: b"<html>", "came with other contents")],
    ids=["no network", "another file"],
)
def test_without_the_file_the_error_says_what_was_tried(cache, content, monkeypatch, answer, words):
    monkeypatch.setattr(deep_compression, "download", answer)
    with pytest.raises(DataUnavailable) as caught:
        alexnet_weights()
    message = str(caught.value)
    assert words in message and "raw.githubusercontent.com" in message
    assert str(cache) in message and "COURSE_DATA" in message
    assert not cache.exists() or list(cache.iterdir()) == []
