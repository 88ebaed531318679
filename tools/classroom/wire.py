"""What grader and student's process say to each other: a JSON header, and bytes.

Both import it, so it knows nothing of tests and marks. What comes from the student's process is
read by `decode` and by nothing else.
"""

import decimal
import fractions
import hashlib
import json
import socket
import time

import numpy as np
import torch
from torch import nn

MESSAGE = 256 << 20  # bytes
LONGEST = 20_000  # characters of output kept from a cell


class Pipe:
    """Messages through a socket: a JSON header, and bytes."""

    def __init__(self, connection: socket.socket):
        self.socket, self.began = connection, None

    def send(self, header: dict, *blobs: bytes, fds=()) -> None:
        text = json.dumps(header | {"sizes": [len(blob) for blob in blobs]}).encode()
        self.socket.settimeout(60)
        socket.send_fds(self.socket, [len(text).to_bytes(8, "big")], fds)
        self.socket.sendall(b"".join([text, *blobs]))

    def receive(self, seconds: float | None = None, fds: int = 0) -> tuple[dict, list, list]:
        """A message's header, bytes, and up to `fds` file descriptors.

        Raises TimeoutError after so many seconds, EOFError and ValueError for what is no message.
        """
        until = None if seconds is None else time.monotonic() + seconds
        self.socket.settimeout(seconds)
        first, passed, _, _ = socket.recv_fds(self.socket, 8, fds)
        length = int.from_bytes(first + self._read(8 - len(first), until), "big")
        header = json.loads(self._read(length, until))
        return header, [self._read(size, until) for size in header["sizes"]], passed

    def _read(self, size: int, until: float | None) -> bytes:
        if not 0 <= size <= MESSAGE:
            raise ValueError(f"a message of {size} bytes")
        found = bytearray()
        while len(found) < size:
            if until is not None:
                self.socket.settimeout(max(until - time.monotonic(), 0.01))
            part = self.socket.recv(min(size - len(found), 1 << 20))
            if not part:
                raise EOFError
            found += part
        return bytes(found)


# Values as JSON and bytes.


def encode(value, blobs: list[bytes]):
    """`value` as JSON, with the contents of its tensors and arrays appended to `blobs`."""
    if isinstance(value, torch.Tensor):
        with torch._C.DisableTorchFunctionSubclass():
            plain = value.detach().cpu()
            plain = (plain if plain.layout is torch.strided else plain.to_dense()).contiguous()
            plain = plain.resolve_conj().resolve_neg()
            flat = plain.flatten().clone(memory_format=torch.contiguous_format)
            blobs.append(flat.view(torch.uint8).numpy().tobytes())
            tracked, grad = bool(value.requires_grad), value.grad if value.is_leaf else None
        return {"tensor": [str(plain.dtype), list(plain.shape), tracked, encode(grad, blobs)]}
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufc":
        blobs.append(value.tobytes())
        return {"array": [value.dtype.str, list(value.shape), isinstance(value, np.generic)]}
    for plain in (bool, int, float, str):
        if isinstance(value, plain):
            return plain(value)
    if value is None:
        return None
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, fractions.Fraction | decimal.Decimal):
        return float(value)
    if isinstance(value, nn.Module):
        state = [*value.named_parameters(), *value.named_buffers()]
        parts = [[name, encode(tensor, blobs)] for name, tensor in state]
        return {"module": [[module.training for module in value.modules()], parts]}
    if isinstance(value, tuple | list | set | frozenset | range):
        parts = [encode(part, blobs) for part in value]
        return {"list" if isinstance(value, list) else "tuple": parts}
    if isinstance(value, dict):
        return {"dict": [[encode(k, blobs), encode(v, blobs)] for k, v in value.items()]}
    return {"other": "function" if callable(value) else type(value).__name__}


def fingerprint(value) -> str:
    """The same for a value and its copy in another process, until one of them is changed."""
    tree = encode(value, blobs := [])
    return hashlib.sha256(b"".join([json.dumps(tree).encode(), *blobs])).hexdigest()


def tensors(value) -> list[torch.Tensor]:
    """Every tensor in an argument, in an order that its copy in another process has, too."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, nn.Module):
        return [*value.parameters()]
    parts = value.values() if isinstance(value, dict) else value
    return [t for p in parts for t in tensors(p)] if isinstance(value, tuple | list | dict) else []


class Remote(torch.autograd.Function):
    """A function of tensors in the grader's process, for autograd and torch.func.

    `key` is its number, and how often it is differentiated: the derivative of (n, k), as a
    function of its inputs and the gradient of its output, is (n, k + 1).
    """

    generate_vmap_rule = False
    ask = None  # what asks the grader

    @staticmethod
    def forward(key, *inputs):
        return Remote.ask(key, inputs)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.key = inputs[0]
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx, *gradient):
        found = Remote.apply((ctx.key[0], ctx.key[1] + 1), *ctx.saved_tensors, *gradient)
        return None, *(found if isinstance(found, tuple) else (found,))

    @staticmethod
    def vmap(info, in_dims, key, *inputs):
        pairs = list(zip(inputs, in_dims[1:], strict=True))
        rows = [
            Remote.apply(key, *(x if d is None else x.select(d, row) for x, d in pairs))
            for row in range(info.batch_size)
        ]
        if isinstance(rows[0], tuple):
            return tuple(map(torch.stack, zip(*rows, strict=True))), (0,) * len(rows[0])
        return torch.stack(rows), 0


def callback(number: int):
    def call(*values):
        if values and all(isinstance(value, torch.Tensor) for value in values):
            return Remote.apply((number, 0), *values)
        return Remote.ask((number, 0), values)

    return call


class Strange:
    """In the place of a value that is no plain answer: what it was."""

    def __init__(self, kind: str):
        self.kind = kind


def decode(tree, blobs):
    """The value that `encode` wrote, from someone who is not trusted; blobs: an iterator.

    Raises ValueError (or what it is made of) for anything that `encode` does not write.
    """
    def read(tree):
        if tree is None or isinstance(tree, bool | int | float | str):
            return tree
        ((kind, parts),) = tree.items()
        if kind == "tensor":
            dtype = getattr(torch, parts[0].removeprefix("torch."))
            data = bytearray(next(blobs)) or bytearray(16)
            count = int(np.prod([int(n) for n in parts[1]]))
            tensor = torch.frombuffer(data, dtype=dtype, count=max(count, 1))[:count].view(parts[1])
            if parts[3] is not None:
                read(parts[3])
            return tensor
        if kind == "array":
            dtype = np.dtype(str(parts[0]))
            if dtype.kind not in "biufc":
                raise ValueError(f"an array of {dtype}")
            array = np.frombuffer(bytearray(next(blobs)), dtype).reshape(parts[1])
            return array[()] if parts[2] else array
        if kind in ("list", "tuple"):
            return {"list": list, "tuple": tuple}[kind](map(read, parts))
        if kind == "dict":
            return {read(key): read(part) for key, part in parts}
        if kind == "complex":
            return complex(*parts)
        return Strange(str(parts if kind == "other" else kind))

    return read(tree)
