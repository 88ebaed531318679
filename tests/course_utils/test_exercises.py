import inspect
import math
from pathlib import Path

import pytest
import torch
from scipy.stats import binomtest
from torch.nn.functional import cross_entropy

from course_utils import exercises
from course_utils.attacks import fgsm, pgd
from course_utils.exercises import (
    EXERCISES,
    WrongAnswer,
    check,
    hint,
    lecture1,
    lecture2,
    lecture4,
    solution,
)
from course_utils.exercises.framework import TEXTS, Exercise, agree, call, compare, difference


def scan(adversarial, tolerance):
    t = 0.0
    while t < 1 and not adversarial(t):
        t += tolerance / 2
    return min(t, 1.0)


def bisect(adversarial, tolerance, *, end="high", swapped=False, steps=None, zero=True):
    if zero and adversarial(0.0):
        return 0.0
    low, high = 0.0, 1.0
    while high - low > tolerance if steps is None else (steps := steps - 1) >= 0:
        middle = (low + high) / 2
        if bool(adversarial(middle)) != swapped:
            high = middle
        else:
            low = middle
    return {"low": low, "high": high, "middle": (low + high) / 2}[end]


def never_ends(adversarial, tolerance):
    while True:
        adversarial(0.5)


def to_size(r, stddev):
    return stddev * r / r.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()


def wilson_by_scipy(logits, labels):
    wrong = int((logits.argmax(1) != labels).sum())
    ends = binomtest(wrong, len(labels)).proportion_ci(0.95, method="wilson")
    return 100 * torch.tensor([wrong / len(labels), *ends], dtype=torch.float64)


def corner_margin(x, y, w, b, eps):
    """The least over all corners of the cube, pixel by pixel, in float64."""
    low = torch.minimum(y[:, None] * w * eps, -y[:, None] * w * eps).double().sum(1)
    return (y * (x @ w + b) + low).to(x.dtype)


def by_autograd(logits, target):
    z = logits.clone().requires_grad_()
    return torch.autograd.grad(cross_entropy(z[None], torch.tensor([target])), z)[0]


RIGHT = [
    ("distortion", lambda r: r.norm() / math.sqrt(r.numel())),
    ("distortion", lambda r: sum(v**2 for v in r.flatten()).div(r.numel()) ** 0.5),
    ("objective", lambda r, p, c: c * r.norm() ** 2 + (1 / p).log()),
    ("walls", lambda x: torch.stack([torch.zeros_like(x), torch.ones_like(x)]) - x),
    ("logit-gradient", by_autograd),
    ("bisection", bisect),
    (
        "bisection",
        lambda adversarial, tolerance: torch.tensor(
            bisect(adversarial, tolerance), dtype=torch.float64
        ),
    ),
    ("closed-form", lambda x, w, b: -((x * w).sum() + b) / w.norm() * w / w.norm()),
    ("table-cell", wilson_by_scipy),
    ("stronger-row", lecture2.stronger_row),
    ("stronger-row", lambda x, r, s: x + to_size(r.mean(0), s)),
    ("worst-margin", corner_margin),
    ("worst-margin", lambda x, y, w, b, eps: y * ((x - eps * torch.outer(y, w.sign())) @ w + b)),
    ("sign-step", lambda m, x, y, eps: fgsm(m, x, y, eps=eps)),
    (
        "projected-step",
        lambda p, x, g, eps, step: torch.maximum(
            torch.minimum(p + step * g.sign(), (x + eps).clamp_max(1)), (x - eps).clamp_min(0)
        ),
    ),
    ("break-it", lambda m, x, y, eps: pgd(m, x, y, eps=eps, step=eps / 8, steps=20)),
    ("break-it", lambda m, x, y, eps: fgsm(m, x, y, eps=eps / 2)),
]

