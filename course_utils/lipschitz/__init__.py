"""Lipschitz bounds: what a network can promise about small changes of its input (L2).

Source: Szegedy et al. 2013 (arXiv:1312.6199), section 4.3.
"""

# ruff: noqa: F401 (what is imported from here)
from course_utils.lipschitz.fourier import amplified_pattern, frequency_norms
from course_utils.lipschitz.layers import NormBounds, layer_bounds, operator_norm
from course_utils.lipschitz.network import certified_radius, lipschitz_penalty, network_bound
from course_utils.lipschitz.sdp import network_bound_sdp

# The site's page has the functions and classes that stand in `__all__`.
__all__ = [n for n, it in [*vars().items()] if getattr(it, "__module__", "").startswith(__name__)]
