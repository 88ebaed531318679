"""The study's engine, here and on a cluster, and its tables."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course_utils import study, zoo
from course_utils.data import load_mnist
from course_utils.models import fully_connected
from course_utils.training import error_rate
from tools.study import engine, tables
from tools.study.engine import Job


def square(number, _folder=None):
    yield torch.tensor(number**2), 4


def jobs(function=square, numbers=range(4), recipe=None, folder=()):
    columns = ("square", "n")
    return [
        Job("squares", f"of-{n}", function, (n, *folder), recipe, {"number": n}, columns)
        for n in numbers
    ]


@pytest.fixture
def here(monkeypatch):
    """In this process; test_retraining.py and the cluster's test try others."""
    monkeypatch.setattr(
        engine, "in_processes", lambda work, todo: ((job, work(job)) for job in todo)
    )


def test_jobs_are_kept_one_by_one_and_not_run_twice(tmp_path, here):
    engine.run(jobs(), folder=tmp_path)
    kept = sorted(tmp_path.rglob("*.json"))
    assert len(kept) == 4
    kept[0].write_text(json.dumps([{"number": 0, "square": -1}]))
    engine.run(jobs(), folder=tmp_path)
    engine.join(jobs(), folder=tmp_path, results=tmp_path)
    assert pd.read_csv(tmp_path / "squares.csv")["square"].tolist() == [-1, 1, 4, 9]


def fails_at_two(number):
    if number == 2:
        raise ValueError("two")
    yield from square(number)


def test_what_is_done_before_a_failure_is_kept(tmp_path, here):
    with pytest.raises(ValueError, match="two"):
        engine.run(jobs(fails_at_two), folder=tmp_path)
    assert len(list(tmp_path.rglob("*.json"))) == 2
    engine.run(jobs(square), folder=tmp_path)
    assert len(list(tmp_path.rglob("*.json"))) == 4


def test_another_recipe_is_another_result(tmp_path, here):
    engine.run(jobs(recipe="old"), folder=tmp_path)
    engine.run(jobs(recipe="new"), folder=tmp_path)
    assert len(list(tmp_path.rglob("*.json"))) == 8
    assert engine.recipes(jobs(recipe="old")) != engine.recipes(jobs(recipe="new"))


def test_no_table_without_all_of_its_jobs(tmp_path, here):
    engine.run(jobs(numbers=[0, 1]), folder=tmp_path)
    engine.join(jobs(), folder=tmp_path, results=tmp_path)
    assert not (tmp_path / "squares.csv").exists()


def slow_square(number, folder):
    """Writes down which process computes it; the one that is first to begin will be killed."""
    Path(folder, f"{number}-by-{os.getpid()}").touch()
    time.sleep(0.3)
    yield from square(number)


def test_on_a_cluster_a_dead_worker_loses_nothing(tmp_path):
    distributed = pytest.importorskip("distributed")
    noted = tmp_path / "noted"
    noted.mkdir()
    todo = jobs(slow_square, range(8), folder=(str(noted),))

    def kill_first():
        while not (seen := list(noted.iterdir())):
            time.sleep(0.01)
        os.kill(int(seen[0].name.rpartition("-")[2]), getattr(signal, "SIGKILL", signal.SIGTERM))

    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as cluster:
        killer = threading.Thread(target=kill_first)
        killer.start()
        engine.run(todo, folder=tmp_path / "there", scheduler=cluster.scheduler_address)
        killer.join()
    engine.run(todo, folder=tmp_path / "here")
    for place in ("there", "here"):
        engine.join(todo, folder=tmp_path / place, results=tmp_path / place)
    assert len(list(noted.iterdir())) > 2 * len(todo)  # one was begun a second time
    there, here = ((tmp_path / place / "squares.csv").read_text() for place in ("there", "here"))
    assert there == here and there.count("\n") == 9


@pytest.mark.parametrize("part", sorted(path.stem for path in study.RESULTS.glob("*.csv")))
def test_tables_are_of_todays_recipes(part):
    from tools.study import all_jobs

    mine = [job for job in all_jobs() if job.part == part]
    kept = json.loads((study.RESULTS / f"{part}.json").read_text(encoding="utf-8"))
    assert kept["recipes"] == engine.recipes(mine)


