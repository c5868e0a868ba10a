"""`fastcalo scaling` on real ranks, and the model by which it projects."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from showers import write_real
from test_parallel import ENVIRONMENT, MPIEXEC, write_config

from fastcalo.training.exchange import SingleProcess
from fastcalo.training.parallel.projection import Line, fit, fit_computing, fit_network, halving, project, ring
from fastcalo.training.parallel.samples import SIZES, Target
from fastcalo.training.parallel.scaling import Stopwatch

with_mpi = pytest.mark.skipif(not MPIEXEC.exists(), reason="needs MPI in this environment: pip install mpich")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_real(folder / "a.h5", 40)
    write_real(folder / "b.h5", 40, start=500)
    return folder


def scaling(ranks: int, *arguments) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fastcalo", "scaling", *map(str, arguments)]
    if ranks:
        command = [str(MPIEXEC), "-n", str(ranks), *command]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=110, env=ENVIRONMENT)


@with_mpi
def test_both_kinds_of_scaling_and_a_projection_that_says_that_it_is_one(data, tmp_path):
    config = write_config(tmp_path / "run.toml", data, "layers hits")
    out = tmp_path / "out"
    done = scaling(2, config, "-o", out, "--steps", 20, "--repeats", 2)
    assert done.returncode == 0, done.stderr
    # nothing is left of the trainings
    assert sorted(p.name for p in out.iterdir()) == ["scaling.json", "scaling.png"]
    assert (out / "scaling.png").read_bytes().startswith(b"\x89PNG")
    found = json.loads((out / "scaling.json").read_text())
    assert (found["stage"], found["steps"], found["nodes"], found["target"]) == ("layers", 20, 1, None)
    points = {(p["kind"], p["ranks"]): p for p in found["measured"]}
    batches = {key: p["batch"] for key, p in points.items()}
    assert batches == {("strong", 1): 12, ("strong", 2): 12, ("weak", 1): 12, ("weak", 2): 24}
    for (_, ranks), p in points.items():
        assert len(p["repeats"]) == 2
        assert p["showers_per_second"] == pytest.approx(np.mean(p["repeats"]))
        assert p["efficiency"] == pytest.approx(
            p["showers_per_second"] / points["strong", 1]["showers_per_second"] / ranks
        )
        assert (p["communication_share"] > 0) == (ranks > 1)
        assert p["communication_share"] <= p["communication_share_max"] < 1
    assert found["allreduce"]["seconds"].keys() == {"2"}
    assert all(t > 0 for t in found["allreduce"]["seconds"]["2"])

    projection = found["projection"]
    assert projection["label"] == "projection, not measured: calibrated on up to 2 ranks of 1 node(s)"
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
    assert "Measured: stage layers, 20 steps" in done.stdout
    assert "Projection, not measured" in done.stdout

    again = scaling(2, config, "-o", out, "--steps", 20)
    assert again.returncode != 0
    assert "scaling.json: exists already" in again.stderr


@with_mpi
@pytest.mark.slow
def test_time_to_a_target(data, tmp_path):
    config = write_config(tmp_path / "run.toml", data, "layers")
    out = tmp_path / "out"
    arguments = ["--steps", 20, "--repeats", 1, "--ranks", 1, "--target", "layers_1-10GeV"]
    done = scaling(2, config, "-o", out, *arguments, 1e9)
    assert done.returncode == 0, done.stderr
    found = json.loads((out / "scaling.json").read_text())
    assert found["target"] == {"name": "layers_1-10GeV", "value": 1e9}
    assert all(p["reached"] == 1 and p["seconds_to_target"] > 0 for p in found["measured"])
    # one rank cannot tell how messages scale
    assert found["projection"] is None
    done = scaling(2, config, "-o", out, *arguments, -1, "--overwrite")
    assert done.returncode == 0, done.stderr
    assert "not reached" in done.stdout


@with_mpi
@pytest.mark.parametrize(
    ("arguments", "change", "text"),
    [
        (["--ranks", 3], "", "--ranks [3]: must be between 1 and 2, the number of processes"),
        (["--ranks", 0], "", "must be between 1 and 2"),
        ([], 'strategy = "easgd"', "only 'allreduce' is measured"),
        ([], "batch", "batch = 1 is less than 2 ranks"),
        pytest.param(
            ["--target", "beauty", 1, "--ranks", 1, "--steps", 5],
            "",
            "--target beauty: is no number of this stage",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_cannot_be_measured_is_told(data, tmp_path, arguments, change, text):
    config = write_config(tmp_path / "run.toml", data, "layers")
    if change == "batch":
        config.write_text(config.read_text().replace("batch = 12", "batch = 1"))
    elif change:
        config.write_text(config.read_text().replace("[parallel]", f"[parallel]\n{change}"))
    done = scaling(2, config, "-o", tmp_path / "out", *arguments)
    assert done.returncode != 0
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_one_process_is_told_to_start_more(data, tmp_path):
    done = scaling(0, write_config(tmp_path / "run.toml", data, "layers"), "-o", tmp_path / "out")
    assert done.returncode == 1
    assert "scaling needs several processes: mpiexec -n 4" in done.stderr


@pytest.mark.parametrize(
    ("name", "kind", "value", "reached"),
    [
        ("count", "train", 2.0, True),
        ("count", "train", 3.0, False),
        ("hits_1-10GeV", "test", 0.95, True),
        ("hits_1-10GeV", "test", 1.2, False),
        ("layers_1-10GeV", "test", 0.05, True),
        ("layers_1-10GeV", "test", 0.95, False),
    ],
)
def test_what_reaches_a_target(name, kind, value, reached):
    target = Target(name, 2.5 if kind == "train" else 0.1)
    assert target.reached({"kind": kind, name: value}) == reached
    assert not target.reached({"kind": kind, "other": 0.0})


def test_the_stopwatch_leaves_out_evaluations():
    watch = Stopwatch()
    watch.begin(SingleProcess())
    for name in ("preparation", "data", "compute", "log", "evaluation", "data", "log", "checkpoint"):
        watch.lap(name)
    assert len(watch.seconds) == len(watch.waited) == 2


# the model


@given(st.floats(1e-7, 1e-4), st.floats(1e-12, 1e-8), st.lists(st.integers(2, 64), min_size=1, max_size=4, unique=True))
def test_a_network_that_follows_the_model_is_found(alpha, beta, ranks):
    seconds = np.array([ring(np.full(len(SIZES), float(p)), 1, np.array(SIZES, float)) @ [alpha, beta] for p in ranks])
    line = fit_network(ranks, SIZES, seconds, 0.1 * seconds)
    assert line.values == pytest.approx([alpha, beta], rel=1e-6)
    assert line.chi2 < 1e-6


def test_the_error_of_a_fit_is_that_of_its_points():
    """Pulls have a mean of 0, and a width of a little less than 1: errors grow where a fit is worse than they tell."""
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
    network = Line(np.array([1e-6, 1e-9]), np.zeros((2, 2)), 1.0)
    computing = Line(np.array([1e-3, 1e-4]), np.diag([1e-8, 0]), 1.0)
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
    assert np.all(halving(p, messages, size) <= ring(p, messages, size) * (1 + 1e-12))
    assert np.all(ring(np.array([1.0]), messages, size) == 0)
