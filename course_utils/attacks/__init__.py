"""The attacks of the lectures: each takes (model, images, labels or targets, *, options)."""

from course_utils.attacks.fgsm import fgsm
from course_utils.attacks.lbfgs import AttackResult, distortion, lbfgs_attack
from course_utils.attacks.pgd import pgd
from course_utils.attacks.square import square

__all__ = ["AttackResult", "distortion", "fgsm", "lbfgs_attack", "pgd", "square"]
