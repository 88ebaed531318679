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
from course_utils.figures.fast_gradient import (
    against_eps,
    confidence_over_eps,
    logit_lines,
    seeds,
    sign_equation,
)
from course_utils.figures.gan import (
    discriminators,
    game,
    game_values,
    likelihoods,
    saturation,
    shares,
    sheets,
)
from course_utils.figures.images import digits, equation
from course_utils.figures.lipschitz import (
    bound_scatter,
    certified_curves,
    cones,
    frequency_maps,
    patterns,
    sandwich,
    trained_bounds,
)
from course_utils.figures.style import use_style
from course_utils.figures.transfer import (
    amplification,
    answers,
    beside_paper,
    cells,
    cosine_scatter,
)

__all__ = [
    "against_eps",
    "agreement",
    "amplification",
    "answers",
    "beside_paper",
    "bound_scatter",
    "cells",
    "certified_curves",
    "class_matrix",
    "cones",
    "confidence_over_eps",
    "cosine_scatter",
    "descent_paths",
    "digits",
    "discriminators",
    "equation",
    "frequency_maps",
    "game",
    "game_values",
    "histograms",
    "likelihoods",
    "logit_lines",
    "patterns",
    "penalty_search",
    "probability_strip",
    "sandwich",
    "saturation",
    "seeds",
    "shares",
    "sheets",
    "sign_equation",
    "trained_bounds",
    "training",
    "use_style",
]
