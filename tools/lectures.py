"""The lectures as files: executing them, and keeping notebooks and their sources in step.

`notebooks/NN_name.ipynb` is what people open; `notebooks/src/NN_name.py` is what we edit.
"""

import os
import re
import shutil
import signal
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path

import jupytext
import nbformat
from jupytext.combine import combine_inputs_with_outputs
from jupytext.compare import NotebookDifference, compare_notebooks
from jupytext.config import load_jupytext_configuration_file
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode
from tqdm.auto import tqdm
from traitlets.config import Config

from tools.environment import ROOT

NOTEBOOKS = ROOT / "notebooks"
EXECUTED = ROOT / "build" / "notebooks"
WIDGET = "application/vnd.jupyter.widget-view+json"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


class LectureError(RuntimeError):
    """A cell of a lecture failed; the message names the cell and quotes it."""


def numbered(folder: Path = NOTEBOOKS) -> list[Path]:
    """The course's notebooks in the folder, in its order: the start (00), then the lectures."""
    return sorted(folder.glob("[0-9][0-9]_*.ipynb"))


def lectures(folder: Path = NOTEBOOKS) -> list[Path]:
    """The lectures' notebooks in the folder, in the order of the course."""
    return [path for path in numbered(folder) if not path.name.startswith("00")]


def source_of(path: Path) -> Path:
    """The source paired with a notebook."""
    return path.parent / "src" / f"{path.stem}.py"


def read_source(path: Path) -> NotebookNode:
    """Read the source paired with the notebook `path`; its cells have no outputs."""
    config = load_jupytext_configuration_file(str(NOTEBOOKS / "jupytext.toml"))
    return jupytext.read(source_of(path), fmt="py:percent", config=config)


def difference(path: Path) -> str:
    """How the notebook's cells and metadata differ from its source's; empty if they do not."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.pop("language_info", None)  # written by the execution
    try:
        compare_notebooks(notebook, read_source(path), "py:percent", compare_outputs=False)
    except NotebookDifference as found:
        return str(found)
    return ""


def execute(notebook: NotebookNode, *, name: str, folder: Path = NOTEBOOKS) -> NotebookNode:
    """Run every cell in a new kernel that starts in `folder`, showing a progress bar.

    Returns:
        The same notebook, with its new outputs (those before the failure, if one fails), and
        without what differs from machine to machine.

    Raises:
        LectureError: a cell failed, or the kernel died.
    """
    cells, at = notebook.cells, 0
    with tqdm(total=len(cells), desc=name, unit="cell") as bar:

        def on_cell_start(cell, cell_index):
            nonlocal at
            at = cell_index
            bar.update(cell_index - bar.n)
            if heading := re.match(r"#+ (.*)", cell.source if cell.cell_type == "markdown" else ""):
                bar.set_postfix_str(heading[1][:40])

        client = NotebookClient(
            notebook,
            kernel_name="python3",
            timeout=None,
            startup_timeout=180,
            store_widget_state=False,
            record_timing=False,
            coalesce_streams=True,
            # Keep what the kernel says from others on this machine, where jupyter_client can.
            config=Config(KernelManager={"transport_encryption": "auto"}),
            resources={"metadata": {"path": str(folder)}},
            on_cell_start=on_cell_start,
        )
        try:
            run(client)
            bar.update(len(cells) - bar.n)
        except (CellExecutionError, DeadKernelError) as error:
            words = re.sub(r"\x1b\[[0-9;]*m", "", getattr(error, "traceback", "") or str(error))
            raise LectureError(
                f"{name}, cell {at + 1} of {len(cells)} failed.\n\n{cells[at].source}\n\n{words}"
            ) from None
        finally:
            tidy(notebook)
    return notebook


def run(client: NotebookClient) -> None:
    """Execute the client's notebook; Ctrl-C ends the kernel and raises KeyboardInterrupt.

    In the main thread nbclient would handle Ctrl-C itself, and end in an AssertionError.
    """
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(client.execute)
        try:
            while not wait([future], timeout=0.5).done:  # Windows sees Ctrl-C between two waits
                pass
        except KeyboardInterrupt:
            while not wait([future], timeout=0.2).done:
                kernel = getattr(client.km, "provisioner", None)
                if getattr(kernel, "pid", None):
                    with suppress(OSError):  # it is gone already
                        os.kill(kernel.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
            raise
        future.result()


def tidy(notebook: NotebookNode) -> None:
    """Remove what no reader of the stored notebook can use, and what only names a machine."""
    notebook.metadata = NotebookNode(kernelspec=KERNEL, language_info={"name": "python"})
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            # A widget without its kernel shows as an error message; stderr has this machine's paths.
            cell.outputs = [
                out
                for out in cell.outputs
                if WIDGET not in out.get("data", {}) and out.get("name") != "stderr"
            ]


def write(notebook: NotebookNode, path: Path) -> None:
    """Write the notebook beside `path`, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    nbformat.write(notebook, beside)
    os.replace(beside, path)


