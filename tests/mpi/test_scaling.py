# SPDX-License-Identifier: BSD-3-Clause
"""`fastcalo scaling` on real ranks, and the model by which it projects."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from helpers.files.shower_files import write_real
from helpers.fork_server import forked_python
from helpers.mpi import ENVIRONMENT, MPIEXEC, configure, write_config
from hypothesis import given
from hypothesis import strategies as st

from fastcalo.errors import ConfigError
from fastcalo.training.cli.scaling import _reached
from fastcalo.training.config import load_config
from fastcalo.training.exchange import SingleProcess
from fastcalo.training.scaling.measure import make_plans, time_to
from fastcalo.training.scaling.projection import (
    LinearModel,
    fit,
    fit_computing,
    fit_network,
    halving_cost,
    project,
    ring_cost,
)
from fastcalo.training.scaling.runs import SIZES, Target
from fastcalo.training.scaling.step_times import StepTimes


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_real(folder / "a.h5", 40)
    write_real(folder / "b.h5", 40, start=500)
    return folder


def scaling(ranks: int, *arguments) -> subprocess.CompletedProcess[str]:
    command = [*forked_python(), "-m", "fastcalo", "scaling", *map(str, arguments)]
    if ranks:
        command = [str(MPIEXEC), "-n", str(ranks), *command]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=110, env=ENVIRONMENT)


@pytest.fixture(scope="module")
def measured(data, tmp_path_factory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Two strategies on three ranks, and their folder."""
    folder = tmp_path_factory.mktemp("scaling")
    config = write_config(folder / "run.toml", data, "layers hits")
    arguments = ["--steps", 10, "--repeats", 2, "--ranks", 1, "--ranks", 3, "--target", "layers_1-10GeV", 1e9]
    done = scaling(3, config, "-o", folder / "out", *arguments, "--strategy", "allreduce", "--strategy", "easgd")
    assert done.returncode == 0, done.stderr
    return done, folder / "out"


@pytest.mark.mpi
def test_strategies_beside_each_other(measured):
    done, out = measured
    # nothing is left of the trainings
    assert sorted(p.name for p in out.iterdir()) == ["scaling.json", "scaling.png"]
    assert (out / "scaling.png").read_bytes().startswith(b"\x89PNG")
    found = json.loads((out / "scaling.json").read_text())
    assert (found["stage"], found["steps"], found["nodes"]) == ("layers", 10, 1)
    assert found["target"] == {"name": "layers_1-10GeV", "value": 1e9}
    points = {(p["strategy"], p["kind"], p["ranks"]): p for p in found["measured"]}
    assert {key: p["batch"] for key, p in points.items()} == {
        ("allreduce", "strong", 1): 12,
        ("allreduce", "strong", 3): 12,
        ("allreduce", "weak", 1): 12,
        ("allreduce", "weak", 3): 36,
        ("easgd", "asynchronous", 3): 12,
    }
    alone = points["allreduce", "strong", 1]["showers_per_second"]
    for (_, _, ranks), p in points.items():
        assert len(p["repeats"]) == 2
        assert p["showers_per_second"] == pytest.approx(np.mean(p["repeats"]))
        assert p["relative_to_ranks"] == 1
        assert p["efficiency"] == pytest.approx(p["showers_per_second"] / alone / ranks)
        assert (p["communication_share"] > 0) == (ranks > 1)
        assert p["communication_share"] <= p["communication_share_max"] < 1
        assert p["reached"] == 2
        assert p["seconds_to_target"] == pytest.approx(np.mean(p["seconds_to_target_repeats"]))
        assert p["seconds_to_target"] > 0
        assert all(0 < c < 1e9 for c in p["closest"])
    assert "Measured: stage layers, 10 steps" in done.stdout


@pytest.mark.mpi
def test_a_projection_is_labelled_as_one(measured):
    done, out = measured
    found = json.loads((out / "scaling.json").read_text())
    assert found["allreduce"]["seconds"].keys() == {"3"}
    assert all(t > 0 for t in found["allreduce"]["seconds"]["3"])
    projection = found["projection"]
    assert projection["label"] == "projection, not measured: calibrated on up to 3 ranks of 1 node(s)"
    # buckets of 2 KiB, and one message that asks whether to stop
    assert projection["messages_per_step"] > 2
    assert projection["bytes_per_step"] > 1000
    strong, weak = projection["curves"]["strong"], projection["curves"]["weak"]
    assert weak["ranks"][-1] == 1024
    # no rank without a shower
    assert strong["ranks"][-1] == 8
    for curve in (strong, weak):
        assert all(a <= b <= c for a, b, c in zip(curve["low"], curve["rate"], curve["high"], strict=True))
        assert all(0 <= s < 1 for s in curve["share"])
    assert "Projection, not measured" in done.stdout


