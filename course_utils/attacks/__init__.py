"""The attacks of the lectures: each takes (model, images, labels or targets, *, options)."""

from course_utils.attacks.checks import AttackResult
from course_utils.attacks.lbfgs import lbfgs_attack

__all__ = ["AttackResult", "lbfgs_attack"]
