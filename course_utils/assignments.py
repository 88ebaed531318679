"""How the problem sets' tests compare an answer with what was expected."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

SHOWN = 6  # numbers of a tensor in a message


def same(got, expected, what: str, *, cause: str, rtol: float = 1e-4, atol: float = 1e-6) -> None:
    """Raise AssertionError unless `got` is `expected`, up to rounding.

    got: what a student's function returned; expected: a tensor, array or number. Both may be of
    any dtype: shapes are compared exactly and values in float64. `what` says what was computed,
    such as "project([3, 4], 1)", and `cause` what usually goes wrong. Where NaN is expected, it
    must stand in the same places.
    """
    want, have = _values(expected), _values(got)
    problem = None
    if have is None:
        came = "None (is a `return` missing?)" if got is None else f"a {type(got).__name__}"
        problem = f"expected {_kind(want)}, got {came}"
    elif have.shape != want.shape:
        problem = f"expected {_kind(want)}, got {_kind(have)}"
    else:
        wrong = ~np.isclose(have, want, rtol=rtol, atol=atol, equal_nan=True)
        if wrong.any() and want.ndim == 0:
            problem = f"expected {_number(want)}, got {_number(have)}"
        elif wrong.any():
            at = tuple(int(i) for i in np.argwhere(wrong)[0])
            place = "".join(f"[{i}]" for i in at)
            problem = (
                f"expected {_text(want)}, got {_text(have)}: {int(wrong.sum())} of {want.size} "
                f"numbers differ; at {place} {_number(want[at])} was expected and "
                f"{_number(have[at])} came"
            )
    if problem:
        end = "" if cause.endswith((".", "?")) else "."
        raise AssertionError(f"{what}: {problem}. Likely cause: {cause}{end}")


def likely(got, mistakes: Mapping[str, object]) -> str:
    """The first of `mistakes`, likely cause to wrong result, that gives what came: for `same`."""
    have = _values(got)
    for cause, result in mistakes.items():
        wrong = _values(torch.as_tensor(result))
        if have is not None and have.shape == wrong.shape and np.allclose(have, wrong, 1e-4, 1e-6):
            return cause
    return "none of the usual mistakes, so go through the formula term by term"


def _values(value) -> np.ndarray | None:
    """The value's numbers in float64 (complex128), or None where it is no tensor or number.

    Only these very types are taken: a class of the student's own could claim to equal anything.
    """
    if type(value) in (torch.Tensor, nn.Parameter):
        with torch._C.DisableTorchFunction():  # nor could a mode that is switched on
            value = value.detach().cpu()
            value = value.to(torch.complex128 if value.is_complex() else torch.float64).numpy()
    elif not (type(value) in (bool, int, float, complex, np.ndarray) or _is_scalar(value)):
        return None
    array = np.asarray(value)
    if array.dtype.kind not in "biufc":
        return None
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def _is_scalar(value) -> bool:
    return isinstance(value, np.generic) and type(value).__module__ == "numpy"


def _kind(values: np.ndarray) -> str:
    return f"a tensor of shape {values.shape}" if values.ndim else "a number"


def _number(value) -> str:
    return f"{value[()]:.5g}"


def _text(values: np.ndarray) -> str:
    shown = ", ".join(_number(value) for value in values.flat[:SHOWN])
    return f"[{shown}, ...]" if values.size > SHOWN else f"[{shown}]"
