"""Setting up: once, never half, and never over what is somebody else's."""

import ast
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
import types
import urllib.request  # noqa: F401  (before a test takes sys.path away)
import zipfile
from itertools import count
from pathlib import Path

import pytest

from tools import __main__ as entry
from tools import environment, lectures
from tools.environment import SetupError, prepare, python_in, read_record


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A checkout of its own, in which creating an environment takes no time."""
    (tmp_path / "pyproject.toml").write_text("one")
    (tmp_path / "constraints.txt").write_text("two")
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(environment, "create", put_python_into)
    return tmp_path


def put_python_into(folder):
    python_in(folder).parent.mkdir(parents=True)
    if os.name == "nt":  # there what an environment has is small, and a link takes rights
        shutil.copy(sys.executable, python_in(folder))
    else:
        python_in(folder).symlink_to(sys.executable)
    home = Path(sys._base_executable).parent
    (folder / "pyvenv.cfg").write_text(f"home = {home}", encoding="utf-8")


def whole(folder):
    """Whether a Python is there whose prefix is the folder."""
    return python_in(folder).exists() and (folder / "pyvenv.cfg").exists()


def prefix(folder):
    """Where the environment's Python would install."""
    command = [str(python_in(folder)), "-c", "import sys; print(sys.prefix)"]
    return Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())


class Install:
    """Counts its calls, and puts a package there; fails, half done, where it is told to."""

    def __init__(self, *failing, error=KeyboardInterrupt):
        self.calls, self.failing, self.error = 0, failing, error

    def __call__(self, folder):
        self.calls += 1
        (folder / "package").unlink(missing_ok=True)
        if self.calls in self.failing:
            raise self.error
        (folder / "package").write_text(f"{self.calls}")


def test_second_set_up_does_nothing(root, capsys):
    install, folder = Install(), root / ".venv"
    assert prepare(folder, install) == python_in(folder)
    assert "Making .venv" in capsys.readouterr().out
    assert prepare(folder, install) == python_in(folder)
    assert install.calls == 1 and capsys.readouterr().out == ""


@pytest.mark.parametrize("file", ["pyproject.toml", "constraints.txt"])
def test_changed_requirements_update_in_place(root, file, capsys):
    install, folder = Install(), root / ".venv"
    prepare(folder, install)
    (folder / "kept").touch()
    (root / file).write_text("three")
    prepare(folder, install)
    assert install.calls == 2 and (folder / "kept").exists()
    assert "Bringing .venv up to date" in capsys.readouterr().out


@pytest.mark.parametrize("stage", ["creating", "installing"])
def test_half_finished_set_up_is_made_anew(root, monkeypatch, capsys, stage):
    folder = root / ".venv"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        if stage == "creating":
            patch.setattr(environment, "create", Install(1))
        prepare(folder, Install(1))
    (folder / "rubble").touch()
    install = Install()
    prepare(folder, install)
    assert install.calls == 1 and not (folder / "rubble").exists()
    assert "making it anew" in capsys.readouterr().out


def alone(root: Path) -> set[str]:
    return {path.name for path in root.iterdir()} - {"pyproject.toml", "constraints.txt"}


@pytest.mark.parametrize("error", [SetupError("no network"), OSError(28, "no network, no room")])
def test_an_update_that_fails_leaves_the_old_environment_in_use(root, capsys, error):
    """As after a `git pull`, without network."""
    folder, install = root / ".venv", Install(2, error=error)
    prepare(folder, install)
    (root / "constraints.txt").write_text("three")
    assert prepare(folder, install) == python_in(folder)
    said = capsys.readouterr().err
    assert "no network" in said and "stays as it was" in said
    assert (folder / "package").read_text() == "1"
    prepare(folder, install)  # with network again
    assert (folder / "package").read_text() == "3" and install.calls == 3
    assert alone(root) == {".venv", ".venv-lock"}