def test_other_seeds_are_another_recipe(monkeypatch):
    before = {job.name: job.digest() for job in tables.jobs()}
    monkeypatch.setattr(tables, "APART", tables.APART + 1)
    after = {job.name: job.digest() for job in tables.jobs()}
    same = {name for name in before if before[name] == after[name]}
    assert same == {"models-0", "halves-0"}  # the shipped networks'


def test_an_unknown_part_is_refused():
    with pytest.raises(ValueError, match="part: got 'none'"):
        study.read("none")


def test_a_job_of_the_tables_gives_the_shipped_rows():
    """Seed 0 is that of the shipped networks, so nothing is trained here."""
    from tools.study import tables

    job = next(job for job in tables.jobs() if job.name == "halves-0")
    fresh = pd.DataFrame(engine.run_alone(job))
    shipped = study.read("tables").query("seed == 0 and table == 'halves'").reset_index(drop=True)
    names = ["row", "column", "measure", "n"]
    assert fresh[names].equals(shipped[names])
    # one image of 1,000 may fall on the other side on another processor
    assert (fresh["value"] - shipped["value"]).abs().max() < 0.11


def test_two_networks_of_the_first_table_give_the_shipped_cells():
    names = ("FC10(1e-4)", "FC100-100-10")
    fresh = pd.DataFrame(tables.measure(names, "train", (), 0), columns=tables.COLUMNS)
    fresh["value"] = fresh["value"].map(float)
    # which noise a network gets depends on those before it, and there are fewer here
    fresh = fresh[~fresh["measure"].str.contains("noise")]
    shipped = study.read("tables").query("seed == 0 and table == 'models'")
    cell = ["row", "column", "measure", "n"]
    both = fresh.merge(shipped, on=cell, suffixes=("", " shipped"), validate="1:1")
    assert len(both) == len(fresh) == 50
    assert (both["value"] - both["value shipped"]).abs().max() < 0.11


def test_a_network_trained_anew_is_that_of_the_shipped_rows():
    """With seed 1: the first that is not shipped, whose own error is .26 points away."""

    def error(name, seed):
        yield "error", error_rate(tables.network(name, seed), *load_mnist("test"))

    name = "FC100-100-10(P1)"
    ((_, found),) = map(dict.values, engine.run_alone(Job("tables", "one", error, (name, 1))))
    shipped = study.read("tables").query("table == 'halves' and row == 'test' and column == @name")
    first, second = shipped.set_index("seed")["value"][[0, 1]]
    # on another processor sums round otherwise, and the training ends elsewhere
    assert abs(found - second) < 0.13 < abs(found - first)


def test_a_job_of_lecture_4_gives_the_shipped_rows():
    """The plain network's first seed is shipped, so nothing is trained here."""
    from tools.study import fast_gradient

    job = next(job for job in fast_gradient.jobs() if job.name == "side 28-100")
    fresh = pd.DataFrame(engine.run_alone(job))
    shipped = study.read("fast_gradient").query("condition == 'side 28' and seed == 100")
    shipped = shipped.reset_index(drop=True)
    names = ["condition", "seed", "measure", "eps", "n"]
    assert fresh[names].equals(shipped[names])
    assert (fresh["value"] - shipped["value"]).abs().max() < 0.06  # six of 10,000


def test_rbfs_and_its_rivals_distances_are_the_shipped_ones(monkeypatch):
    """The shipped networks stand in for those of seed 0, so only the linear one is trained."""
    from tools.study import fast_gradient

    monkeypatch.setattr(fast_gradient, "JUDGED", {"maximum norm": 1000})
    names = {id(zoo.ZOO[name]): name for name in ("RBF", "softmax", "FC10(1e-4)")}
    monkeypatch.setattr(
        fast_gradient, "trained", lambda recipe, _seed: zoo.load_model(names[id(recipe)])
    )
    fresh = {name: value for name, _, value, _ in fast_gradient.beside_rbf(0)}
    table = study.read("fast_gradient").query("condition == 'RBF and rivals' and seed == 0")
    table = table.set_index("measure")["value"]
    for name in ("RBF", "softmax", "FC10(1e-4)", "linear"):  # of nearly the same digits
        for what, off in (("clean", 0.06), ("maximum norm", 3e-4)):
            assert abs(fresh[f"{name}, {what}"] - table[f"{name}, {what}"]) < off, (name, what)


