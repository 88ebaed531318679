import hashlib
import json

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_utils import checkpoint, zoo

NAME, ARCHITECTURE = "FC3'(1e-2)", {"widths": [3]}
STATE = {"weight": torch.tensor([[1.5, -0.0, 3e-39]]), "half": torch.ones(2).half()}
RECORD = {"architecture": ARCHITECTURE, "data": {"sha256": "5" * 64}, "seeds": (1, 2)}


def read(folder, name=NAME, architecture=ARCHITECTURE):
    return checkpoint.read(name, folder, architecture=architecture, advice="Do this.")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    checkpoint.write(NAME, STATE, RECORD, folder)
    return folder, (folder / "FC3-prime_1e-2.safetensors").read_bytes()


def test_what_is_written_is_read_to_the_bit_and_is_one_file(tmp_path):
    folder = tmp_path / "new"
    told = checkpoint.write(NAME, STATE, RECORD, folder)
    state, record = read(folder)
    assert record == told == {"name": NAME, **RECORD, "seeds": [1, 2], "sha256": told["sha256"]}
    assert state.keys() == STATE.keys()
    for name, value in STATE.items():
        assert state[name].dtype == value.dtype and state[name].shape == value.shape
        assert state[name].numpy().tobytes() == value.numpy().tobytes()
    assert [path.name for path in folder.iterdir()] == ["FC3-prime_1e-2.safetensors"]


def test_the_digest_can_be_had_without_our_code(written):
    content = written[1]
    with safetensors.safe_open(next(written[0].iterdir()), "pt") as file:
        digest = json.loads(file.metadata()["record"])["sha256"]
    zeroed = content.replace(digest.encode(), b"0" * 64)
    assert hashlib.sha256(zeroed).hexdigest() == digest and zeroed != content


@given(st.data())
def test_any_other_byte_anywhere_is_refused(written, tmp_path_factory, data):
    content = bytearray(written[1])
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    folder = tmp_path_factory.mktemp("damaged")
    checkpoint.path_of(NAME, folder).write_bytes(content)
    with pytest.raises(RuntimeError, match="FC3-prime_1e-2.safetensors.*damaged.* Do this."):
        read(folder)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"\x02" + bytes(7) + b"[]",
        b"\x02" + bytes(7) + b"{}",
        b"\xff" * 20,
        safetensors.torch.save(STATE),
        safetensors.torch.save(STATE, {"record": "[]"}),
        safetensors.torch.save(STATE, {"record": '{"name": 1, "architecture": 2, "sha256": 3}'}),
    ],
)
def test_what_is_no_checkpoint_is_refused(tmp_path, content):
    checkpoint.path_of(NAME, tmp_path).write_bytes(content)
    with pytest.raises(RuntimeError, match="damaged.* Do this."):
        read(tmp_path)


def test_half_a_file_and_none_are_refused(tmp_path, written):
    with pytest.raises(RuntimeError, match="cannot be read.* Do this."):
        read(tmp_path)
    for length in range(0, len(written[1]), 97):
        checkpoint.path_of(NAME, tmp_path).write_bytes(written[1][:length])
        with pytest.raises(RuntimeError, match="damaged"):
            read(tmp_path)


def test_the_record_of_another_network_is_refused(tmp_path, written):
    with pytest.raises(RuntimeError, match=r"with .*'widths': .3.*expected.*4.* Do this"):
        read(written[0], architecture={"widths": [4]})
    checkpoint.path_of("other", tmp_path).write_bytes(written[1])
    with pytest.raises(RuntimeError, match="the record of .*expected 'other'"):
        read(tmp_path, "other")


def test_every_shipped_file_is_read_under_its_own_name():
    names = [*zoo.checkpoints(), "GAN"]
    paths = {checkpoint.path_of(name, zoo.CHECKPOINTS) for name in names}
    assert paths == set(zoo.CHECKPOINTS.iterdir())