@pytest.mark.parametrize("when", ["copying", "installing", "killed"])
def test_an_update_that_is_stopped_leaves_the_old_environment(root, monkeypatch, when):
    folder = root / ".venv"
    prepare(folder, Install())
    (root / "pyproject.toml").write_text("three")
    stopped = Install(1)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        if when == "copying":
            patch.setattr(environment.os, "link", lambda *_, **__: stopped(folder / "copied"))
            (folder / "copied").mkdir()
        if when == "killed":  # then nothing is put back before the next set-up
            patch.setattr(environment, "restore", lambda *_: None)
        prepare(folder, stopped)
    install = Install(1, error=SetupError("no network"))
    prepare(folder, install)
    assert (folder / "package").read_text() == "1" and python_in(folder).exists()
    assert not (root / ".venv-before").exists()


class Stop:
    """Ctrl-C before the file operation number `at`; a kill goes on stopping whatever follows."""

    OPERATIONS = "rename replace mkdir unlink rmdir link symlink".split()

    def __init__(self, patch, at, kill):
        self.left, self.kill = at, kill
        for name in self.OPERATIONS:
            patch.setattr(os, name, self.before(getattr(os, name)))
        patch.setattr(Path, "write_text", self.before(Path.write_text, half=True))

    def before(self, operation, half=False):
        def operate(*words, **options):
            self.left -= 1
            if self.left == 0 or (self.kill and self.left < 0):
                if half and self.left == 0:
                    words[0].touch()
                raise KeyboardInterrupt
            return operation(*words, **options)

        return operate


class Package(Install):
    """Puts two files there that belong together, with the environment's own Python."""

    def __call__(self, folder):
        assert whole(folder)
        super().__call__(folder)
        (folder / "other half").unlink(missing_ok=True)
        (folder / "other half").write_text(f"{self.calls}")


def first(folder, patch):
    pass


def once_more(folder, patch):
    with pytest.raises(KeyboardInterrupt):
        prepare(folder, Package(1))


def readers_own(folder, patch):
    put_python_into(folder)
    (folder / "theirs").touch()


def update(folder, patch):
    prepare(folder, Install())
    (folder / "other half").write_text("1")
    (folder.parent / "constraints.txt").write_text("three")


def other_python(folder, patch):
    prepare(folder, Package())
    stamp = json.loads((folder / environment.STAMP).read_text()) | {"python": "3.99"}
    (folder / environment.STAMP).write_text(json.dumps(stamp))


@pytest.mark.parametrize("kill", [False, True], ids=["Ctrl-C", "kill"])
@pytest.mark.parametrize("case", [first, once_more, readers_own, update, other_python])
def test_a_set_up_stopped_anywhere_is_completed_by_the_next(tmp_path, monkeypatch, case, kill):
    for at in count(1):
        root, package = tmp_path / f"{at}", Package()
        root.mkdir()
        package.calls = 1  # so that a set-up from the start and an update write other numbers
        for file in ("pyproject.toml", "constraints.txt"):
            (root / file).write_text("one")
        monkeypatch.setattr(environment, "ROOT", root)
        monkeypatch.setattr(environment, "create", put_python_into)
        folder = root / ".venv"
        case(folder, monkeypatch)
        with monkeypatch.context() as patch:
            Stop(patch, at, kill)
            try:
                prepare(folder, package)
                break
            except KeyboardInterrupt:
                pass
        if case is update:  # usable meanwhile, even without network
            prepare(folder, Install(1, error=SetupError("no network")))
            assert (folder / "package").read_text() == (folder / "other half").read_text()
        prepare(folder, package)
        assert (folder / "package").read_text() == (folder / "other half").read_text() != "1"
        assert whole(folder) and alone(root) == {".venv", ".venv-lock"}
        assert read_record(folder / environment.STAMP)["made_here"] is (case is not readers_own)
        assert (folder / "theirs").exists() is (case is readers_own)
    assert at > 8


