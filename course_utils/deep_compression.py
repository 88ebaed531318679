"""The trained AlexNet of 2012, pruned and quantised by Han, Mao and Dally to 9 MB.

Written from a description of the file and tested on files of our own making: it has NOT YET BEEN
RUN ON THE REAL FILE, which could not be had where the course was made. Its hash is checked first.

The layout, little endian. Eight uint32: how many weights each layer keeps, conv1 to fc8. Then for
each layer a codebook of 2^bits float32 (8 bits for convolutions, 4 for fully connected layers),
the float32 biases, a code for each weight kept, and the gap before it in 4 bits. Two 4-bit
numbers share a byte, the lower half first. A weight's place in the flattened tensor is
cumsum(gap + 1) - 1; everywhere else stands the codebook's first entry.

Source: Han, Mao, Dally 2015, "Deep Compression" (arXiv:1510.00149).
"""

import math
from collections.abc import Mapping

import numpy as np
import torch

from course_utils.sources import download, find

FILE = "AlexNet_compressed.net"
GIT_SHA1 = "ea0d14e98edfbcbfba995003c94d7259fa23b6cc"
URL = (
    "https://raw.githubusercontent.com/songhan/Deep-Compression-AlexNet/"
    f"a4ab6859e1bc86dec3607c8cdd53b0a72da6bcda/{FILE}"
)

SHAPES: dict[str, tuple[int, ...]] = {
    "conv1": (96, 3, 11, 11),
    "conv2": (256, 48, 5, 5),
    "conv3": (384, 256, 3, 3),
    "conv4": (384, 192, 3, 3),
    "conv5": (256, 192, 3, 3),
    "fc6": (4096, 9216),
    "fc7": (4096, 4096),
    "fc8": (1000, 4096),
}
"""The layers' weights in the file's order: (out, in / groups, height, width) or (out, in)."""


def alexnet_weights() -> dict[str, torch.Tensor]:
    """Return the trained weights and biases, such as "conv1.weight" and "fc8.bias", in float32.

    The file is looked for in the folder that COURSE_DATA names and in the course's cache, else
    fetched from github.com/songhan/Deep-Compression-AlexNet into the cache.

    Raises:
        DataUnavailable: it could not be had with the right contents, or not be kept.
    """
    source = "raw.githubusercontent.com", lambda name: download(URL)
    folder = find("The trained AlexNet of 2012", {FILE: GIT_SHA1}, "", [source])
    return read((folder / FILE).read_bytes())


def read(
    content: bytes, shapes: Mapping[str, tuple[int, ...]] = SHAPES
) -> dict[str, torch.Tensor]:
    """Unpack a compressed network.

    Args:
        content: the bytes of the file.
        shapes: the shape of each layer's weight, in the file's order: four numbers for a
            convolution, two for a fully connected layer.

    Returns:
        For each layer "<name>.weight", of its shape, and "<name>.bias", (out,): float32.

    Raises:
        ValueError: the file is too short, too long or contradicts itself. Found out before
            anything of the size of the weights is made.
    """
    head = 4 * len(shapes)
    if len(content) < head:
        raise ValueError(
            f"content: got {len(content)} bytes, expected at least the {head} of the counts"
        )
    counts = np.frombuffer(content, "<u4", len(shapes)).tolist()
    for (name, shape), count in zip(shapes.items(), counts):
        if count > math.prod(shape):
            raise ValueError(
                f"content: {name} keeps {count} weights, expected at most {math.prod(shape)}"
            )
    layers = list(zip(shapes.items(), counts))
    expected = head + sum(sum(_sizes(shape, count)) for (_, shape), count in layers)
    if len(content) != expected:
        raise ValueError(
            f"content: got {len(content)} bytes, expected the {expected} that its counts ask for"
        )

    weights = {}
    start = head
    for (name, shape), count in layers:
        pieces = []
        for size in _sizes(shape, count):
            pieces.append(content[start : start + size])
            start += size
        codebook, bias = (np.frombuffer(piece, "<f4") for piece in pieces[:2])
        for what, numbers in (("codebook", codebook), ("biases", bias)):
            if not np.isfinite(numbers).all():
                raise ValueError(f"content: {name}'s {what} hold {numbers}, expected finite ones")
        codes = _numbers(pieces[2], _bits(shape), count)
        places = np.cumsum(_numbers(pieces[3], 4, count).astype(np.int64) + 1) - 1
        if count and places[-1] >= math.prod(shape):
            raise ValueError(
                f"content: {name} has a weight at place {places[-1]}, "
                f"expected places below {math.prod(shape)}"
            )
        weight = np.full(math.prod(shape), codebook[0], np.float32)
        weight[places] = codebook[codes]
        weights[f"{name}.weight"] = torch.from_numpy(weight).reshape(shape)
        weights[f"{name}.bias"] = torch.from_numpy(bias.astype(np.float32))
    return weights


def _bits(shape: tuple[int, ...]) -> int:
    return 8 if len(shape) == 4 else 4


def _sizes(shape: tuple[int, ...], count: int) -> tuple[int, int, int, int]:
    """Return the bytes of a layer's codebook, biases, codes and gaps."""
    bits = _bits(shape)
    return 4 * 2**bits, 4 * shape[0], (count * bits + 7) // 8, (count + 1) // 2


def _numbers(packed: bytes, bits: int, count: int) -> np.ndarray:
    """Return `count` numbers of 4 or 8 bits; of two in a byte the lower half comes first."""
    values = np.frombuffer(packed, np.uint8)
    if bits == 4:
        values = np.stack([values & 15, values >> 4], 1).reshape(-1)
    return values[:count]
