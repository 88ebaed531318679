"""The helper package of the course on adversarial examples.

Import the topic that you need, by the name the lectures use for it, for example
``from course_utils import data, zoo`` or ``from course_utils.attacks import lbfgs_attack``.
"""

__version__ = "0.1.0"
