import os

import pytest
import torch

from course_utils import zoo
from tools import retraining


def describe(name):
    """Work for a process: what it is run on."""
    if name == "broken":
        raise ValueError("this one fails")
    return {"name": name, "threads": torch.get_num_threads(), "process": os.getpid()}


def test_work_is_done_elsewhere_on_one_thread():
    done = dict(retraining.in_processes(describe, ["a", "b", "c"], workers=2))
    assert {name: row["name"] for name, row in done.items()} == {"a": "a", "b": "b", "c": "c"}
    assert {row["threads"] for row in done.values()} == {1}
    assert os.getpid() not in {row["process"] for row in done.values()}


def test_what_fails_elsewhere_is_raised_here():
    with pytest.raises(ValueError, match="this one fails"):
        list(retraining.in_processes(describe, ["a", "broken", "b", "c"], workers=1))


def test_every_checkpoint_is_retrained_and_the_gan_last(tmp_path, monkeypatch, capsys):
    asked = []

    def here(work, names, *, workers):
        assert workers == 3
        for name in names:
            yield name, work(name)

    def retrain(name, folder, *, progress):
        asked.append((name, folder, progress))
        return {"test error": 1.5, "seconds": 2.0}

    monkeypatch.setattr(retraining.data, "load_mnist", lambda split: None)
    monkeypatch.setattr(retraining, "in_processes", here)
    monkeypatch.setattr(retraining, "retrain", retrain)
    monkeypatch.setattr(retraining, "retrain_gan", lambda folder: asked.append(("GAN", folder)))
    table = retraining.retrain_all(tmp_path, workers=3)
    assert list(table.index) == list(zoo.checkpoints())
    assert asked[-1] == ("GAN", tmp_path)
    assert {(*name, tmp_path, False) for name in zip(list(zoo.checkpoints()))} == set(asked[:-1])
    assert "maxout: test error 1.50 %, 2 s" in capsys.readouterr().out
