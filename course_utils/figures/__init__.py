"""The lectures' figures, a module for each topic.

Each public function of these modules draws one figure, and returns it or its Axes. Tensors may be
on any device. Every figure can be read without colour: by grey, line style, marker, or number.
"""

from course_utils.figures import attack, gan, images, lipschitz, style, tables

__all__ = ["use_style"]
use_style = style.use_style

for _module in (attack, gan, images, lipschitz, tables):
    for _name, _draw in vars(_module).items():
        if getattr(_draw, "__module__", "") == _module.__name__:  # not what it imports
            globals()[_name] = style.from_any_device(_draw)
            __all__.append(_name)
