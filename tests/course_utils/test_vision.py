import subprocess
import sys

import pytest
import torch

from course_utils import vision

# A torchvision that fails as the real one does beside a torch built for the CPU alone.
TRAPPED = """
import torch
from torchvision import helper
imports = helper.imports
@torch.library.register_fake("torchvision::nms")
def nms(dets, scores, iou_threshold): pass
@torch.library.register_fake("torchvision::qnms")
def qnms(dets, scores, iou_threshold): pass
"""
HELPER = """
import sys
sys.count = getattr(sys, "count", 0) + 1
imports = sys.count
"""


def run(code: str, path=None) -> str:
    code = f"import sys; sys.path[:0] = {[str(path)] if path else []}\n{code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_datasets_models_and_transforms_work_here():
    out = run(
        "from course_utils.vision import import_torchvision\n"
        "torchvision = import_torchvision()\n"
        "assert import_torchvision() is torchvision\n"
        "import torch, torchvision.transforms.v2 as transforms\n"
        "from torchvision.datasets import MNIST\n"
        "image = transforms.Resize(32)(torch.zeros(1, 3, 40, 40))\n"
        "model = torchvision.models.squeezenet1_1(weights=None, num_classes=2)\n"
        "print(MNIST.__name__, tuple(model(image).shape))"
    )
    assert out == "MNIST (1, 2)"


@pytest.fixture
def trapped(tmp_path):
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(TRAPPED)
    (tmp_path / "torchvision" / "helper.py").write_text(HELPER)
    return tmp_path


def test_the_trap_is_the_one_that_the_guard_knows(trapped):
    out = run(
        "from course_utils.vision import _TRAP\n"
        "try: import torchvision\n"
        "except RuntimeError as error: print(str(error) == _TRAP)",
        trapped,
    )
    assert out == "True"


def test_the_guard_gets_past_the_trap_and_drops_what_was_half_imported(trapped):
    out = run(
        "import gc; from course_utils.vision import import_torchvision\n"
        "torchvision = import_torchvision(); gc.collect()\n"
        "import torch; print(torchvision.imports, torch.ops.torchvision.nms.default._schema)",
        trapped,
    )
    imports, schema = out.split(" ", 1)
    assert imports == "2"
    assert schema == "torchvision::nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def test_where_a_plain_import_works_nothing_is_defined(monkeypatch):
    fake = object()
    monkeypatch.setattr(vision.importlib, "import_module", lambda name: fake)
    monkeypatch.setattr(torch.library, "Library", lambda *_: pytest.fail("the guard ran"))
    assert vision.import_torchvision() is fake


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("operator torchvision::roi_align does not exist"),
        RuntimeError("operator torchvision::nms does not exist, nor does the GPU"),
        ImportError("No module named torchvision"),
    ],
)
def test_any_other_error_passes_through(monkeypatch, error):
    def fail(name):
        raise error

    monkeypatch.setattr(vision.importlib, "import_module", fail)
    monkeypatch.setattr(torch.library, "Library", lambda *_: pytest.fail("the guard ran"))
    with pytest.raises(type(error)) as caught:
        vision.import_torchvision()
    assert caught.value is error