def course(folder: Path = NOTEBOOKS, executed: Path = EXECUTED) -> int:
    """Fetch the data, run every lecture into `executed`, print the claims; 0 if all is well."""
    from course_utils import claims, data

    for split in ("train", "test"):
        print(f"MNIST, {split}: {len(data.load_mnist(split)[1]):,} digits", flush=True)
    notebooks, problems, minutes = [], [], []
    paths = lectures(folder)
    for path in paths:
        started = time.perf_counter()
        notebooks.append(nbformat.read(path, as_version=4))
        for cell in notebooks[-1].cells:  # a verdict stored earlier must not count as today's
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        try:
            execute(notebooks[-1], name=path.stem, folder=folder)
        except LectureError as error:
            problems.append(str(error))
        write(notebooks[-1], executed / path.name)
        minutes.append(f"  {path.stem}: {(time.perf_counter() - started) / 60:.1f} min")
    table = claims.report(notebooks, lectures=[int(path.name[:2]) for path in paths])
    print(f"\n{claims.format_report(table)}\n\nTime taken:", *minutes, "", sep="\n")
    failures = claims.failures(table)
    print("\n\n".join(problems), end="\n" if problems else "")
    if not problems and not failures:
        print("Every verdict is as expected.")
    return 1 if problems or failures else 0


def remake(*names: str, folder: Path = NOTEBOOKS) -> int:
    """Execute lectures anew from their sources, in place; all, or those that begin with `names`.

    Cells that did not change keep their ids. A notebook whose cells were other than its source's
    is kept in build/replaced/.
    """
    sources = sorted((folder / "src").glob("[0-9][0-9]_*.py"))
    chosen = [s for s in sources if not names or s.stem.startswith(tuple(map(stem, names)))]
    if names and not chosen:
        known = ", ".join(source.stem for source in sources) or "none"
        raise ValueError(f"names: no lecture is called {', '.join(names)}; there are: {known}")
    for source in chosen:
        path = folder / f"{source.stem}.ipynb"
        notebook = read_source(path)
        if path.exists():
            if difference(path):
                keep = folder.parent / "build" / "replaced" / path.name
                keep.parent.mkdir(parents=True, exist_ok=True)
                print(f"{path.name} differs from its source; the old one is kept as {keep}")
                shutil.copy(path, keep)
            old = nbformat.read(path, as_version=4)
            notebook = combine_inputs_with_outputs(notebook, old, "py:percent")
        try:
            write(execute(notebook, name=path.stem, folder=folder), path)
        except LectureError as error:
            print(f"\n{error}\n\n{path.name} is left as it was.")
            return 1
    return 0


def stem(name: str) -> str:
    """A lecture's name from whatever a maintainer types: 01, 01_name, notebooks/01_name.ipynb."""
    return Path(name).name.removesuffix(".ipynb").removesuffix(".py")


def repository() -> str | None:
    """The repository's address in pyproject.toml, or None while none is set."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project.get("urls", {}).get("Repository")


def badges(address: str | None) -> str:
    """README's links to Colab and Binder, for a repository on GitHub; empty without an address."""
    if address is None:
        return ""
    place = address.removeprefix("https://github.com/").removesuffix(".git").strip("/")
    colab, binder = "https://colab.research.google.com", "https://mybinder.org"
    return (
        f"[![Open in Colab]({colab}/assets/colab-badge.svg)]"
        f"({colab}/github/{place})\n"
        f"[![Open in Binder]({binder}/badge_logo.svg)]"
        f"({binder}/v2/gh/{place}/HEAD?urlpath=lab/tree/notebooks)"
    )


def setup_cell(address: str | None) -> str:
    """Every lecture's first code cell."""
    answer = f'"{address}"' if address else 'input("Address of the course\'s repository: ")'
    return (
        "# On Colab, install the course first; everywhere else this cell does nothing.\n"
        "import sys\n"
        'if "google.colab" in sys.modules:\n'
        f"    address = {answer}\n"
        '    %pip install --quiet "git+{address}"'
    )
