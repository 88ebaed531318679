"""How the problem sets' tests compare an answer with what was expected."""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

import numpy as np
import torch

SHOWN = 6  # numbers of a tensor in a message


def same(got, expected, what: str, *, cause: str, rtol=1e-4, atol=1e-6, tensor=False) -> None:
    """Raise AssertionError unless `got` is `expected`, up to rounding.

    got: what a student's function returned; expected: a tensor, array or number. Both may be of
    any dtype, but truth values are no numbers: shapes are compared exactly and values in float64.
    Lists count as arrays, unless `tensor` asks for a torch.Tensor where one is expected. `what`
    says what was computed, such as "project([3, 4], 1)", and `cause` what usually goes wrong.
    Where NaN is expected, it must stand in the same places.
    """
    want, have = _values(expected), _values(got)
    if have is None or (tensor and want.ndim and not isinstance(got, torch.Tensor)):
        came = "nothing (is a `return` missing?)" if got is None else f"a {type(got).__name__}"
        problem = f"expected {_kind(want)}, got {came}"
    elif have.shape != want.shape or (want.dtype == bool) != (have.dtype == bool):
        problem = f"expected {_kind(want)}, got {_kind(have)}"
    else:
        wrong = ~np.isclose(have, want, rtol=rtol, atol=atol, equal_nan=True)
        if not wrong.any():
            return
        problem = f"expected {_text(want)}, got {_text(have)}"
        if want.ndim:
            at = tuple(np.argwhere(wrong)[0].tolist())
            problem += f": {int(wrong.sum())} of {want.size} numbers differ; at "
            problem += "".join(f"[{i}]" for i in at)
            problem += f" {_number(want[at])} was expected and {_number(have[at])} came"
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
    """The value's numbers in float64 (complex128, or bool), or None where it has none."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().resolve_conj().resolve_neg()
        value = value.double() if value.dtype is torch.bfloat16 else value
        array = value.numpy()
    elif isinstance(value, list | tuple):
        parts = [_values(part) for part in value]
        if any(part is None or part.shape != parts[0].shape for part in parts):
            return None
        array = np.array(parts)
    elif isinstance(value, Fraction | Decimal):
        array = np.asarray(float(value))
    elif isinstance(value, bool | int | float | complex | np.ndarray | np.generic):
        array = np.asarray(value)
    else:
        return None
    kinds = {"b": np.bool_, "c": np.complex128} | dict.fromkeys("iuf", np.float64)
    return array.astype(kinds[array.dtype.kind]) if array.dtype.kind in kinds else None


def _kind(values: np.ndarray) -> str:
    truth = values.dtype == bool
    if not values.ndim:
        return "True or False" if truth else "a number"
    return f"a tensor of shape {values.shape}" + (" of True and False" if truth else "")


def _number(value) -> str:
    return f"{value[()]:.5g}" if value.dtype != bool else str(bool(value))


def _text(values: np.ndarray) -> str:
    if not values.ndim:
        return _number(values)
    shown = ", ".join(_number(value) for value in values.flat[:SHOWN])
    return f"[{shown}, ...]" if values.size > SHOWN else f"[{shown}]"