def test_what_is_left_of_an_environment_is_never_installed_into(root):
    """Without pyvenv.cfg its Python is the reader's own, and would put packages there."""
    folder, package = root / ".venv", Package()
    prepare(folder, package)
    for made_here in (True, False):
        (folder / "pyvenv.cfg").unlink()
        assert not prefix(folder).samefile(folder)
        (root / "constraints.txt").write_text(f"{made_here}")
        if not made_here:
            (folder / environment.STAMP).unlink()
            with pytest.raises(SetupError, match="has no working Python"):
                prepare(folder, package)
        else:
            prepare(folder, package)
            assert prefix(folder).samefile(folder)


def test_a_copy_costs_no_room_and_does_not_change(root):
    folder, before = root / ".venv", root / ".venv-before"
    prepare(folder, Install())
    environment.keep(folder)
    copied = before / "package"
    assert copied.samefile(folder / "package")
    Install()(folder)
    (folder / "package").unlink()
    assert copied.read_text() == "1"
    assert python_in(before).is_symlink() is python_in(folder).is_symlink()


def test_two_set_ups_at_once_make_one_environment(root, monkeypatch):
    code = f"""if True:
        import pathlib, sys, time
        from tools import environment
        environment.ROOT = pathlib.Path({str(root)!r})
        environment.create = lambda folder: environment.python_in(folder).parent.mkdir(parents=True)
        def install(folder):
            print("installs", flush=True)
            time.sleep(1)
            environment.python_in(folder).touch()
        environment.prepare(environment.ROOT / ".venv", install)
    """
    pair = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=environment.Path(entry.__file__).parents[1],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=60)[0] for process in pair]
    assert [process.returncode for process in pair] == [0, 0]
    assert "".join(said).count("installs") == 1
    assert sum("waiting for it" in words for words in said) <= 1


def test_a_checkout_that_cannot_be_written_says_so(root, monkeypatch):
    opened = Path.open

    def refuse(path, mode="r", *words, **options):
        if "w" in mode:
            raise PermissionError(13, "Permission denied")
        return opened(path, mode, *words, **options)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SetupError, match="(?s)Permission denied.*What to do: copy"):
        prepare(root / ".venv", Install())


def test_stopped_while_writing_the_stamp(root, monkeypatch):
    folder, install, replace = root / ".venv", Install(), environment.os.replace

    def stop_after_installing(*paths):
        if install.calls:
            raise KeyboardInterrupt
        replace(*paths)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(environment.os, "replace", stop_after_installing)
        prepare(folder, install)
    prepare(folder, install)
    assert install.calls == 2


@pytest.mark.parametrize("change", ["moved", "other Python", "Python gone"])
def test_environment_that_cannot_work_is_made_anew(root, monkeypatch, capsys, change):
    folder = root / ".venv"
    prepare(folder, Install())
    (folder / "rubble").touch()
    if change == "moved":
        folder = folder.rename(root / "elsewhere")
    elif change == "other Python":
        monkeypatch.setattr(environment, "PYTHON", "3.99")
    else:
        python_in(folder).unlink()
    prepare(folder, Install())
    assert not (folder / "rubble").exists()
    assert "unfinished, moved, or of another Python" in capsys.readouterr().out


@pytest.mark.parametrize("stage", ["creating", "installing"])
def test_another_pythons_environment_is_put_back_if_a_new_one_fails(root, monkeypatch, stage):
    """As where conda's Python comes first in one of two terminals, and there is no network."""
    folder, fails = root / ".venv", Install(1, error=SetupError("no network"))
    prepare(folder, Install())
    with monkeypatch.context() as patch, pytest.raises(SetupError, match="no network"):
        patch.setattr(environment, "PYTHON", "3.99")
        if stage == "creating":
            patch.setattr(environment, "create", fails)
        prepare(folder, fails)
    install = Install()
    prepare(folder, install)
    assert install.calls == 0 and (folder / "package").read_text() == "1"
    assert alone(root) == {".venv", ".venv-lock"}


def test_working_environment_of_the_readers_is_added_to(root, capsys):
    folder, install = root / ".venv", Install(1)
    put_python_into(folder)
    (folder / "theirs").touch()
    with pytest.raises(KeyboardInterrupt):
        prepare(folder, install)
    prepare(folder, install)
    prepare(folder, install)
    assert (folder / "theirs").exists() and install.calls == 2
    assert "not made by the course" in capsys.readouterr().out
    assert read_record(folder / environment.STAMP)["made_here"] is False


