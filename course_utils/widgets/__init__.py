"""The lectures' explorers: one function each, which returns widgets that are alive at once."""

from course_utils.widgets.blind import blind_test
from course_utils.widgets.fast_gradient import fast_gradient_explorer, recipe_explorer
from course_utils.widgets.gan import gan_explorer
from course_utils.widgets.lipschitz import frequency_explorer
from course_utils.widgets.perturbation import perturbation_explorer
from course_utils.widgets.transfer import transfer_explorer
from course_utils.widgets.twin import twin

__all__ = [
    "blind_test",
    "fast_gradient_explorer",
    "frequency_explorer",
    "gan_explorer",
    "perturbation_explorer",
    "recipe_explorer",
    "transfer_explorer",
    "twin",
]
