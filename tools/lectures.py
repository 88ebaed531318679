"""The lectures as files: executing them, and keeping notebooks and their sources in step.

`notebooks/NN_name.ipynb` is what people open; `notebooks/src/NN_name.py` is what we edit.
"""

import asyncio
import hashlib
import json
import os
import re
import sys
import time
import tomllib
from itertools import count
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

from tools.environment import ROOT, put, read_record

NOTEBOOKS = ROOT / "notebooks"
WORK = ROOT / "work"
WIDGET = "application/vnd.jupyter.widget-view+json"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
STARTED = {"kernel_name": "python3", "startup_timeout": 180, "shutdown_kernel": "immediate"}
STORED = {"coalesce_streams": True, "store_widget_state": False, "record_timing": False}
# As in notebooks/jupytext.toml; without them in the notebook, jupytext would write them into it.
FILTERS = {
    "cell_metadata_filter": "all,-execution,-trusted",
    "notebook_metadata_filter": "kernelspec,-all",
}


class LectureError(RuntimeError):
    """A cell of a lecture failed; the message names the cell and quotes it."""


def numbered(folder: Path = NOTEBOOKS) -> list[Path]:
    """The course's notebooks in the folder, in its order: the start (00), then the lectures."""
    return sorted(folder.glob("[0-9][0-9]_*.ipynb"))


def lectures(folder: Path = NOTEBOOKS) -> list[Path]:
    """The lectures' notebooks in the folder, in the order of the course."""
    return [path for path in numbered(folder) if not path.name.startswith("00")]


def source_of(path: Path) -> Path:
    """The source paired with a notebook: beside it, as a problem set's, or in src/."""
    beside = path.with_suffix(".py")
    return beside if beside.exists() else path.parent / "src" / beside.name


def read_source(path: Path) -> NotebookNode:
    """Read the source paired with the notebook `path`; its cells have no outputs."""
    config = load_jupytext_configuration_file(str(NOTEBOOKS / "jupytext.toml"))
    return jupytext.read(source_of(path), fmt="py:percent", config=config)


def difference(path: Path) -> str:
    """How the notebook's cells and metadata differ from its source's; empty if they do not."""
    notebook = nbformat.read(path, as_version=4)
    for written in ("language_info", "jupytext"):  # by the execution
        notebook.metadata.pop(written, None)
    try:
        compare_notebooks(notebook, read_source(path), "py:percent", compare_outputs=False)
    except NotebookDifference as found:
        return str(found)
    return ""


def execute(notebook: NotebookNode, *, name: str, folder: Path = NOTEBOOKS) -> NotebookNode:
    """Run every cell in a new kernel that starts in `folder`, showing a progress bar.

    Returns the same notebook with its new outputs, without what differs from machine to machine.
    Raises LectureError, with the outputs before the failure, if a cell fails or the kernel dies.
    """
    if error := execute_all({name: notebook}, folder=folder)[name][1]:
        raise error
    return notebook


def execute_all(
    notebooks: dict[str, NotebookNode], *, folder: Path = NOTEBOOKS, at_once: int = 1
) -> dict[str, tuple[float, LectureError | None]]:
    """Execute notebooks like `execute`, several at once, those that come first begun first.

    Returns for each name how many seconds it took, and what failed. Ctrl-C ends the kernels and
    raises KeyboardInterrupt.
    """
    free = asyncio.Semaphore(at_once)

    async def one(name: str) -> tuple[float, LectureError | None]:
        async with free:
            started = time.perf_counter()
            problem = await _execute(notebooks[name], name, folder)
            return time.perf_counter() - started, problem

    async def every() -> dict:
        # Or nbclient would take Ctrl-C for one of the kernels; asyncio's own handler cancels all.
        asyncio.get_running_loop().add_signal_handler = lambda *_: None
        async with asyncio.TaskGroup() as group:  # which on Ctrl-C waits until all have ended
            tasks = {name: group.create_task(one(name)) for name in notebooks}
        return {name: task.result() for name, task in tasks.items()}

    return asyncio.run(every())