@pytest.mark.parametrize("stamped", [False, True])
def test_broken_environment_of_the_readers_is_left_alone(root, stamped):
    folder = root / ".venv"
    if stamped:
        put_python_into(folder)
        prepare(folder, Install())
        python_in(folder).unlink()
    folder.mkdir(exist_ok=True)
    (folder / "theirs").touch()
    with pytest.raises(SetupError, match="move it away or delete it"):
        prepare(folder, Install())
    assert (folder / "theirs").exists()


@pytest.mark.parametrize("stamp", ["", "[]", "not json", '{"path": "/"}'])
def test_damaged_stamp_is_never_taken_for_a_good_one(root, stamp):
    folder = root / ".venv"
    prepare(folder, Install())
    (folder / environment.STAMP).write_text(stamp)
    install = Install()
    prepare(folder, install)
    assert install.calls == 1


def test_environment_is_not_deleted_from_under_a_running_python(root, monkeypatch):
    folder = root / ".venv"
    with pytest.raises(KeyboardInterrupt):
        prepare(folder, Install(1))
    monkeypatch.setattr(sys, "prefix", str(folder))
    with pytest.raises(SetupError, match="deactivate"):
        prepare(folder, Install())
    assert python_in(folder).exists()


def test_course_installed_by_hand_is_used_as_it_is(root, monkeypatch):
    site, elsewhere = root / "site", root.parent / "another-checkout"
    place = site / "adversarial_examples_course-0.1.0.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text("Name: adversarial-examples-course\nVersion: 0.1.0\n")
    (root / "adversarial_examples_course.egg-info").mkdir()
    (root / "adversarial_examples_course.egg-info" / "PKG-INFO").write_text(
        "Name: adversarial-examples-course\nVersion: 0.1.0\n"
    )
    monkeypatch.setattr(sys, "path", [str(root), str(site)])
    link = root.parent / "a link (to it)"
    if os.name == "nt":
        link = root
    else:
        link.symlink_to(root)
    for source, by_hand in ((None, False), (elsewhere, False), (root, True), (link, True)):
        if source is not None:
            url = source.as_uri().replace("%28", "(").replace("%29", ")")  # as pip writes it
            (place / "direct_url.json").write_text(json.dumps({"url": url}))
        assert environment.installed_by_hand() is by_hand
    monkeypatch.setattr(environment, "prepare", lambda *_: pytest.fail("a second environment"))
    assert environment.ensure() == Path(sys.executable)


@pytest.mark.parametrize(
    ("platform", "choice", "asks_for_cpu"),
    [("linux", "", True), ("linux", "cuda", False), ("darwin", "", False)],
)
def test_torch_without_cuda(root, monkeypatch, platform, choice, asks_for_cpu):
    commands = []
    monkeypatch.setattr(environment, "pip", lambda python, *words: commands.append(words))
    monkeypatch.setattr(environment.shutil, "which", lambda name: None)
    monkeypatch.setattr(environment.sys, "platform", platform)
    monkeypatch.setenv("COURSE_TORCH", choice)
    environment.install_course(root / ".venv")
    assert commands[-1][-2:] == ("-e", f"{root}[lab]")
    assert all(str(root / "constraints.txt") in command for command in commands)
    assert (len(commands) == 2 and environment.CPU_TORCH in commands[0]) is asks_for_cpu


def test_an_index_that_does_not_answer_is_left_out(root, tmp_path):
    """As where a firewall keeps torch's own index away. (Port 9: nobody listens.)"""
    wheel = tmp_path / "small_course-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        for name, text in {
            "METADATA": "Metadata-Version: 2.1\nName: small-course\nVersion: 1.0\n",
            "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            "RECORD": "",
        }.items():
            file.writestr(f"small_course-1.0.dist-info/{name}", text)
    options = ["--no-deps", "--find-links", str(tmp_path), "--target", str(tmp_path / "there")]
    nobody = ["--index-url", "http://127.0.0.1:9/", "--extra-index-url", "http://127.0.0.1:9/cpu"]
    began = time.monotonic()
    environment.pip(Path(sys.executable), *options, *nobody, "small-course")
    assert list((tmp_path / "there").glob("small_course*")) and time.monotonic() < began + 60