def test_every_condition_of_lecture_4_is_measured_and_in_order():
    """No error under the worst attack lies below that under one of them, nor above a proof."""
    table = study.read("fast_gradient")
    assert set(zoo.STUDY) <= set(table["condition"])
    key = ["condition", "seed", "eps"]
    wide = table.pivot_table(index=key, columns="measure", values="value")
    attacked = wide.dropna(subset="worst")
    attacks = attacked[["one step", "projected gradient", "DLR loss"]].max(axis=1)
    assert (attacks <= attacked["worst"] + 1e-6).all() and len(attacked) > 100
    assert (
        (attacked["worst"] + attacked["certified"]).dropna() <= 100 + 1e-6
    ).all()  # maxout: no proof
    near = wide.dropna(subset="L2 attack")
    assert (near["L2 attack"] + near["L2 certified"] <= 100 + 1e-6).all()


def test_cosines_of_linear_models_are_those_of_the_closed_form():
    models = {name: fully_connected(4, inputs=6, seed=seed) for seed, name in enumerate("AB")}
    images, labels = (
        torch.randn(40, 6, generator=torch.Generator().manual_seed(0)),
        torch.arange(40) % 4,
    )
    gradients = {}
    for name, model in models.items():  # the gradient of softmax regression: (p - y) W
        pixels, weight = images.flatten(1).double().numpy(), model[1].weight.detach().double()
        logits = pixels @ weight.numpy().T + model[1].bias.detach().double().numpy()
        p = np.exp(logits - logits.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        gradients[name] = (p - np.eye(4)[labels.numpy()]) @ weight.numpy()
    one, two = gradients.values()
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
    expected = ((one * two).sum(1) / lengths).mean()
    table = tables.gradient_cosines(models, images, labels)
    assert list(table.index) == list(table.columns) == ["A", "B"]
    np.testing.assert_allclose(table, [[1, expected], [expected, 1]], atol=1e-5)
    assert abs(expected) > 0.01


def test_cosines_survive_a_network_that_is_sure_of_itself():
    # Logits 400 and 0: the other class has a chance of 1e-174, which is 0 in float32.
    sure = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        sure[1].weight.copy_(torch.tensor([[400.0, 0.0], [0.0, 300.0]]))
    images, labels = torch.tensor([[1.0, 0.0]]), torch.tensor([0])
    table = tables.gradient_cosines(
        {"sure": sure, "calm": fully_connected(2, inputs=2)}, images, labels
    )
    assert table.loc["sure", "sure"] == pytest.approx(1)
    weight = fully_connected(2, inputs=2)[1].weight.detach().double()
    one, two = torch.tensor([-400.0, 300.0], dtype=torch.float64), weight[1] - weight[0]
    expected = F.cosine_similarity(one, two, dim=0).item()
    assert table.loc["sure", "calm"] == pytest.approx(expected, abs=1e-5)


def test_the_weights_for_few_digits_are_those_of_least_held_back_error():
    from tools.study import few_digits

    table = study.read("few_digits")
    tuning = table[table["judged on"] == "held back"]
    means = tuning.groupby(["kind", "weight"])["error"].mean()
    for kind, (weight,) in few_digits.TUNED.items():
        assert means[kind].idxmin() == weight
        tested = table[(table["judged on"] == "test") & (table["kind"] == kind)]
        assert set(tested["weight"]) == {weight} and len(tested) == 10


def test_a_job_on_few_digits_gives_the_shipped_rows(monkeypatch):
    from tools.study import few_digits

    kinds = ("nothing", "dropout")
    monkeypatch.setattr(few_digits, "TUNED", {kind: few_digits.TUNED[kind] for kind in kinds})
    found = {kind: error for kind, _, error in few_digits.measure(0, "test")}
    table = study.read("few_digits").query("`judged on` == 'test' and seed == 0")
    shipped = table.set_index("kind")["error"]
    for kind in kinds:  # trained anew, on another processor perhaps: nearer than the next seed's
        assert abs(found[kind] - shipped[kind]) < 0.5
