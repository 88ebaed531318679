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
PLAIN = {bool: bool, int: int, complex: lambda z: {"complex": [z.real, z.imag]}, Number: float}
PLAIN |= {str: str.__str__, type(None): lambda _: None}


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
            grad = encode(value.grad if value.is_leaf else None, tensors)
            return {"tensor": [name, value.is_complex(), bool(value.requires_grad), grad]}
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufc":
        native = float if value.dtype == np.longdouble else value.dtype.newbyteorder("=")
        array = torch.from_numpy(np.array(value, native))
        return {"array": [encode(array, tensors), isinstance(value, np.generic)]}
    for kind, plain in PLAIN.items():
        if isinstance(value, kind):
            return plain(value)
    if isinstance(value, nn.Module):
        state = [*value.named_parameters(), *value.named_buffers()]
        parts = [[name, encode(tensor, tensors)] for name, tensor in state]
        return {"strange": [type(value).__name__, [m.training for m in value.modules()], parts]}
    if isinstance(value, tuple | list | set | frozenset | range):
        parts = [encode(part, tensors) for part in value]
        return parts if isinstance(value, list) else {"tuple": parts}
    if isinstance(value, dict):
        return {"dict": [[encode(k, tensors), encode(v, tensors)] for k, v in value.items()]}
    return {"strange": ["function" if callable(value) else type(value).__name__]}


def decode(tree, blob: bytes):
    """The value that `encode` wrote, from someone who is not trusted; blob: its tensors, `packed`.

    Raises Strange for what is no plain value, another exception for what `encode` never writes.
    """
    tensors = load(blob) if blob else {}

    def read(node: dict):
        ((kind, parts),) = node.items()
        if kind == "strange":
            raise Strange(str(parts[0]))
        if kind == "tensor":
            found = tensors[parts[0]]
            return torch.view_as_complex(found) if parts[1] else found
        if kind == "array":
            return parts[0].numpy()[()] if parts[1] else parts[0].numpy()
        return {"tuple": tuple, "dict": dict, "complex": lambda pair: complex(*pair)}[kind](parts)

    return json.loads(json.dumps(tree), object_hook=read)


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
        return None, *Remote.apply((ctx.key[0], ctx.key[1] + 1), *ctx.saved_tensors, *gradient)

    @staticmethod
    def vmap(info, in_dims, key, *inputs):
        rows = []
        for row in range(info.batch_size):
            pairs = zip(inputs, in_dims[1:], strict=True)
            rows.append(
                Remote.apply(key, *(x if d is None else x.select(d, row) for x, d in pairs))
            )
        if isinstance(rows[0], tuple):
            return tuple(map(torch.stack, zip(*rows, strict=True))), (0,) * len(rows[0])
        return torch.stack(rows), 0
