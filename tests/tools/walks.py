"""Walks through the course as readers do, in true kernels: `python tests/tools/walks.py [NN ...]`.

Each path that the start advises, only the sections that it names; and every lecture (or those that
are named) from its first cell to its last and then backwards, so that each cell runs a second time
after all that come later. A cell that fails is named. Takes ten minutes of processor time: so
`.ci/run` calls it and `make test` does not, which looks only whether every name that a path's cells
read is bound (test_start.py) and whether a later cell changes one that an earlier cell reads
(test_lecture_reruns.py).
"""

import importlib.util
import re
import sys
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from course_utils import machine
from tools import lectures
from tools.environment import ROOT
from tools.retraining import in_processes

spec = importlib.util.spec_from_file_location("start", ROOT / "tests/course_utils/test_start.py")
start = importlib.util.module_from_spec(spec)
spec.loader.exec_module(start)


def of_path(rows: list[tuple[str, str]]) -> dict[str, list[str]]:
    """The cells that a path names, by the lecture: those of whole lectures are walked anyway."""
    found = {}
    for _, what in rows:
        stem, words = re.search(r"\[Lecture \d\]\((.*?)\.ipynb\)(.*)", what).groups()
        if "section" in words:
            path = lectures.NOTEBOOKS / f"{stem}.ipynb"
            cells = start.sections(lectures.source_of(path).read_text(encoding="utf-8"))
            found[stem] = [cell for n in start.advised(words, cells) for cell in cells[n]]
    return found


def there_and_back(path: Path) -> list[str]:
    cells = [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    return cells + cells[::-1]


def walks(names: list[str]) -> dict[str, list[str]]:
    """The cells of each walk, by its name."""
    found = {
        f"{path}: {stem}": cells
        for path, rows in start.paths().items()
        for stem, cells in of_path(rows).items()
        if not names or stem[:2] in names
    }
    chosen = [path for path in lectures.numbered() if not names or path.name[:2] in names]
    return found | {f"there and back: {path.stem}": there_and_back(path) for path in chosen}


def fails(walk: tuple[str, list[str]]) -> str | None:
    """What the first cell that fails says, if one does."""
    name, cells = walk
    try:
        lectures.execute(new_notebook(cells=[*map(new_code_cell, cells)]), name=name)
    except lectures.LectureError as error:
        return str(error)
    return None


if __name__ == "__main__":
    done = in_processes(fails, walks(sys.argv[1:]).items(), workers=machine.cores())
    failed = [said for _, said in done if said]
    print("\n\n".join(failed or ["No cell failed."]))
    sys.exit(bool(failed))