@pytest.mark.mpi
@pytest.mark.slow
def test_files_that_are_there_are_not_replaced_unasked(measured, data, tmp_path):
    _, out = measured
    again = scaling(2, write_config(tmp_path / "run.toml", data, "layers"), "-o", out, "--steps", 20)
    assert again.returncode != 0
    assert "scaling.json: exists already" in again.stderr


@pytest.mark.mpi
@pytest.mark.slow
def test_a_target_that_is_not_reached(data, tmp_path):
    config = configure(tmp_path / "run.toml", data, "layers", "downpour", "masters = 2\nsync_every = 2")
    out = tmp_path / "out"
    arguments = ["--steps", 20, "--repeats", 1, "--ranks", 5, "--strategy", "downpour"]
    done = scaling(5, config, "-o", out, *arguments, "--target", "response_1-10GeV", 0)
    assert done.returncode == 0, done.stderr
    found = json.loads((out / "scaling.json").read_text())
    (point,) = found["measured"]
    assert (point["strategy"], point["relative_to_ranks"], point["efficiency"]) == ("downpour", 5, 1.0)
    assert (point["seconds_to_target"], point["seconds_to_target_repeats"], point["reached"]) == (None, [None], 0)
    assert point["closest"][0] > 0
    # ranks that do not wait for each other cannot measure how sums over all scale
    assert found["projection"] is None
    assert "not reached" in done.stdout


def plans(data, tmp_path, ranks, strategies=(), options="", batch=12):
    config = write_config(tmp_path / "run.toml", data, "layers")
    text = config.read_text().replace("batch = 12", f"batch = {batch}")
    if "strategy" in options:
        # for sums over all ranks only
        text = text.replace("bucket_kib = 2\n", "")
    config.write_text(text.replace("[parallel]", f"[parallel]\n{options}"))
    return make_plans(load_config(config), str(config), ranks, strategies, 6)


