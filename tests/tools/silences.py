"""How long each cell computes before its next word: `python tests/tools/silences.py [NN ...]`.

A word is an output, a bar or another widget that appears, or a bar's step. Nothing may be silent
for more than 2 s where no bar is shown, and no bar may stand still for more than 8.

In seconds of processor time of a kernel with one thread, divided by how much slower than on the
reference machine (see `course_utils.plan`) gradients are here just before and after: so a machine
that does something else, too, gives about the same numbers. What is longer fails.
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

BOUNDS = {False: 2.0, True: 8.0}  # seconds, by whether there is a bar that is not at its end
WORDS = {"stream", "display_data", "execute_result", "update_display_data", "error"}


class Client(NotebookClient):
    """Notes in `silences`, by the cell's index and whether a bar was there, the longest one."""

    def process_message(self, message, cell, cell_index):
        kind, content = message["msg_type"], message["content"]
        if kind == "execute_input":
            self.silences = getattr(self, "silences", {}) | {(cell_index, False): 0.0}
            self.kernel = psutil.Process(self.km.provisioner.pid)
            self.since, self.bars = self.processor_time(), []
        elif kind in WORDS or shown(kind, content) or content.get("execution_state") == "idle":
            now, key = self.processor_time(), (cell_index, bool(self.bars))
            self.silences[key] = max(self.silences.get(key, 0.0), now - self.since)
            self.since, state = now, content.get("data", {}).get("state", {})
            if state.get("_model_name") == "FloatProgressModel":
                self.bars.append(content["comm_id"])
            elif kind == "comm_close":  # of the box of the last bar, which does not stay
                del self.bars[-1:]
            elif state.get("bar_style") in ("success", "danger"):  # a bar's end
                self.bars = [bar for bar in self.bars if bar != content["comm_id"]]
        return super().process_message(message, cell, cell_index)

    def processor_time(self) -> float:
        """Of the kernel and what it started."""
        each = [self.kernel, *self.kernel.children(recursive=True)]
        return sum(sum(process.cpu_times()[:2]) for process in each)


def shown(kind: str, content: dict) -> bool:
    """Whether it is the message of a widget that appears, moves, or is at its end."""
    state = content.get("data", {}).get("state", {})
    return kind == "comm_close" or "value" in state or "bar_style" in state


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
    told = {}
    for (cell, bar), seconds in client.silences.items():
        words = f"{path.stem}, cell {cell}: {seconds / times:.1f} s{' beside a bar' * bar}"
        told[words] = seconds / times / BOUNDS[bar]
    print(f"Longest: {max(told, key=told.get)}; here {times:.1f} times as long", flush=True)
    return [words for words, share in told.items() if share > 1]


if __name__ == "__main__":
    chosen = [p for p in lectures.numbered() if p.name.startswith(tuple(sys.argv[1:]) or "")]
    failed = [line for path in chosen for line in too_long(path)]
    print("\n".join(failed or ["No cell is silent for too long."]))
    sys.exit(bool(failed))
