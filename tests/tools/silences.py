"""How long each cell computes before its next word: `python tests/tools/silences.py [NN ...]`.

A word is an output, a bar or another widget that appears, or a bar's step.

In seconds of processor time of a kernel with one thread, divided by how much slower than on the
reference machine (see `course_utils.plan`) gradients are here just before and after: so a machine
that does something else, too, gives about the same numbers. What is longer than BOUND fails.
"""

import sys
import time
import timeit
from pathlib import Path
from statistics import median

import nbformat
import psutil
import torch
from nbclient import NotebookClient

from course_utils import plan
from tools import lectures

BOUND = 2.0
WORDS = {"stream", "display_data", "execute_result", "update_display_data", "error"}


class Client(NotebookClient):
    """Notes in `silences`, by the cell's index, the longest until its next word."""

    def process_message(self, message, cell, cell_index):
        kind, content = message["msg_type"], message["content"]
        if kind == "execute_input":
            self.silences = getattr(self, "silences", {}) | {cell_index: 0.0}
            self.kernel = psutil.Process(self.km.provisioner.pid)
            self.since = self.processor_time()
        elif kind in WORDS or moves(content) or content.get("execution_state") == "idle":
            now = self.processor_time()
            self.silences[cell_index] = max(self.silences[cell_index], now - self.since)
            self.since = now
        return super().process_message(message, cell, cell_index)

    def processor_time(self) -> float:
        """Of the kernel and what it started."""
        each = [self.kernel, *self.kernel.children(recursive=True)]
        return sum(sum(process.cpu_times()[:2]) for process in each)


def moves(content: dict) -> bool:
    """Whether it is the message of a widget that appears, or takes another value."""
    return "value" in content.get("data", {}).get("state", {})


def slowness() -> float:
    """How many times as long as on the reference machine a thread's gradients take here now."""
    torch.set_num_threads(1)
    runs = timeit.repeat(plan.gradients(), timer=time.process_time, number=1, repeat=6)
    return median(runs[1:]) / plan.REFERENCE_SECONDS


def too_long(path: Path) -> list[str]:
    """A line for each cell that is silent for more than BOUND."""
    notebook = nbformat.read(path, as_version=4)
    lectures.clear(notebook)
    place = {"resources": {"metadata": {"path": str(path.parent)}}}
    client, before = Client(notebook, **lectures.STARTED, **place), slowness()
    client.execute(env=lectures.kernel_environment())
    times = (before + slowness()) / 2
    told = {i: f"{path.stem}, cell {i}: {s / times:.1f} s" for i, s in client.silences.items()}
    longest = max(client.silences, key=client.silences.get)
    print(f"The longest of {told[longest]}; here {times:.1f} times as long", flush=True)
    return [told[i] for i, seconds in client.silences.items() if seconds / times > BOUND]


if __name__ == "__main__":
    chosen = [p for p in lectures.numbered() if p.name.startswith(tuple(sys.argv[1:]) or "")]
    failed = [line for path in chosen for line in too_long(path)]
    print("\n".join(failed or [f"No cell is silent for more than {BOUND} s."]))
    sys.exit(bool(failed))
