"""Explorers for which a kernel must run: one function each, which returns widgets."""

from course_utils.widgets.blind import blind_test
from course_utils.widgets.fast_gradient import fast_gradient_explorer
from course_utils.widgets.lipschitz import frequency_explorer

__all__ = ["blind_test", "fast_gradient_explorer", "frequency_explorer"]
