"""What needs a kernel: an explorer of photographs, and a blind test."""

from course_utils.widgets.blind import blind_test
from course_utils.widgets.fast_gradient import FastGradientExplorer

__all__ = ["FastGradientExplorer", "blind_test"]
