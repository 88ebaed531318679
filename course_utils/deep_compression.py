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

from math import prod

import numpy as np
import torch

from course_utils.sources import download, find

FILE, GIT_SHA1 = "AlexNet_compressed.net", "ea0d14e98edfbcbfba995003c94d7259fa23b6cc"
COMMIT = "a4ab6859e1bc86dec3607c8cdd53b0a72da6bcda"
URL = f"https://raw.githubusercontent.com/songhan/Deep-Compression-AlexNet/{COMMIT}/{FILE}"
# The layers' weights in the file's order: (out, in / groups, height, width) or (out, in).
SHAPES = {"conv1": (96, 3, 11, 11), "conv2": (256, 48, 5, 5), "conv3": (384, 256, 3, 3)}
SHAPES |= {"conv4": (384, 192, 3, 3), "conv5": (256, 192, 3, 3)}
SHAPES |= {"fc6": (4096, 9216), "fc7": (4096, 4096), "fc8": (1000, 4096)}


def alexnet_weights() -> dict[str, torch.Tensor]:
    """Return the trained weights and biases, such as "conv1.weight" and "fc8.bias", in float32.

    Raises DataUnavailable where the file could not be had with the right contents, or not be kept.
    """
    source = "raw.githubusercontent.com", lambda name: download(URL)
    folder = find("The trained AlexNet of 2012", {FILE: GIT_SHA1}, "", [source])
    return read((folder / FILE).read_bytes(), SHAPES)


def read(content: bytes, shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """Unpack a compressed network with weights of these shapes; as `alexnet_weights`.

    Raises ValueError where the file is too short, too long or contradicts itself.
    """
    start = 0

    def take(count: int, kind: str = "u1", bits: int = 8) -> np.ndarray:
        """Return the file's next `count` numbers."""
        nonlocal start
        size = np.dtype(kind).itemsize * ((count * bits + 7) // 8)
        if start + size > len(content):
            raise ValueError(f"content: got {len(content)} bytes, expected {start + size} or more")
        start += size
        values = np.frombuffer(content, kind, size // np.dtype(kind).itemsize, start - size)
        return values if bits == 8 else np.stack([values & 15, values >> 4], 1).reshape(-1)[:count]

    weights = {}
    for (name, shape), count in zip(shapes.items(), take(len(shapes), "<u4").tolist()):
        bits = 8 if len(shape) == 4 else 4
        codebook, bias = take(2**bits, "<f4"), take(shape[0], "<f4")
        codes, places = take(count, bits=bits), np.cumsum(take(count, bits=4) + 1) - 1
        if count and places[-1] >= prod(shape):
            raise ValueError(f"content: {name} has a weight at {places[-1]}, of {prod(shape)}")
        weight = np.full(prod(shape), codebook[0])
        weight[places] = codebook[codes]
        weights[f"{name}.weight"] = torch.from_numpy(weight.reshape(shape))
        weights[f"{name}.bias"] = torch.from_numpy(bias.copy())
    if start != len(content):
        raise ValueError(f"content: got {len(content)} bytes, expected {start}")
    return weights