def test_a_python_without_ensurepip_makes_an_environment_all_the_same(root, monkeypatch):
    """As Debian's; then the pip of the Python that runs installs into it."""
    monkeypatch.undo()  # the true create
    folder, made = root / ".venv", []
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "ensurepip" else find(name)
    )
    run = subprocess.run
    monkeypatch.setattr(
        environment.subprocess,
        "run",
        lambda command, **options: made.append(command) or run(command, **options),
    )
    environment.create(folder)
    assert "--without-pip" in made[0] and python_in(folder).exists()

    def play(command, **_):
        made.append(command)
        return types.SimpleNamespace(returncode=command[-1] in ("--version", "ensurepip"))

    monkeypatch.setattr(environment.subprocess, "run", play)
    environment.pip(python_in(folder), "a")
    place = str(python_in(folder))
    assert made[-1][:6] == [sys.executable, "-m", "pip", "--python", place, "install"]


def test_pip_that_fails_says_what_to_do(root, capfd):
    with pytest.raises(SetupError, match="(?s)Setting up failed.*What to do"):
        environment.pip(Path(sys.executable), "--nonsense")
    assert "no such option: --nonsense" in capfd.readouterr().err


@pytest.mark.parametrize(("status", "asked"), [(0, ["uv"]), (1, ["uv", "pip"])])
def test_uv_where_it_is_goes_before_pip(root, monkeypatch, status, asked):
    said, folder = [], root / ".venv"
    monkeypatch.setattr(environment, "pip", lambda *words: said.append("pip"))
    monkeypatch.setattr(environment.shutil, "which", {"uv": "uv"}.get)
    monkeypatch.setattr(environment.sys, "platform", "darwin")

    def play(command, **options):
        assert command[:5] == ["uv", "pip", "install", "--python", str(python_in(folder))]
        said.append(command[0])
        return types.SimpleNamespace(returncode=status)

    monkeypatch.setattr(environment.subprocess, "run", play)
    environment.install_course(folder)
    assert said == asked


def test_old_python_gets_one_clear_line(monkeypatch):
    text = Path(entry.__file__).read_text(encoding="utf-8")
    monkeypatch.setattr(sys, "version_info", (3, 9, 0))
    with pytest.raises(SystemExit) as stopped:
        exec(compile(text, "__main__", "exec"), {"__name__": "__main__"})
    assert stopped.value.code == "The course needs Python 3.11 or newer; this is Python 3.9."


def test_a_target_runs_inside_the_environment(monkeypatch):
    entered, ran = [], []
    other = Path(sys.executable).parent / "not" / "this" / "python"
    monkeypatch.setattr(environment, "ensure", lambda: other)
    monkeypatch.setattr(environment, "enter", lambda *command: entered.append(command) or 3)
    monkeypatch.setattr(lectures, "remake", lambda *names: ran.append(names) or 4)
    assert entry.main(["notebooks", "01"]) == 3
    assert entered == [(other, "-m", "tools", "notebooks", "01")] and not ran
    monkeypatch.setattr(environment, "ensure", lambda: Path(sys.executable))
    assert entry.main(["notebooks", "01"]) == 4
    assert len(entered) == 1 and ran == [("01",)]