def test_each_strategy_is_measured_on_as_many_ranks_as_it_can_use(data, tmp_path):
    found = plans(data, tmp_path, [1, 2, 5, 5], ["allreduce", "gem", "gem"], 'strategy = "gem"\nmasters = 2')
    step = [("allreduce", kind, p) for kind in ("strong", "weak") for p in (2, 5)]
    assert found == [("allreduce", "strong", 1), *step, ("gem", "asynchronous", 5)]
    assert plans(data, tmp_path, [2], (), 'strategy = "easgd"') == [("easgd", "asynchronous", 2)]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"ranks": [7]}, "--ranks [7]: must be between 1 and 6, the number of processes"),
        ({"ranks": [0]}, "must be between 1 and 6"),
        ({"ranks": [2], "batch": 1}, "batch = 1 is less than 2 ranks"),
        ({"ranks": [1], "strategies": ["easgd"]}, "--ranks [1]: easgd needs 2 at least"),
        (
            {"ranks": [4], "strategies": ["easgd"], "options": 'strategy = "easgd"\nmasters = 2'},
            "easgd needs 5 at least, with masters = 2",
        ),
        (
            {"ranks": [2], "strategies": ["gossip"]},
            "parallel.strategy: must be one of 'allreduce', 'downpour', 'easgd', 'gem', but is 'gossip'",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused(data, tmp_path, arguments, text):
    with pytest.raises(ConfigError) as error:
        plans(data, tmp_path, **arguments)
    assert text in str(error.value)


def test_one_process_alone_is_refused(data, tmp_path):
    done = scaling(0, write_config(tmp_path / "run.toml", data, "layers"), "-o", tmp_path / "out")
    assert done.returncode == 1
    assert "scaling needs several processes: mpiexec -n 4" in done.stderr


@pytest.mark.parametrize(
    ("name", "value", "distance"),
    [
        ("hits_1-10GeV", 0.75, 0.25),
        ("response_1-10GeV", 1.25, 0.25),
        ("observables_width_ratio", 1.5, 0.5),
        ("observables_mean_pull", 1.5, 1.5),
        ("layers_1-10GeV", 0.25, 0.25),
        ("layers_1-10GeV", float("nan"), float("inf")),
    ],
)
def test_how_far_an_evaluation_is_from_full_simulation(name, value, distance):
    assert Target(name, 0.1).distance({"kind": "test", name: value}) == distance
    assert Target(name, 0.1).distance({"kind": "test", "other": 0.0}) == float("inf")


def test_the_time_to_a_target_is_that_of_the_evaluation_that_has_reached_it(tmp_path):
    lines = [
        {"stage": "hits", "step": step, "kind": "test", "seconds": 0.0, "response_1-10GeV": value}
        for step, value in ((10, 2.0), (20, 1.05), (30, 0.98), (40, 1.3))
    ]
    lines.append({"stage": "hits", "step": 10, "kind": "train", "seconds": 0.0, "count": 1.0})
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    watch = StepTimes()
    watch.evaluations = [1.0, 2.5, 4.0, 6.0]
    assert time_to(Target("response_1-10GeV", 0.1), tmp_path, watch) == (2.5, pytest.approx(0.02))
    assert time_to(Target("response_1-10GeV", 0.01), tmp_path, watch) == (None, pytest.approx(0.02))
    # losses are no physics
    with pytest.raises(ConfigError, match=r"--target count: is no physics number .* there are response_1-10GeV"):
        time_to(Target("count", 1.0), tmp_path, watch)


def test_what_was_reached_by_some_is_reported():
    point = {"seconds_to_target": None, "reached": 1, "repeats": [1.0, 2.0], "closest": [0.1, None]}
    assert _reached(point) == "reached by 1 of 2"
    assert _reached({**point, "reached": 0}) == "not reached, best 0.1"
    assert _reached({**point, "reached": 0, "closest": [None]}) == "not reached"


def test_the_stopwatch_leaves_out_evaluations():
    watch = StepTimes()
    watch.begin(SingleProcess())
    for name in ("preparation", "data", "compute", "log", "evaluation", "data", "log", "checkpoint", "evaluation"):
        watch.lap(name)
    assert len(watch.seconds) == len(watch.waited) == 2
    assert len(watch.evaluations) == 2
    # but time to a target is that of the clock
    assert watch.evaluations[1] >= watch.evaluations[0] + watch.seconds[1]


# the model


@given(st.floats(1e-7, 1e-4), st.floats(1e-12, 1e-8), st.lists(st.integers(2, 64), min_size=1, max_size=4, unique=True))
def test_a_network_that_follows_the_model_is_found(alpha, beta, ranks):
    seconds = np.array(
        [ring_cost(np.full(len(SIZES), float(p)), 1, np.array(SIZES, float)) @ [alpha, beta] for p in ranks]
    )
    line = fit_network(ranks, SIZES, seconds, 0.1 * seconds)
    assert line.values == pytest.approx([alpha, beta], rel=1e-6)
    assert line.chi2 < 1e-6


def test_the_error_of_a_fit_is_that_of_its_points():
    """Pulls have a mean of 0, and a width of a little less than 1: errors grow where a fit is worse than they state."""
    rng = np.random.default_rng(1)
    design = np.stack([np.ones(12), np.arange(12.0)], axis=1)
    truth, error = np.array([50.0, 8.0]), np.full(12, 3.0)
    fits = [fit(design, design @ truth + rng.normal(0, error), error) for _ in range(1000)]
    pulls = np.array([(f.values - truth) / np.sqrt(np.diag(f.covariance)) for f in fits])
    assert np.abs(pulls.mean(0)).max() < 0.15
    assert pulls.std(0) == pytest.approx([0.9, 0.9], abs=0.15)


def test_what_would_be_negative_is_nothing():
    line = fit(np.stack([np.ones(3), np.arange(3.0)], axis=1), np.array([-1.0, 1.0, 3.0]), np.ones(3))
    assert line.values[0] == 0
    assert line.values[1] > 0
    assert np.all(line.covariance[0] == 0)


def test_one_number_of_showers_gives_time_per_shower():
    line = fit_computing(np.full(3, 8.0), np.full(3, 4.0), np.ones(3))
    assert line.values == pytest.approx([0, 0.5])


def test_projection_of_a_known_machine():
    network = LinearModel(np.array([1e-6, 1e-9]), np.zeros((2, 2)), 1.0)
    computing = LinearModel(np.array([1e-3, 1e-4]), np.diag([1e-8, 0]), 1.0)
    ranks, batch = np.array([1.0, 64.0]), np.array([100.0, 6400.0])
    found = project(ranks, batch, network, computing, messages=3, size=1e6, late=(2e-3, 0.0))
    expected = 1e-3 + 1e-4 * 100 + 2e-3 + np.array([0, 2 * 63 * 3e-6 + 2 * 63 / 64 * 1e6 * 1e-9])
    assert found["rate"] == pytest.approx(batch / expected)
    assert found["low"] == pytest.approx(batch / (expected + 1e-4))
    assert found["share"][0] == pytest.approx(2e-3 / expected[0])
    assert found["rate_halving"][1] > found["rate"][1]


@given(st.integers(1, 4096), st.floats(0, 100), st.floats(0, 1e9))
def test_halving_never_needs_more_messages_than_a_ring(ranks, messages, size):
    p = np.array([float(ranks)])
    assert np.all(halving_cost(p, messages, size) <= ring_cost(p, messages, size) * (1 + 1e-12))
    assert np.all(ring_cost(np.array([1.0]), messages, size) == 0)
