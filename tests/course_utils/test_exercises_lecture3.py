"""Lecture 3's exercises: right answers written otherwise pass, and mistakes are named."""

import numpy as np
import pytest
import torch

from course_utils.exercises import WrongAnswer, check, lecture3


def by_matrix(kernel, n):
    taps = np.r_[kernel.numpy(), np.zeros(n - len(kernel))]
    matrix = np.stack([np.roll(taps, shift) for shift in range(n)], axis=1)
    return torch.tensor(np.linalg.norm(matrix, 2))


def by_products(matrix, vector):
    return torch.nn.functional.normalize((matrix.T @ matrix) @ vector, dim=0)


def two_norms(first, second):
    return torch.linalg.matrix_norm(first, 2) * torch.linalg.matrix_norm(second, 2)


def balanced(first, second, *, leave_out=True):
    into, out = first.norm(dim=1), second.norm(dim=0)
    if leave_out:
        kept = into * out > 0
        first, second, into, out = first[kept], second[:, kept], into[kept], out[kept]
    scale = (into / out).sqrt()
    return two_norms(first / scale[:, None], second * scale)


def all_on(first, second):
    return torch.linalg.matrix_norm(second @ first, 2)


def absolute(first, second):
    """Also sound: units that are off only take away from the sums of absolute values."""
    return torch.linalg.matrix_norm(second.abs() @ first.abs(), 2)


def margin(logits, bound, pixels):
    ranked = logits.sort(dim=1).values
    return (ranked[:, -1] - ranked[:, -2]) / (bound * (2 * pixels) ** 0.5)


@pytest.mark.parametrize(
    ("exercise_id", "answer"),
    [("power-step", by_products), ("circular-norm", by_matrix), ("certified-distortion", margin)],
)
def test_right_answers_pass(exercise_id, answer, capsys):
    check(exercise_id, answer, strict=True)
    assert capsys.readouterr().out.startswith("Right.")


def test_any_tighter_bound_passes(capsys):
    def smaller(first, second):
        return torch.minimum(balanced(first, second), two_norms(first, second))

    check("tighter-bound", smaller, strict=True)
    check("tighter-bound", lambda a, b: torch.minimum(absolute(a, b), two_norms(a, b)), strict=True)


@pytest.mark.parametrize(
    ("exercise_id", "answer", "says"),
    [
        ("circular-norm", lambda k, n: torch.fft.fft(k).abs().max(), "as many waves as it has"),
        ("power-step", lambda w, v: w.T @ (w @ v), "overflow"),
        ("power-step", lambda w, v: w.T @ (w @ v) / (w @ v).norm(), "length of W v"),
        ("power-step", lambda w, v: torch.linalg.svd(w)[2][0], "end of the iteration"),
        ("circular-norm", lambda k, n: torch.linalg.vector_norm(k), "single dot"),
        ("circular-norm", lambda k, n: k.abs().sum(), "sum of the absolute taps"),
        ("circular-norm", lambda k, n: torch.fft.fft(k, n).real.amax(), "real part"),
        ("circular-norm", lambda k, n: by_matrix(k, n) ** 2, "Take the root"),
        ("circular-norm", lambda k, n: by_matrix(k, n) / n**0.5, "root of n"),
        ("circular-norm", lambda k, n: by_matrix(k, n).item(), "Expected a torch.Tensor"),
        ("circular-norm", lambda k, n: 2 * by_matrix(k, n), "Expected .*, got"),
        ("tighter-bound", two_norms, "less than a third"),
        ("tighter-bound", all_on, "every unit is on"),
        ("tighter-bound", lambda a, b: balanced(a, b, leave_out=False), "non-finite"),
        ("tighter-bound", lambda a, b: lecture3.tighter_bound(a, b) / (b != 0).all(), "infinite"),
        ("tighter-bound", lambda a, b: 0.5 * all_on(a, b), "never less"),
        ("tighter-bound", lambda a, b: 3 * lecture3.tighter_bound(a, b), "more than the plain"),
        ("tighter-bound", lambda a, b: "small", "one number"),
        ("certified-distortion", lambda z, b, m: margin(z, b, 1), "radius in L2"),
        ("certified-distortion", lambda z, b, m: margin(z, b, m * m), "divide by the root"),
        ("certified-distortion", lambda z, b, m: margin(z, b, m) * 2**0.5, "is missing"),
        ("certified-distortion", lambda z, b, m: margin(z, b, m) / 2**0.5, "You divide by 2"),
        ("certified-distortion", lambda z, b, m: z.amax(1) / (b * (2 * m) ** 0.5), "its lead"),
        (
            "certified-distortion",
            lambda z, b, m: (z.amax(1) - z.amin(1)) / (b * (2 * m) ** 0.5),
            "second one overtakes",
        ),
    ],
)
def test_mistakes_are_named(exercise_id, answer, says):
    with pytest.raises(WrongAnswer, match=says):
        check(exercise_id, answer, strict=True)


def test_the_cases_are_all_different_tasks():
    """Wherever a mistake is told from the solution, they differ on some case."""
    for first, second in lecture3._pairs():
        assert lecture3.tighter_bound(first, second) <= two_norms(first, second) * (1 + 1e-12)
    ratios = [
        (lecture3.tighter_bound(*pair) / two_norms(*pair)).item() for pair in lecture3._pairs()
    ]
    assert max(ratios[:2]) < 0.2  # far below what the check asks for, so that it is no riddle


def test_a_tighter_bound_is_never_below_a_slope():
    generator = torch.Generator().manual_seed(0)
    for first, second in lecture3._pairs():
        bound = lecture3.tighter_bound(first, second)
        x, y = (torch.randn(500, first.shape[1], generator=generator).double() for _ in range(2))
        y = x + 0.01 * y
        outputs = [torch.relu(z @ first.T) @ second.T for z in (x, y)]
        slopes = (outputs[0] - outputs[1]).norm(dim=1) / (x - y).norm(dim=1)
        assert slopes.max() <= bound * (1 + 1e-9)


def test_solutions_by_hand():
    close = torch.testing.assert_close
    matrix, start = torch.diag(torch.tensor([3.0, 2.0])), torch.tensor([1.0, 1.0]) / 2**0.5
    close(lecture3.power_step(matrix, start), torch.tensor([9.0, 4.0]) / 97**0.5)
    kernel = torch.tensor([1.0, -1.0], dtype=torch.float64)
    close(lecture3.circular_norm(kernel, 4), torch.tensor(2.0, dtype=torch.float64))
    # Two units that do not meet: one passes 2 x 3 = 6 times, the other 10 x 0.1 = 1.
    first = torch.tensor([[2.0, 0.0], [0.0, 10.0]], dtype=torch.float64)
    second = torch.tensor([[3.0, 0.0], [0.0, 0.1]], dtype=torch.float64)
    close(lecture3.tighter_bound(first, second), torch.tensor(6.0, dtype=torch.float64))
    logits = torch.tensor([[1.0, 5.0, 3.0]])
    close(lecture3.certified_distortion(logits, 2.0, 2), torch.tensor([0.5]))
