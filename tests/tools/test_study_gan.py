"""Lecture 5's study: what its jobs measure, on a small scale."""

import pandas as pd
import pytest
import torch
from torch import nn

from course_utils import study
from course_utils.data import DataUnavailable
from tools.study import engine, gan


def test_every_condition_has_its_seeds_and_the_repeated_ones_others():
    jobs = gan.jobs()
    assert len({job.name for job in jobs}) == len(jobs) == 45
    drawn = {job.arguments[0]: set() for job in jobs}
    for job in jobs:
        drawn[job.arguments[0]].add(job.arguments[3])
    assert {job.same["seed"] for job in jobs if "again" in job.name} == set(range(5))
    assert not drawn["Adam"] & drawn["Adam, again"] and drawn["Adam"] == set(range(5))


def test_sensitivity_of_a_linear_discriminator():
    weights = torch.linspace(-1, 1, 16)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(16, 1))
    linear[1].weight.data, linear[1].bias.data = weights[None], torch.tensor([0.3])
    images = 0.5 + 0.1 * torch.rand(9, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    for label in (0, 1):
        found = gan.sensitivity(linear, images, label, seed=0, eps=0.02)
        for name in ("step", "attack"):
            assert found[name] == pytest.approx(0.02 * weights.abs().sum().item(), rel=1e-4)
        assert abs(found["signs"]) < found["step"] / 2
        rest = linear(images)
        assert found["at rest"] == pytest.approx(rest.mean().item())
        assert found["above 0"] == pytest.approx(100 * (rest > 0).double().mean().item())


def test_a_small_job_measures_what_its_condition_trains(monkeypatch):
    monkeypatch.setattr(gan, "OPTIONS", {"epochs": 2, "average": 0.5})
    for name, value in {"TRAINED_ON": 300, "SAMPLES": 300, "ATTACKED": 40}.items():
        monkeypatch.setattr(gan, name, value)
    try:
        first, again = (dict(gan.measure("Adam", "Adam", 1, 1)) for _ in range(2))
    except DataUnavailable as error:
        pytest.skip(str(error))
    assert first == again
    assert first["Frechet distance"] != first["Frechet distance, untrained"] > 1000
    assert first["attack, digits"] >= first["step, digits"] - 1e-5 > first["signs, digits"]
    assert dict(gan.measure("Adam, again", "Adam", 1, 6)) != first


def test_a_job_gives_the_shipped_rows():
    """In full, some 20 seconds; G hardly moves in it, so that no machine goes far astray."""
    (job,) = (job for job in gan.jobs() if job.name == "descent, saturating-0")
    fresh = pd.DataFrame(engine.run_alone(job)).set_index("measure")["value"]
    shipped = study.read("gan").query("condition == 'descent, saturating' and seed == 0")
    shipped = shipped.set_index("measure")["value"]
    assert fresh.index.equals(shipped.index)
    for name, value in fresh.items():
        assert value == pytest.approx(shipped[name], rel=0.05, abs=0.1), name