def test_the_lab_copies_the_lectures_and_becomes_jupyter(root, monkeypatch, capsys):
    entered = []
    monkeypatch.setattr(environment, "enter", lambda *command: entered.append(command) or 3)
    monkeypatch.setattr(lectures, "working_copy", lambda: [root / "work" / "01_new.ipynb"])
    assert entry.lab() == 3
    assert capsys.readouterr().out.replace("\\", "/") == "new: work/01_new.ipynb\n"
    (command,) = entered
    assert command[:3] == (sys.executable, "-m", "jupyterlab")
    (folder,) = [word.partition("=")[2] for word in command if "app_settings_dir" in word]
    assert '"fetchNews": "false"' in (Path(folder) / "overrides.json").read_text()


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["course", "01"], ["TARGETS"]])
def test_usage_lists_the_targets(arguments, capsys, monkeypatch):
    monkeypatch.setattr(environment, "ensure", lambda: pytest.fail("set up for nothing"))
    assert entry.main(arguments) == 2
    said = capsys.readouterr().out
    assert all(f"  {target} " in said for target in entry.TARGETS)


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [(SetupError("it broke"), 1, "it broke"), (KeyboardInterrupt(), 130, "Stopped.")],
)
def test_failed_set_up_ends_in_words(monkeypatch, capsys, error, status, says):
    def ensure():
        raise error

    monkeypatch.setattr(environment, "ensure", ensure)
    assert entry.main(["course"]) == status
    assert says in capsys.readouterr().err


def test_every_target_has_its_function():
    for place, _ in entry.TARGETS.values():
        module, _, function = place.rpartition(":")
        assert callable(getattr(importlib.import_module(module or "tools.__main__"), function))


def test_benchmarks_see_the_course_and_their_own_peers(root, monkeypatch):
    commands = []
    monkeypatch.setattr(environment, "pip", lambda python, *arguments: commands.append(arguments))
    (root / "pyproject.toml").write_text(
        '[project]\nname = "x"\n[project.optional-dependencies]\nbench = ["peer>=1"]\n'
    )
    folder, packages = root / "build" / "bench-venv", root / ".venv" / "site-packages"
    packages.mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [*sys.path, str(packages), "Z:/site-packages"])
    relative = os.path.relpath

    def relpath(path, *start):  # as on Windows
        if path.startswith("Z:"):
            raise ValueError("path is on mount 'Z:', start on mount 'C:'")
        return relative(path, *start)

    monkeypatch.setattr(os.path, "relpath", relpath)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    environment.install_peers("bench", ["--no-deps"], folder)
    assert commands[0][0] == "--no-deps" and commands[0][-1] == "peer>=1"
    code = "import sys, numpy; print(sys.prefix, sys.path, sep='\\n')"
    run = subprocess.run(
        [str(python_in(folder)), "-c", code], capture_output=True, text=True, check=True
    )
    prefix, path = run.stdout.splitlines()
    assert Path(prefix) == folder and {str(root), str(packages)} <= set(ast.literal_eval(path))
    # Not even a letter that Windows' old encodings do not have can then do harm.
    (file,) = folder.rglob("course.pth")
    words = file.read_text(encoding="utf-8")
    assert root.name not in words and "Z:/site-packages" in words


def test_what_needs_more_packages_runs_in_the_other_environment(root, monkeypatch, capfd):
    monkeypatch.setattr(environment, "ensure", lambda: Path(sys.executable))
    monkeypatch.setattr(environment, "ensure_dev", lambda: Path(sys.executable))
    monkeypatch.setattr(environment, "ROOT", Path(entry.__file__).parents[1])
    assert entry.main(["study", "no such part", "b c"]) == 2
    assert "unknown: b c, no such part" in capfd.readouterr().err
    ran = []
    monkeypatch.setattr(entry, "run_in_dev", lambda *words: ran.append(words) or 3)
    assert [entry.main([target]) for target in ("book", "train", "test-browser")] == [3, 3, 3]
    assert ran == [("book",), ("train",), ("book",)]


@pytest.mark.parametrize(("before", "after"), [(None, "passive"), ("active", "active")])
def test_what_is_started_lets_waiting_threads_sleep_unless_told_otherwise(
    monkeypatch, before, after
):
    monkeypatch.setenv("OMP_WAIT_POLICY", before or "")
    if before is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    seen = []
    monkeypatch.setattr(entry.environment, "ensure", lambda: Path(sys.executable))
    monkeypatch.setattr(entry, "setup", lambda: seen.append(os.environ["OMP_WAIT_POLICY"]) or 0)
    assert entry.main(["setup"]) == 0
    assert seen == [after]
