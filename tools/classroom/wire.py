"""What grader and student's process say to each other, in msgpack.

Both import it, so it knows nothing of tests and marks. What comes from the student's process is
read by `receive` and `unpack`, and by nothing else: neither unpickles anything.
"""

import ctypes
import hashlib
import io
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from numbers import Number
from time import sleep

import msgpack
import numpy as np
import psutil
import torch
from safetensors.torch import load, save
from torch import nn

MESSAGE, RESULT = 128 << 20, 8 << 20  # bytes; three times the largest right answer
DEEP, MOST = 32, 1_000_000  # tuples in tuples; what all lists in a value hold together
LONGEST = 20_000  # characters of output kept from a cell
libc = ctypes.CDLL(None)
ABI = libc.syscall(444, None, 0, 1) if sys.platform == "linux" else 0  # Landlock's version
TEXT = {"unicode_errors": "surrogatepass"}


class Strange(ValueError):
    """A value that is no plain answer; the message says what it is."""


def send(pipe: Connection, message: dict) -> None:
    pipe.send_bytes(pack(message))


def receive(pipe: Connection) -> dict:
    """Raises EOFError, OSError, or what `unpack` does."""
    return unpack(pipe.recv_bytes(MESSAGE))


def pack(value) -> bytes:
    """The value as bytes: numbers, text, tensors, arrays, and lists, tuples and dicts of them. Of
    anything else its class; of a model also what tells whether it was changed."""
    return msgpack.packb(value, default=_written, strict_types=True, **TEXT)


def unpack(data: bytes, depth=0, left=None):
    """The value that `pack` wrote, from someone who is not trusted.

    Raises Strange for what is no plain value, another exception for what `pack` never writes.
    """
    left = [MOST] if left is None else left

    def count(parts):
        left[0] -= len(parts) + 1
        if left[0] < 0:
            raise Strange(f"more than {MOST:,} things in lists")
        return parts

    def read(kind: int, inner: bytes):
        if depth == DEEP:
            raise Strange(f"tuples nested more than {DEEP} deep")
        return dict(enumerate(KINDS))[kind](*unpack(inner, depth + 1, left))

    # A longer list than this is refused before there is memory for it.
    hooks = {"ext_hook": read, "list_hook": count, "object_hook": count}
    most = {"max_array_len": MOST, "max_map_len": MOST}
    try:
        return msgpack.unpackb(data, strict_map_key=False, **hooks, **most, **TEXT)
    except ValueError as error:
        if "max_" in str(error):
            raise Strange(f"more than {MOST:,} things in lists") from None
        raise


def fingerprint(value) -> str:
    """The same for a value and its copy in another process, until one of them is changed."""
    return hashlib.sha256(pack(value)).hexdigest()


def leaves(value) -> list[torch.Tensor]:
    """Every tensor in an argument, in an order that its copy in another process has, too."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, nn.Module):
        return [*value.parameters()]
    parts = value.values() if isinstance(value, dict) else value
    return [t for p in parts for t in leaves(p)] if isinstance(value, tuple | list | dict) else []


def end(process: psutil.Process) -> None:
    """End a process and every one below it, and what they start meanwhile."""
    with suppress(psutil.NoSuchProcess):
        if ABI > 5:
            process.terminate()  # an overseer does all of it
            with suppress(psutil.TimeoutExpired):
                process.wait(5)
        while children := process.children(recursive=True):
            for child in children:
                with suppress(psutil.Error):
                    child.kill()
            sleep(0.02)
        process.kill()


def _tensor(content: bytes, is_complex: bool, requires_grad: bool, *_) -> torch.Tensor:
    found = load(content)[""]
    found = torch.view_as_complex(found) if is_complex else found
    return found.requires_grad_(requires_grad)


def _strange(name: str, *_):
    raise Strange(f"an object of the class {name:.100}")


def _array(content: bytes) -> np.ndarray | np.generic:
    return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)[()]


# What msgpack does not know, made of parts that it knows.
KINDS = [_tensor, _array, lambda digits: int(digits), complex, lambda *parts: parts, _strange]
PLAIN = {Number: float, str: str.__str__, list: list, dict: dict}
TENSOR, ARRAY, INT, COMPLEX, TUPLE, STRANGE = range(len(KINDS))


def _written(value):
    if isinstance(value, torch.Tensor):
        with torch._C.DisableTorchFunctionSubclass():
            plain = value.detach().cpu().to_dense().as_subclass(torch.Tensor).resolve_conj()
            plain = torch.view_as_real(plain) if plain.is_complex() else plain
            plain = plain.resolve_neg().clone(memory_format=torch.contiguous_format)
            grad = value.grad if value.is_leaf else None
            settings = value.is_complex(), bool(value.requires_grad), grad
            kind, parts = TENSOR, [save({"": plain}), *settings]
    elif isinstance(value, np.ndarray | np.generic) and not value.dtype.hasobject:
        np.lib.format.write_array(file := io.BytesIO(), np.asarray(value), allow_pickle=False)
        kind, parts = ARRAY, [file.getvalue()]
    elif isinstance(value, int):  # of a class of its own, or a large one
        kind, parts = INT, [str(int(value))]
    elif isinstance(value, complex):
        kind, parts = COMPLEX, [value.real, value.imag]
    elif isinstance(value, (*PLAIN,)):  # of classes of their own, which msgpack is not to look into
        return next(plain(value) for kind, plain in PLAIN.items() if isinstance(value, kind))
    elif isinstance(value, tuple | set | frozenset | range):
        kind, parts = TUPLE, [*value]
    elif isinstance(value, nn.Module):
        state = [*value.named_parameters(), *value.named_buffers()]
        training = [module.training for module in value.modules()]
        kind, parts = STRANGE, [type(value).__name__, training, state]
    else:
        kind, parts = STRANGE, ["function" if callable(value) else type(value).__name__]
    return msgpack.ExtType(kind, pack(parts))
