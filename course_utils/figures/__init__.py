"""The lectures' figures, a module for each topic.

Each function draws one figure, and returns it or its Axes. Every figure can be read without
colour: by grey, line style, marker, or the printed number.
"""

from course_utils.figures.attack import (
    agreement,
    class_matrix,
    descent_paths,
    histograms,
    penalty_search,
    probability_strip,
    training,
)
from course_utils.figures.images import digits, equation
from course_utils.figures.style import use_style
from course_utils.figures.transfer import (
    amplification,
    answers,
    beside_paper,
    cells,
    cosine_scatter,
)

__all__ = [
    "agreement",
    "amplification",
    "answers",
    "beside_paper",
    "cells",
    "class_matrix",
    "cosine_scatter",
    "descent_paths",
    "digits",
    "equation",
    "histograms",
    "penalty_search",
    "probability_strip",
    "training",
    "use_style",
]
