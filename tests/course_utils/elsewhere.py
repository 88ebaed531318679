"""A device that is made up, so that mixing devices fails on a machine that has only one."""

import torch


class Elsewhere(torch.Tensor):
    """Stands for a tensor on another device: nothing but `cpu` or `to` brings its numbers to
    NumPy, and it mixes with no tensor of the CPU."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", "")
        if name in ("cpu", "to"):
            return args[0].as_subclass(torch.Tensor)
        if name in ("numpy", "__array__"):
            raise TypeError("can't convert a tensor of another device to numpy")
        given = [*args, *(kwargs or {}).values()]
        if name == "__getitem__":
            given = [args[0]]  # an index may come from the CPU
        given += [part for a in given if isinstance(a, list | tuple) for part in a]
        tensors = [a for a in given if isinstance(a, torch.Tensor)]
        if any(not isinstance(a, cls) and a.ndim for a in tensors):
            raise RuntimeError("expected all tensors to be on the same device")
        return super().__torch_function__(function, types, args, kwargs or {})

    def __array__(self, dtype=None, copy=None):
        raise TypeError("can't convert a tensor of another device to numpy")


def elsewhere(*shape):
    return torch.rand(*shape).as_subclass(Elsewhere)


def moved(model):
    """Take a network there, and return it."""
    for part in model.modules():
        for held in (part._parameters, part._buffers):
            held |= {name: t.detach().as_subclass(Elsewhere) for name, t in held.items()}
    return model