WRONG = [
    ("distortion", lambda r: (r**2).sum().sqrt(), "a sum over the pixels"),
    ("distortion", lambda r: (r**2).mean(), "the root is missing"),
    ("distortion", lambda r: r.std(), "std subtracts the mean"),
    ("distortion", lambda r: r.square().mean(dim=(1, 2, 3)).sqrt(), "raised IndexError"),
    ("distortion", lambda r: r.square().mean().sqrt().float(), "torch.float64"),
    ("distortion", lambda r: r.square().mean().sqrt()[None], "(1,)"),
    ("distortion", lambda r: r.norm() / 28, "numel()"),
    ("distortion", lambda r: r.norm().item() and None, "write return before its result"),
    ("distortion", lambda r: r.requires_grad_().square().mean().sqrt(), ".detach()"),
    ("distortion", lambda r: (r + 1j).amax(), "raised NotImplementedError"),
    ("closed-form", lambda x, w, b: x - (w @ x + b) * w / (w @ w), "Return r alone"),
    ("distortion", lambda r: r.amax(), "Expected 0."),
    ("distortion", lambda r: r.square().mean().sqrt().numpy(), "got a ndarray"),
    ("distortion", lambda r: r.square().mean() / 0, "NaN or infinity"),
    ("distortion", lambda r: r.square_().mean().sqrt(), "changes its argument number 1 in place"),
    ("objective", lambda r, p, c: c * r.norm() - p.log(), "the norm is to be squared"),
    ("objective", lambda r, p, c: c * (r**2).mean() - p.log(), "is their sum"),
    ("objective", lambda r, p, c: c * (r**2).sum() + p.log(), "wrong sign"),
    ("objective", lambda r, p, c: c * (r**2).sum() - p.log2(), "Expected "),
    ("walls", lambda x: torch.stack([0 * x, 0 * x + 1]), "the walls of the image"),
    ("walls", lambda x: torch.stack([1 - x, -x]), "swapped"),
    ("walls", lambda x: (-x, 1 - x), "got a tuple"),
    ("logit-gradient", lambda z, t: z.softmax(0), "subtract 1 from its chance"),
    ("logit-gradient", lambda z, t: -by_autograd(z, t), "The sign is wrong"),
    ("logit-gradient", lambda z, t: 0.5 * by_autograd(z, t), "At [0]: expected"),
    (
        "bisection",
        lambda adversarial, tolerance: bisect(adversarial, tolerance, end="low"),
        "Return the upper end",
    ),
    (
        "bisection",
        lambda adversarial, tolerance: bisect(adversarial, tolerance, end="middle"),
        "Return the upper end",
    ),
    (
        "bisection",
        lambda adversarial, tolerance: bisect(adversarial, tolerance, swapped=True),
        "ran to the wrong end",
    ),
    (
        "bisection",
        lambda adversarial, tolerance: bisect(adversarial, tolerance, steps=8),
        "off by more than the tolerance",
    ),
    ("bisection", scan, "calls of adversarial. Halving"),
    ("bisection", never_ends, "does not end"),
    ("bisection", lambda adversarial, tolerance: 0.5, "without a call"),
    ("bisection", lambda adversarial, tolerance: 2.0, "a number in [0, 1]"),
    ("bisection", lambda adversarial, tolerance: "0.5x", "Expected a float"),
    ("closed-form", lambda x, w, b: (x @ w + b) * w / w.norm() ** 2, "The sign is wrong"),
    ("closed-form", lambda x, w, b: -(x @ w + b) * w / w.norm(), "You divide by ||w||"),
    ("closed-form", lambda x, w, b: -(x @ w) * w / w.norm() ** 2, "b is missing"),
    ("closed-form", lambda x, w: x, "raised TypeError"),
    ("worst-margin", lambda x, y, w, b, eps: y * (x @ w + b) - eps * w.norm(), "the 2-norm of w"),
    (
        "worst-margin",
        lambda x, y, w, b, eps: y * (x @ w + b) - eps * w.abs().amax(),
        "values differ",
    ),
    ("sign-step", lambda m, x, y, eps: fgsm(m, x, y, eps=eps, targeted=True), "down the loss"),
    ("sign-step", lambda m, x, y, eps: fgsm(m, x, y, eps=eps, bounds=(-1, 2)), "leave [0, 1]"),
    (
        "projected-step",
        lambda p, x, g, eps, step: (p + step * g.sign()).clamp(0, 1),
        "never come back",
    ),
    (
        "projected-step",
        lambda p, x, g, eps, step: torch.clamp(p + step * g.sign(), p - eps, p + eps).clamp(0, 1),
        "where it began",
    ),
    ("break-it", lambda m, x, y, eps: fgsm(m, x, y, eps=eps), "the fast gradient sign itself"),
    ("break-it", lambda m, x, y, eps: fgsm(m, x, y, eps=eps / 10), "Take more steps"),
    (
        "break-it",
        lambda m, x, y, eps: pgd(m, x, y, eps=eps, step=eps / 8, targeted=True),
        "You go down the loss",
    ),
    ("break-it", lambda m, x, y, eps: x.clone(), "as they were"),
    ("break-it", lambda m, x, y, eps: fgsm(m, x, y, eps=2 * eps), "by 0.400"),
    ("break-it", lambda m, x, y, eps: (x + eps).clamp(max=x.min()), "by 0."),
    ("break-it", lambda m, x, y, eps: x / 0, "NaN or infinity"),
    ("break-it", lambda m, x, y, eps: x[:3], "Expected a tensor of shape (200, 30)"),
]