async def _execute(notebook: NotebookNode, name: str, folder: Path) -> LectureError | None:
    cells = notebook.cells
    with tqdm(total=len(cells), desc=name, unit="cell") as bar:

        def on_cell_start(cell: NotebookNode, cell_index: int) -> None:
            bar.update(cell_index - bar.n)
            if cell.cell_type == "markdown" and (title := re.match(r"#+ (.*)", cell.source)):
                bar.set_postfix_str(title[1][:40])

        # Keep what the kernel says from others on this machine, where jupyter_client can.
        config = Config(KernelManager={"transport_encryption": "auto"})
        options = STARTED | STORED | {"resources": {"metadata": {"path": str(folder)}}}
        client = NotebookClient(notebook, config=config, on_cell_start=on_cell_start, **options)
        try:
            await client.async_execute(env=kernel_environment())
            bar.update(len(cells) - bar.n)
        except (CellExecutionError, DeadKernelError) as error:
            said = re.sub(r"\x1b\[[0-9;]*m", "", getattr(error, "traceback", "") or str(error))
            where = f"{name}, cell {bar.n + 1} of {len(cells)} failed."
            return LectureError(f"{where}\n\n{cells[bar.n].source}\n\n{said}")
        finally:
            tidy(notebook)


def kernel_environment() -> dict[str, str]:
    """The environment variables of a kernel whose outputs are to be the same on every machine.

    One thread; figures as pictures; and an IPython profile of its own, not the reader's.
    """
    kept = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    return {"OMP_NUM_THREADS": "1"} | kept | {"IPYTHONDIR": str(ROOT / "build" / "ipython")}


def tidy(notebook: NotebookNode) -> None:
    """Remove what no reader of the stored notebook can use, and what only names a machine."""
    notebook.metadata = NotebookNode(kernelspec=KERNEL, language_info={"name": "python"})
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        outputs, cell.outputs = cell.outputs, []
        for out in outputs:
            # A widget without its kernel shows as an error message; stderr names this machine.
            widget = out.get("data", {}).pop(WIDGET, None)
            if out.get("name") != "stderr" and not (widget and out.data.keys() <= {"text/plain"}):
                cell.outputs.append(out)


def write(notebook: NotebookNode, path: Path) -> None:
    """Write the notebook beside `path`, then rename."""
    put(path, nbformat.writes(notebook) + "\n")


