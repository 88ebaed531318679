"""What grader and student's process say to each other: JSON, and tensors as safetensors.

Both import it, so it knows nothing of tests and marks. What comes from the student's process is
read by `receive` and `decode`, and by nothing else.
"""

import hashlib
import json
from multiprocessing.connection import Connection
from numbers import Number

import numpy as np
import torch
from safetensors.torch import load, save
from torch import nn

MESSAGE = 256 << 20  # bytes
LONGEST = 20_000  # characters of output kept from a cell
PLAIN = {bool: bool, int: int, complex: lambda z: {"complex": [z.real, z.imag]}, Number: float,
         str: str.__str__}


class Strange(ValueError):
    """A value that is no plain answer; the message is its class."""


def send(pipe: Connection, header: dict, blob: bytes = b"") -> None:
    pipe.send_bytes(json.dumps(header).encode())
    pipe.send_bytes(blob)


def receive(pipe: Connection) -> tuple[dict, bytes]:
    """Raises EOFError, OSError or ValueError for what is no message."""
    return json.loads(pipe.recv_bytes(MESSAGE >> 3)), pipe.recv_bytes(MESSAGE)


def encode(value, tensors: dict[str, torch.Tensor]):
    """`value` as JSON; what its tensors and arrays contain is put into `tensors`."""
    if isinstance(value, torch.Tensor):
        with torch._C.DisableTorchFunctionSubclass():
            plain = value.detach().cpu().to_dense().as_subclass(torch.Tensor).resolve_conj()
            plain = torch.view_as_real(plain) if plain.is_complex() else plain
            plain = plain.resolve_neg().clone(memory_format=torch.contiguous_format)
            tensors[name := str(len(tensors))] = plain
            pairs, tracked = value.is_complex(), bool(value.requires_grad)
            grad = encode(value.grad if value.is_leaf else None, tensors)
        return {"tensor": [name, pairs, tracked, grad]}
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufc":
        native = float if value.dtype == np.longdouble else value.dtype.newbyteorder("=")
        array = torch.from_numpy(np.array(value, native))
        return {"array": [encode(array, tensors), isinstance(value, np.generic)]}
    for kind, plain in PLAIN.items():
        if isinstance(value, kind):
            return plain(value)
    if value is None:
        return None
    if isinstance(value, nn.Module):
        state = [*value.named_parameters(), *value.named_buffers()]
        parts = [[name, encode(tensor, tensors)] for name, tensor in state]
        return {"strange": [type(value).__name__, [m.training for m in value.modules()], parts]}
    if isinstance(value, tuple | list | set | frozenset | range):
        parts = [encode(part, tensors) for part in value]
        return {"list" if isinstance(value, list) else "tuple": parts}
    if isinstance(value, dict):
        return {"dict": [[encode(k, tensors), encode(v, tensors)] for k, v in value.items()]}
    return {"strange": ["function" if callable(value) else type(value).__name__]}


def decode(tree, blob: bytes):
    """The value that `encode` wrote, from someone who is not trusted; blob: its tensors, `packed`.

    Raises Strange for what is no plain value, another exception for what `encode` never writes.
    """
    tensors = load(blob) if blob else {}

    def read(tree):
        if tree is None or isinstance(tree, bool | int | float | str):
            return tree
        ((kind, parts),) = tree.items()
        if kind == "tensor":
            found = tensors[parts[0]]
            return torch.view_as_complex(found) if parts[1] else found
        if kind == "array":
            array = read(parts[0]).numpy()
            return array[()] if parts[1] else array
        if kind == "strange":
            raise Strange(str(parts[0]))
        if kind == "dict":
            return {read(key): read(part) for key, part in parts}
        return {"list": list, "tuple": tuple, "complex": lambda p: complex(*p)}[kind](
            map(read, parts)
        )

    return read(tree)


def packed(tensors: dict[str, torch.Tensor]) -> bytes:
    return save(tensors) if tensors else b""


def fingerprint(value) -> str:
    """The same for a value and its copy in another process, until one of them is changed."""
    tree = encode(value, tensors := {})
    return hashlib.sha256(json.dumps(tree).encode() + packed(tensors)).hexdigest()


def leaves(value) -> list[torch.Tensor]:
    """Every tensor in an argument, in an order that its copy in another process has, too."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, nn.Module):
        return [*value.parameters()]
    parts = value.values() if isinstance(value, dict) else value
    return [t for p in parts for t in leaves(p)] if isinstance(value, tuple | list | dict) else []


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
        ctx.save_for_forward(*inputs[1:])

    @staticmethod
    def jvp(ctx, _, tangent):  # what is passed back is linear in the output's gradient: its slope
        (value,), (number, times) = ctx.saved_tensors, ctx.key
        zeros = torch.zeros_like(Remote.apply(ctx.key, value))
        return Remote.apply((number, times + 2), value, zeros, tangent)[1]

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