MISTAKES = [
    (exercise, place, says)
    for exercise in EXERCISES.values()
    for place, says in enumerate(exercise.texts.get("mistakes", []))
]


@pytest.mark.parametrize("exercise_id", list(EXERCISES))
def test_the_solution_is_right(exercise_id, capsys):
    check(exercise_id, EXERCISES[exercise_id].solution, strict=True)
    assert capsys.readouterr().out == f"Right. {EXERCISES[exercise_id].texts['right']}\n"


@pytest.mark.parametrize(("exercise_id", "answer"), RIGHT)
def test_other_right_answers(exercise_id, answer):
    check(exercise_id, answer, strict=True)


@pytest.mark.parametrize(("exercise_id", "answer", "said"), WRONG)
def test_wrong_answers_get_their_diagnosis(exercise_id, answer, said, capsys):
    check(exercise_id, answer, strict=False)
    output = capsys.readouterr().out
    assert output.startswith("Not yet right. ") and said in output
    with pytest.raises(WrongAnswer) as raised:
        check(exercise_id, answer, strict=True)
    assert said in str(raised.value)
    assert not isinstance(raised.value, exercises.NotAnswered)


@pytest.mark.parametrize(("exercise", "place", "says"), MISTAKES)
def test_each_known_mistake_is_told_apart(exercise, place, says, capsys):
    check(exercise.id, lambda *arguments: exercise.mistaken(*arguments)[place], strict=False)
    assert capsys.readouterr().out == f"Not yet right. {says}\n"


def stub(*arguments):
    raise NotImplementedError


@pytest.mark.parametrize("answer", [None, ..., lambda *a: None, lambda *a: ..., stub])
@pytest.mark.parametrize("exercise_id", list(EXERCISES))
def test_not_answered_yet(exercise_id, answer, capsys, monkeypatch):
    monkeypatch.delenv("COURSE_STRICT", raising=False)
    check(exercise_id, answer)
    assert capsys.readouterr().out == f"Not answered yet. Stuck? Try hint({exercise_id!r}).\n"
    with pytest.raises(WrongAnswer, match="Not answered yet"):
        check(exercise_id, answer, strict=True)


def test_the_environment_makes_check_strict(monkeypatch, capsys):
    monkeypatch.setenv("COURSE_STRICT", "1")
    with pytest.raises(AssertionError, match="distortion: Not yet right"):
        check("distortion", lambda r: r)
    check("distortion", lambda r: r, strict=False)
    monkeypatch.setenv("COURSE_STRICT", "0")
    check("distortion", lambda r: r)
    assert capsys.readouterr().out.count("Not yet right") == 2


def test_an_answer_that_is_no_function(capsys):
    check("distortion", torch.zeros(3), strict=False)
    assert capsys.readouterr().out == "Not yet right. Expected a function, got a Tensor.\n"


@pytest.mark.parametrize("function", [lambda i: check(i, None), hint, solution])
def test_unknown_exercise(function):
    with pytest.raises(ValueError, match="distortion"):
        function("no such exercise")


@pytest.mark.parametrize("exercise_id", list(EXERCISES))
def test_hints_in_turn(exercise_id, capsys):
    hints = EXERCISES[exercise_id].texts["hints"]
    hint(exercise_id)
    for number in range(1, len(hints) + 1):
        hint(exercise_id, number)
    lines = [f"Hint {i} of {len(hints)}: {text}" for i, text in enumerate(hints, start=1)]
    assert capsys.readouterr().out.splitlines() == [lines[0], *lines]
    for number in (0, len(hints) + 1):
        with pytest.raises(ValueError, match="number"):
            hint(exercise_id, number)