def clear(notebook: NotebookNode) -> None:
    """Remove every output."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None


def working_copy(folder: Path = NOTEBOOKS, to: Path = WORK) -> list[Path]:
    """Copy the notebooks, outputs cleared, and the glossary to where readers work.

    Returns what is new there. None that is there is ever overwritten: of a file that changed since
    it was copied, the new version gets a name of its own, such as 01_name-2.ipynb.
    """
    record = to / ".copied.json"  # the hash of each original, when it was last copied
    copied, new = read_record(record), []
    sets = sorted((folder / "assignments").glob("*.ipynb"))
    for path in [*numbered(folder), *sets, *folder.glob("glossary.md")]:
        seen = text = path.read_text(encoding="utf-8")
        if path.suffix == ".ipynb":
            notebook = nbformat.reads(text, as_version=4)
            clear(notebook)
            seen = [(cell.cell_type, cell.source) for cell in notebook.cells]
            text = nbformat.writes(notebook) + "\n"
        digest = hashlib.sha256(repr(seen).encode()).hexdigest()
        name = path.relative_to(folder)
        if copied.get(name.as_posix()) == digest:
            continue
        places = (to / name.with_stem(f"{path.stem}-{n}" if n > 1 else path.stem) for n in count(1))
        data = text.encode(errors="backslashreplace")
        place = next(p for p in places if not p.exists() or p.read_bytes() == data)
        if not place.exists():  # or a stop came before it was noted
            put(place, text)
            new.append(place)
        copied[name.as_posix()] = digest
        put(record, json.dumps(copied, indent=1))
    return new


def renewed(path: Path) -> NotebookNode:
    """The notebook, executed anew from its source; cells that did not change keep their ids."""
    notebook = read_source(path)
    if path.exists():
        old = nbformat.read(path, as_version=4)
        notebook = combine_inputs_with_outputs(notebook, old, "py:percent")
    return execute(notebook, name=path.stem, folder=path.parent)


def remake(*names: str, folder: Path = NOTEBOOKS) -> int:
    """Execute lectures anew from their sources, in place; all, or those that begin with `names`.

    A notebook whose cells were other than its source's is kept in build/replaced/.
    """
    sources = sorted((folder / "src").glob("[0-9][0-9]_*.py"))
    # Whatever a maintainer types: 01, 01_name, notebooks/01_name.ipynb.
    stems = tuple(Path(name).stem for name in names) or ("",)
    chosen = [source for source in sources if source.stem.startswith(stems)]
    if names and not chosen:
        known = ", ".join(source.stem for source in sources)
        print(f"No lecture is called {', '.join(names)}; there are: {known}", file=sys.stderr)
        return 2
    write_address(folder)
    for source in chosen:
        path = folder / f"{source.stem}.ipynb"
        if path.exists() and difference(path):
            keep = folder.parent / "build" / "replaced" / path.name
            print(f"{path.name} differs from its source; the old one is kept as {keep}")
            write(nbformat.read(path, as_version=4), keep)
        try:
            notebook = renewed(path)
        except LectureError as error:
            print(f"\n{error}\n\n{path.name} is left as it was.")
            return 1
        notebook.metadata["jupytext"] = FILTERS
        write(notebook, path)
    return 0


def repository() -> str | None:
    """The repository's address in pyproject.toml, or None while none is set."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project.get("urls", {}).get("Repository")


def setup_cell(address: str | None) -> str:
    """Every lecture's first code cell."""
    install = 'raise SystemExit("First, in a cell above: %pip install git+ADDRESS")'
    if address:
        # (Not %pip: the source is to be Python.)
        install = f"get_ipython().run_line_magic('pip', 'install --quiet git+{address}')"
    return f"""# On Colab, install the course first; everywhere else this cell does nothing.
import sys
if "google.colab" in sys.modules:
    {install}"""


def write_address(folder: Path = NOTEBOOKS) -> None:
    """Bring all that names the repository's address in step with pyproject.toml.

    The first code cells of the sources in `folder`, and above it README and CITATION.
    """
    address, github = repository(), "https://github.com/"
    cite, links, place = "", "", (address or "").removeprefix(github).removesuffix(".git")
    if address:
        cite = f"repository-code: {address}\n"
    if address and address.startswith(github):
        start = "notebooks/00_start.ipynb"
        colab = f"https://colab.research.google.com/github/{place}/blob/main/{start}"
        binder = f"https://mybinder.org/v2/gh/{place}/main?urlpath=lab/tree/{start}"
        links = f"Open it in [Colab]({colab}) or [Binder]({binder}).\n\n"
    parts = {
        r"(?m)^# On Colab, install the course first(.|\n)*?(?=\n\n)": setup_cell(address),
        r"(?m)^(repository-code: .*\n)?(?=license:\n)": cite,
        r"(?m)^(Open it in \[Colab\].*\n\n)?(?=## Two commands\n)": links,
    }
    others = [folder.parent / name for name in ("README.md", "CITATION.cff")]
    for path in filter(Path.exists, [*(folder / "src").glob("*.py"), *others]):
        new = text = path.read_text(encoding="utf-8")
        for old, part in parts.items():
            new = re.sub(old, lambda _: part, new, count=1)
        if new != text:
            put(path, new)
