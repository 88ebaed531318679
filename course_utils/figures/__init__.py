"""The lectures' figures, a module for each topic.

Each function draws one figure, and returns it or its Axes. Tensors may be on any device. Every
figure can be read without colour: by grey, line style, marker, or the printed number.
"""

from course_utils.figures import attack, gan, images, lipschitz, style, tables

__all__ = ["use_style"]
use_style = style.use_style

for _module in (attack, gan, images, lipschitz, tables):
    for _name in _module.__all__:
        globals()[_name] = style.from_any_device(getattr(_module, _name))
        __all__.append(_name)