@pytest.mark.parametrize("exercise_id", list(EXERCISES))
def test_the_printed_solution_runs_and_is_right(exercise_id, capsys):
    solution(exercise_id)
    source = capsys.readouterr().out
    names = {"torch": torch, "cross_entropy": cross_entropy}
    exec(source, names)
    function = names[EXERCISES[exercise_id].solution.__name__]
    check(exercise_id, function, strict=True)


def test_solutions_by_hand():
    """The solutions against numbers worked out on paper."""
    close = torch.testing.assert_close
    close(lecture1.distortion(torch.tensor([[3.0, 4.0]])), torch.tensor(math.sqrt(12.5)))
    close(
        lecture1.objective(torch.tensor([1.0, 2.0]), torch.tensor(0.25), 0.5),
        torch.tensor(2.5 + math.log(4)),
    )
    close(lecture1.walls(torch.tensor([0.9, 0.2])), torch.tensor([[-0.9, -0.2], [0.1, 0.8]]))
    close(lecture1.logit_gradient(torch.zeros(2), 1), torch.tensor([0.5, -0.5]))
    close(
        lecture1.closed_form(torch.tensor([1.0, 1.0]), torch.tensor([3.0, 4.0]), 3.0),
        torch.tensor([-1.2, -1.6]),
    )
    assert lecture1.bisection(lambda t: t >= 0.625, 0.25) == 0.75
    close(
        lecture4.worst_margin(
            torch.tensor([[1.0, 0.5]]), torch.tensor([-1.0]), torch.tensor([2.0, -4.0]), 1.0, 0.25
        ),
        torch.tensor([-2.5]),
    )
    close(
        lecture4.projected_step(
            torch.tensor([[0.5, 0.9]]),
            torch.tensor([[0.4, 0.95]]),
            torch.tensor([[2.0, 1.0]]),
            0.15,
            0.1,
        ),
        torch.tensor([[0.55, 1.0]]),
    )


def test_what_is_told_is_told_of_an_exercise():
    assert list(TEXTS) == list(EXERCISES)
    for name, texts in TEXTS.items():
        source = (
            Path(inspect.getfile(EXERCISES[name].solution)).read_text("utf-8").replace("'", '"')
        )
        assert all(f'"{what}"' in source for what in texts.get("says", ())), name


def test_checking_is_deterministic(capsys):
    outputs = set()
    for seed in (0, 1):
        torch.manual_seed(seed)
        check("distortion", lambda r: r.amax(), strict=False)
        outputs.add(capsys.readouterr().out)
    assert len(outputs) == 1


def test_call_keeps_the_callers_tensors():
    x = torch.ones(2)
    with pytest.raises(WrongAnswer, match="in place"):
        call(lambda x: x.zero_(), x)
    assert x.tolist() == [1, 1]


def test_comparison_is_neither_blind_nor_strict():
    right = torch.tensor([1.0, 2.0])
    assert agree(right * (1 + 1e-6), right) and difference(right * (1 + 1e-6), right) is None
    assert not agree(right * 1.001, right)
    assert "1 of 2 values differ" in difference(right + torch.tensor([0.0, 0.1]), right)


@pytest.mark.parametrize(
    ("reference", "answer", "arguments", "says"),
    [
        (
            lambda x: x > 0,
            lambda x: x < 1,
            (torch.tensor([-1.0, 2.0]),),
            "At [0]: expected False, got True (2 of 2 values differ).\nIt was called with\n"
            "  a tensor of shape (2,) and torch.float32: -1, 2",
        ),
        (
            lambda x, k: x.sum() * k,
            lambda x, k: x.sum(),
            (torch.tensor([0.5, 1.5]), 3),
            "Expected 6, got 2.\nIt was called with\n"
            "  a tensor of shape (2,) and torch.float32: 0.5, 1.5\n  int 3",
        ),
        (
            lambda x: x,
            lambda x: x + 1,
            (torch.zeros(20),),
            "It was called with\n  a tensor of shape (20,) and torch.float32: "
            "0, 0, 0, 0, 0, 0, 0, 0, ...",
        ),
    ],
    ids=["booleans", "a scalar", "a large input"],
)
def test_a_wrong_answer_is_shown_the_input_that_led_to_it(reference, answer, arguments, says):
    assert says in compare(Exercise(reference), answer, [arguments])
