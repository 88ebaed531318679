"""torchvision, also where its compiled operators cannot be loaded."""

import importlib
import sys
from types import ModuleType

import torch

_TRAP = "operator torchvision::nms does not exist"
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_library = None  # the definitions last only as long as this object


def import_torchvision() -> ModuleType:
    """Return the torchvision module.

    PyPI's torchvision is compiled for CUDA. Beside a torch built for the CPU alone its compiled
    operators do not load, and its Python code then stops the import because the operators `nms`
    and `qnms` have no schema (https://github.com/pytorch/vision/pull/9649 is upstream's fix).
    The course needs its datasets, models and transforms and no compiled operator, so where
    exactly that error comes, and nowhere else, the two schemas are defined here and the import
    is tried once more. Calling the two operators themselves still fails.
    """
    global _library
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if str(error) != _TRAP:
            raise
    if _library is None:
        _library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            _library.define(operator + _SCHEMA)
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # half imported
    return importlib.import_module("torchvision")
