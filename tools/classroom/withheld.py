"""What a student's process may reach of the course: not what the problem set asks for."""

import os
import sys
import types
from functools import partial

PRIVATE = ("notebooks/assignments/", "tests/assignments/")


def withhold(allowed: list[str]) -> tuple[dict, list[str]]:
    """Leave of course_utils only what is `allowed`, such as "attacks.fgsm".

    Who pastes the course's code gets past this, as everybody has it. Returns the course's modules
    by name, and a list to which every attempt to reach what is withheld is added.
    """
    looked: list[str] = []

    def refuse(name: str, error=ImportError):
        looked.append(name)
        raise error(f"{name} is not in this problem set")

    def missing(module: str, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        refuse(f"{module}.{name}")

    ours = {n: m for n, m in sys.modules.items() if n.partition(".")[0] == "course_utils"}
    for name in ours:
        del sys.modules[name]
    for path in allowed:
        module, _, name = f"course_utils.{path}".rpartition(".")
        value = vars(ours[module]).get(name) or ours[f"{module}.{name}"]
        for whole in ("course_utils", module):
            stub = sys.modules.setdefault(whole, types.ModuleType(whole))
            stub.__path__, stub.__getattr__ = [], partial(missing, whole)
        setattr(sys.modules[module], name, value)

    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in ("course_utils", "tools", "tests"):
            refuse(name)

    sys.meta_path.insert(0, types.SimpleNamespace(find_spec=find_spec))

    def audit(event, arguments):
        if event == "open" and isinstance(arguments[0], str | bytes):
            words = os.path.realpath(os.fsdecode(arguments[0]))
        elif event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"):
            words = str(arguments)
        else:
            return
        if any(path in words for path in PRIVATE):
            refuse(words[-100:], PermissionError)

    sys.addaudithook(audit)
    return ours, looked
