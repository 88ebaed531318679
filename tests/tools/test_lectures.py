"""Every lecture is in step with its source, and executing one does what it says."""

import _thread
import ast
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import types
from contextlib import nullcontext, suppress
from itertools import count

import nbformat
import psutil
import pytest
import yaml
from IPython.core.inputtransformer2 import TransformerManager
from jupytext import TextFileContentsManager
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import lectures, verdicts
from tools.lectures import LectureError, difference, execute, remake, source_of, write

LONGEST_CELL, WIDEST_LINE = 12, 80
PAIR = """# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A small lecture

# %% tags=["claim", "claim:small"]
print("the answer is", 42)

# %%
# %matplotlib inline
print("the end")
"""


def problems(path):
    """What is wrong with an executed notebook as it is stored."""
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    outputs = [output for cell in code for output in cell.outputs]
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        yield "not every code cell was executed once, in order"
    if any(output.output_type == "error" for output in outputs):
        yield "an error is among the outputs"
    for cell in code:
        if len(cell.source.splitlines()) > LONGEST_CELL:
            yield f"a cell of more than {LONGEST_CELL} lines: {cell.source[:60]!r}"
        if cell.source != lectures.setup_cell(lectures.repository()):  # it may hold an address
            for line in cell.source.splitlines():
                if len(line) > WIDEST_LINE:
                    yield f"a line of more than {WIDEST_LINE} columns: {line!r}"
    if found := difference(path):
        yield f"not in step with {source_of(path).name} (make notebooks): {found}"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with one small lecture, its notebook made from the source."""
    folder = tmp_path_factory.mktemp("made") / "notebooks"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "01_small.py").write_text(PAIR)
    assert remake(folder=folder) == 0
    return folder


@pytest.fixture
def small(made, tmp_path):
    """The notebook in a copy of that folder."""
    return shutil.copytree(made, tmp_path / "notebooks") / "01_small.ipynb"


@pytest.mark.parametrize("path", lectures.numbered(), ids=lambda path: path.stem)
def test_lecture_is_executed_and_in_step(path):
    assert not list(problems(path))


@pytest.mark.parametrize("path", lectures.numbered(), ids=lambda path: path.stem)
def test_lecture_begins_with_the_set_up_cell(path):
    notebook = nbformat.read(path, as_version=4)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert first.source == lectures.setup_cell(lectures.repository())


def test_no_notebook_without_source_nor_source_without_notebook():
    notebooks = {path.stem for path in lectures.NOTEBOOKS.glob("*.ipynb")}
    assert notebooks == {path.stem for path in (lectures.NOTEBOOKS / "src").glob("*.py")}
    assert notebooks == {path.stem for path in lectures.numbered()}


def test_a_new_lecture_is_made_from_its_source_alone(small):
    notebook = nbformat.read(small, as_version=4)
    assert not list(problems(small))
    assert notebook.cells[1].outputs[0].text == "the answer is 42\n"
    assert notebook.cells[1].metadata == {"tags": ["claim", "claim:small"]}
    assert notebook.cells[2].source.startswith("%matplotlib")
    assert notebook.metadata == {
        "kernelspec": lectures.KERNEL,
        "language_info": {"name": "python"},
        "jupytext": lectures.FILTERS,
    }


def test_what_only_names_a_machine_is_not_kept(tmp_path):
    cell = new_code_cell("import sys; print('kept'); print('this machine', file=sys.stderr)")
    notebook = lectures.execute(new_notebook(cells=[cell]), name="small", folder=tmp_path)
    assert [output.text for output in notebook.cells[0].outputs] == ["kept\n"]


def change(path, alter):
    notebook = nbformat.read(path, as_version=4)
    alter(notebook.cells)
    write(notebook, path)


@pytest.mark.parametrize(
    "alter",
    [
        lambda cells: cells[1].update(source="print('the answer is', 43)"),
        lambda cells: cells[0].update(source="# Another title"),
        lambda cells: cells[1].metadata.update(tags=["claim"]),
        lambda cells: cells.pop(),
        lambda cells: cells.append(new_markdown_cell("one more")),
        lambda cells: cells.reverse(),
        lambda cells: cells[1].update(execution_count=None),
        lambda cells: cells[1].update(execution_count=3),
        lambda cells: cells[1].outputs.append(new_output("error", ename="E", evalue="e")),
    ],
)
def test_the_checks_notice_a_change(small, alter):
    change(small, alter)
    assert list(problems(small))


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("\n".join(["1"] * LONGEST_CELL), []),
        ("\n".join(["1"] * (LONGEST_CELL + 1)), ["more than 12 lines"]),
        ("1" * WIDEST_LINE, []),
        ("1\n" + "1" * (WIDEST_LINE + 1), ["more than 80 columns"]),
    ],
)
def test_the_checks_notice_a_long_cell_and_a_wide_line(tmp_path, source, found):
    kernel = {"kernelspec": lectures.KERNEL}
    cell = new_code_cell(source, execution_count=1)
    write(new_notebook(cells=[cell], metadata=kernel), tmp_path / "a.ipynb")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("# %%\n" + cell.source)
    said = [problem for problem in problems(tmp_path / "a.ipynb") if "more than" in problem]
    assert len(said) == len(found) and all(words in one for words, one in zip(found, said))


def test_remaking_keeps_the_ids_of_unchanged_cells(small):
    ids = [cell.id for cell in nbformat.read(small, as_version=4).cells]
    source = source_of(small)
    new_cell = '# %%\nprint("new")\n\n# %%\n# %matplotlib'
    source.write_text(PAIR.replace("# %%\n# %matplotlib", new_cell).replace("42", "6 * 7"))
    assert difference(small)
    assert remake("01", folder=small.parent) == 0
    cells = nbformat.read(small, as_version=4).cells
    assert not list(problems(small))
    assert [cells[i].id for i in (0, 1, 3)] == ids and cells[2].id not in ids
    assert cells[1].outputs[0].text == "the answer is 42\n"


def test_remaking_keeps_a_notebook_whose_edits_would_be_lost(small, tmp_path, capsys):
    change(small, lambda cells: cells[1].update(source="print('edited in JupyterLab')"))
    assert remake(folder=small.parent) == 0
    assert "edited in JupyterLab" not in small.read_text()
    kept = tmp_path / "build" / "replaced" / small.name
    assert "edited in JupyterLab" in kept.read_text() and str(kept) in capsys.readouterr().out


def test_a_lecture_that_fails_is_left_as_it_was(small, capsys):
    before = small.read_bytes()
    source_of(small).write_text(PAIR.replace('"the answer is", 42', "1 / 0"))
    assert remake(folder=small.parent) == 1
    assert small.read_bytes() == before
    said = capsys.readouterr().out
    assert "cell 2 of 3" in said and "print(1 / 0)" in said and "ZeroDivisionError" in said
    assert sorted(path.name for path in small.parent.iterdir()) == ["01_small.ipynb", "src"]


def test_an_unknown_lecture_lists_the_known_ones(small, capsys):
    assert remake("02", folder=small.parent) == 2
    assert "called 02; there are: 01_small" in capsys.readouterr().err


def test_a_kernel_that_dies_is_reported(tmp_path):
    notebook = new_notebook(cells=[new_code_cell("import os\nos._exit(1)")])
    with pytest.raises(LectureError, match="fatal, cell 1 of 1"):
        execute(notebook, name="fatal", folder=tmp_path)


def test_ctrl_c_ends_the_kernel(tmp_path):
    cells = ["import os, time; open('pid', 'w').write(str(os.getpid()))", "time.sleep(60)"]
    notebook = new_notebook(cells=[new_code_cell(source) for source in cells])
    waits = new_notebook(cells=[new_code_cell("open('begun', 'w')")])
    began = time.monotonic()

    def press_ctrl_c():
        while not (tmp_path / "pid").exists() and time.monotonic() < began + 50:
            time.sleep(0.1)
        _thread.interrupt_main()

    threading.Thread(target=press_ctrl_c, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        lectures.execute_all({"endless": notebook, "waits": waits}, folder=tmp_path)
    assert not (tmp_path / "begun").exists()
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))
    assert time.monotonic() < began + 40


@pytest.mark.parametrize(
    ("first", "measured", "status", "says"),
    [
        ("", 1.6, 0, "Every verdict is as expected"),
        ("", 0.5, 1, "linear-distortions: contradicted"),
        ("raise ValueError('no such digit')", 1.6, 1, "ValueError: no such digit"),
    ],
)
def test_course_reports_what_today_showed(
    tmp_path, monkeypatch, capsys, first, measured, status, says
):
    from course_utils import claims, data
    from course_utils.intervals import Interval

    monkeypatch.setattr(data, "load_mnist", lambda split: ([], []))
    monkeypatch.setattr(
        claims, "CLAIMS", {"linear-distortions": claims.CLAIMS["linear-distortions"]}
    )
    earlier = claims.check(
        "linear-distortions", Interval(1.6, 1.5, 1.7), null=1
    )._repr_mimebundle_()
    cell = new_code_cell(
        f"claims.check('linear-distortions', Interval({measured}, {measured}, {measured}), null=1)",
        metadata={"tags": ["claim", "claim:linear-distortions"]},
        execution_count=2,
        outputs=[new_output("display_data", earlier)],
    )
    folder = tmp_path / "notebooks"
    needed = "from course_utils import claims\nfrom course_utils.intervals import Interval"
    imports = new_code_cell(f"{needed}\n{first}", execution_count=1)
    write(new_notebook(cells=[imports, cell]), folder / "01_small.ipynb")
    before = (folder / "01_small.ipynb").read_bytes()
    assert verdicts.course(folder, tmp_path / "build") == status
    said = capsys.readouterr().out
    assert says in said and "01_small: 0." in said
    assert ("linear-distortions: missing" in said) is bool(
        first
    )  # what was stored earlier doesn't count
    assert (folder / "01_small.ipynb").read_bytes() == before
    assert (tmp_path / "build" / "01_small.ipynb").exists()


def test_the_set_up_cell_does_nothing_here_and_asks_for_nothing_on_colab(monkeypatch):
    ran = []
    shell = types.SimpleNamespace(run_line_magic=lambda *words: ran.append(words))
    for address in (None, "https://github.com/somebody/course"):
        cell = TransformerManager().transform_cell(lectures.setup_cell(address))
        assert len(cell.splitlines()) == 4
        monkeypatch.delitem(sys.modules, "google.colab", raising=False)
        exec(cell, {"get_ipython": lambda: shell})
        assert not ran
        monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
        with (
            pytest.raises(SystemExit, match=r"above: %pip install git\+ADDRESS")
            if (address is None)
            else nullcontext()
        ):
            exec(cell, {"get_ipython": lambda: shell})
    assert ran == [("pip", "install --quiet git+https://github.com/somebody/course")]


@pytest.mark.parametrize(
    "address",
    ["https://github.com/somebody/course", "https://github.com/s/c.git", "https://example.org/c"],
)
def test_the_address_is_written_to_all_that_names_it(tmp_path, monkeypatch, address):
    folder = tmp_path / "notebooks"
    shutil.copytree(lectures.NOTEBOOKS / "src", folder / "src")
    for name in ("README.md", "CITATION.cff"):
        shutil.copy(lectures.ROOT / name, tmp_path)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    monkeypatch.setattr(lectures, "repository", lambda: address)
    lectures.write_address(folder)
    for source in (folder / "src").glob("*.py"):
        ast.parse(source.read_text(encoding="utf-8"))
        cells = lectures.read_source(folder / f"{source.stem}.ipynb").cells
        first = next(cell for cell in cells if cell.cell_type == "code")
        assert first.source == lectures.setup_cell(address) and address in first.source
    citation = yaml.safe_load((tmp_path / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["repository-code"] == address and citation["license"]
    readme = (tmp_path / "README.md").read_text(encoding="utf-8")
    place = "somebody/course" if "somebody" in address else "s/c"
    for service in ("colab.research.google.com/github/", "mybinder.org/v2/gh/"):
        assert (f"https://{service}{place}/" in readme) is ("github" in address)
    once = {path: path.read_bytes() for path in files}
    lectures.write_address(folder)
    assert {path: path.read_bytes() for path in files} == once
    monkeypatch.setattr(lectures, "repository", lambda: None)
    lectures.write_address(folder)
    monkeypatch.undo()
    lectures.write_address(folder)
    assert {path: path.read_bytes() for path in files} == files


# Executing on any machine


@pytest.mark.parametrize("backend", ["agg", "TkAgg", "no such backend"])
def test_a_backend_named_outside_takes_no_figure_away(tmp_path, monkeypatch, backend):
    monkeypatch.setenv("MPLBACKEND", backend)
    cell = new_code_cell("import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()")
    notebook = execute(new_notebook(cells=[cell]), name="small", folder=tmp_path)
    assert "image/png" in notebook.cells[0].outputs[-1].data


def test_a_profile_of_the_readers_changes_no_output(tmp_path, monkeypatch):
    config = tmp_path / "profile_default" / "ipython_config.py"
    config.parent.mkdir()
    config.write_text("c.InteractiveShell.ast_node_interactivity = 'all'")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = execute(new_notebook(cells=[new_code_cell("1\n2")]), name="small", folder=tmp_path)
    assert [output.data["text/plain"] for output in notebook.cells[0].outputs] == ["2"]


def test_several_at_a_time_on_one_thread_each(tmp_path):
    """The first waits for a file that the second writes."""
    waits = "import time, pathlib\nwhile not pathlib.Path('there').exists(): time.sleep(.1)"
    threads = "import torch; print(torch.get_num_threads())"
    sources = {
        "waits": [waits, threads],
        "writes": ["open('there', 'w').close()"],
        "fails": ["1 / 0"],
    }
    notebooks = {
        name: new_notebook(cells=[new_code_cell(source) for source in cells])
        for name, cells in sources.items()
    }
    results = lectures.execute_all(notebooks, folder=tmp_path, at_once=2)
    assert list(results) == ["waits", "writes", "fails"]
    assert notebooks["waits"].cells[1].outputs[0].text == "1\n"
    assert [bool(error) for _, error in results.values()] == [False, False, True]
    assert "ZeroDivisionError" in str(results["fails"][1])
    assert all(seconds > 0 for seconds, _ in results.values())


# A folder of one's own


def test_the_working_copy_is_clean_and_never_overwritten(small, tmp_path):
    folder, work = small.parent, tmp_path / "work"
    (made,) = lectures.working_copy(folder, work)
    assert made == work / small.name
    cells = nbformat.read(made, as_version=4).cells
    assert [cell.get("outputs", []) for cell in cells] == [[], [], []]
    assert not lectures.working_copy(folder, work)  # nothing changed
    made.write_text("the reader's own")
    remade = small.read_text().replace("the answer is 42", "the answer is 43")
    small.write_text(remade)  # other outputs only
    assert not lectures.working_copy(folder, work)
    for number in (2, 3):
        change(small, lambda cells: cells[0].update(source=f"# Version {number}"))
        (new,) = lectures.working_copy(folder, work)
        assert new.name == f"01_small-{number}.ipynb" and f"Version {number}" in new.read_text()
    assert made.read_text() == "the reader's own"
    assert not lectures.working_copy(folder, work)
    made.unlink()  # what the reader threw away does not come back
    assert not lectures.working_copy(folder, work)


def test_a_working_copy_stopped_anywhere_is_completed(small, tmp_path, monkeypatch):
    put, folder = lectures.put, small.parent
    shutil.copy(small, folder / "02_more.ipynb")
    (folder / "glossary.md").write_text("terms")
    for at in count():
        work, written = tmp_path / f"{at}", []

        def stop(path, text):
            if len(written) == at:
                raise KeyboardInterrupt
            written.append(path)
            put(path, text)

        with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
            patch.setattr(lectures, "put", stop)
            lectures.working_copy(folder, work)
            break
        new = lectures.working_copy(folder, work)
        assert not set(new) & set(written) and not lectures.working_copy(folder, work)
        assert sorted(path.name for path in work.iterdir()) == [
            *(".copied.json", "01_small.ipynb", "02_more.ipynb", "glossary.md")
        ]
    assert at == 6


def test_a_glossary_of_the_readers_own_is_kept(small, tmp_path):
    folder, work = small.parent, tmp_path / "work"
    original = folder / "glossary.md"
    original.write_text("terms")
    assert work / original.name in lectures.working_copy(folder, work)
    (work / original.name).write_text("my own words")
    assert not lectures.working_copy(folder, work)
    original.write_text("more terms")
    (new,) = lectures.working_copy(folder, work)
    assert new.name == "glossary-2.md" and new.read_text() == "more terms"
    assert (work / original.name).read_text() == "my own words"


@pytest.mark.parametrize("record", ["", "{", "[1]", "\xff"])
def test_a_damaged_record_of_the_copies_costs_nothing_of_the_readers(small, tmp_path, record):
    folder, work = small.parent, tmp_path / "work"
    shutil.copy(small, folder / "02_more.ipynb")
    changed, _ = lectures.working_copy(folder, work)
    changed.write_text("the reader's own")
    (work / ".copied.json").write_text(record, encoding="latin-1")
    assert [path.name for path in lectures.working_copy(folder, work)] == ["01_small-2.ipynb"]
    assert changed.read_text() == "the reader's own" and not lectures.working_copy(folder, work)


def test_what_the_working_copys_notebooks_lead_to_is_there(tmp_path):
    places = [
        path.parent / link
        for path in lectures.working_copy(to=tmp_path / "work")
        for link in re.findall(r"\]\((\w[\w/.]*\.\w+)\)", path.read_text(encoding="utf-8"))
    ]
    assert len(places) > 20 and [place for place in places if not place.exists()] == []


def test_the_working_copy_holds_every_lecture_and_problem_set(tmp_path):
    new = lectures.working_copy(to=tmp_path / "work")
    names = {path.relative_to(tmp_path / "work").as_posix() for path in new}
    assert "00_start.ipynb" in names and "assignments/problem_set_5.ipynb" in names
    assert len(names) == len(lectures.numbered()) + 5 + len(["glossary.md"])


@pytest.mark.parametrize("older", ["*.ipynb", "src/*.py"])
def test_jupytext_finds_nothing_to_change_in_a_fresh_clone(tmp_path, older):
    folder = shutil.copytree(
        lectures.NOTEBOOKS,
        tmp_path / "notebooks",
        ignore=shutil.ignore_patterns("assignments", ".*", "__pycache__"),
    )
    for path in folder.glob(older):
        os.utime(path, (1e9, 1e9))
    files = [path for path in folder.rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    pairs = sorted(map(str, folder.glob("*.ipynb")))
    subprocess.run(
        [sys.executable, "-m", "jupytext", "--sync", *pairs],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    assert len(pairs) == 6
    assert [path.name for path in files if path.read_bytes() != before[path]] == []


@pytest.mark.parametrize("older", [".py", ".ipynb"])
def test_jupyterlab_opens_and_saves_the_pair(small, older):
    source = source_of(small)
    shutil.copy(lectures.NOTEBOOKS / "jupytext.toml", small.parent)
    os.utime(source if older == ".py" else small, (1e9, 1e9))  # as a clone may leave them
    manager = TextFileContentsManager(root_dir=str(small.parent))
    model = manager.get(small.name)
    assert model["content"].cells[1].outputs[0].text == "the answer is 42\n"
    model["content"].cells[0].source = "# Edited in JupyterLab"
    manager.save({key: model[key] for key in ("type", "format", "content")}, small.name)
    assert source.read_text() == PAIR.replace("A small lecture", "Edited in JupyterLab")
    assert not list(problems(small))
