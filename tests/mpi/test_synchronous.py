# SPDX-License-Identifier: BSD-3-Clause
"""Training over real MPI ranks: the same as on one, and no rank waits for one that is gone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.files.shower_files import write_sparse
from helpers.mpi import (
    ENVIRONMENT,
    MPIEXEC,
    command,
    losses,
    needs_mpi,
    pid,
    start,
    train,
    train_together,
    until,
    write_config,
)

from fastcalo.detector.description import load_detector
from fastcalo.errors import InputError
from fastcalo.system.install import install_line
from fastcalo.training.config import load_config
from fastcalo.training.data.showers import ShowerData
from fastcalo.training.run import checkpoint
from fastcalo.training.run.throughput import TIMINGS
from fastcalo.training.trainer import run_stages

pytestmark = needs_mpi

STEPS, DENSE_STEPS = 20, 5


def state(run: Path, stage: str) -> dict[str, torch.Tensor]:
    """All numbers of a stage's networks, averages included."""
    saved = checkpoint.load(run / f"{stage}.pt")
    return {
        f"{part}.{network}.{name}": value
        for part in ("networks", "ema")
        for network, values in saved[part].items()
        for name, value in values.items()
    }


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory) -> Path:
    """Folder with the same trainings on one rank, on several ones in one start, and on three by the command."""
    folder = tmp_path_factory.mktemp("runs")
    config = write_config(folder / "run.toml", data, "layers hits adversarial", steps=STEPS)
    # two steps of the generator; later on, rounding takes a cell over the threshold now and then
    dense = write_config(folder / "dense.toml", data, "adversarial", arch="3dgan", steps=DENSE_STEPS)
    jobs = [{"config": config, "run": folder / f"ranks{ranks}", "ranks": ranks} for ranks in (1, 2, 4)]
    jobs += [{"config": dense, "run": folder / f"dense{ranks}", "ranks": ranks} for ranks in (1, 2, 3)]
    whole = write_config(folder / "whole.toml", data, "hits", steps=100, checkpoint=10)
    train_together(folder, [*jobs, {"config": whole, "ranks": 2}])
    return folder


@pytest.mark.parametrize("ranks", [2, 4, 3])
def test_any_number_of_ranks_follows_the_same_losses(runs, ranks):
    run = runs / f"ranks{ranks}"
    if ranks == 3:
        # as a user starts it
        done = train(ranks, runs / "run.toml", run, python=[sys.executable])
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("Done:") == 1
    expected, found = losses(runs / "ranks1", STEPS), losses(run, STEPS)
    assert expected.keys() == found.keys() == {"layers", "hits", "adversarial"}
    for stage, line in expected.items():
        numbers = {k: v for k, v in line.items() if isinstance(v, float) and k not in TIMINGS}
        # where hits are drawn, rounding now and then moves one into the next cell
        precision = 0.03 if stage == "adversarial" else 1e-5
        assert {k: found[stage][k] for k in numbers} == pytest.approx(numbers, rel=precision), stage
    for stage in ("layers", "hits"):
        for name, value in state(runs / "ranks1", stage).items():
            assert torch.allclose(state(run, stage)[name], value, rtol=1e-3, atol=1e-5), (stage, name)


def test_one_rank_of_a_launcher_trains_as_a_process_alone(data, runs, tmp_path):
    config = write_config(tmp_path / "run.toml", data, "layers", steps=STEPS)
    alone, one = tmp_path / "alone", tmp_path / "one"
    for ranks, run in ((0, alone), (1, one)):
        done = train(ranks, config, run)
        assert done.returncode == 0, done.stderr
    for run in (one, runs / "ranks1"):
        found = state(run, "layers")
        assert all(torch.equal(value, found[name]) for name, value in state(alone, "layers").items())


@pytest.mark.parametrize("ranks", [2, 3])
def test_the_dense_architecture_follows_the_same_losses(runs, ranks):
    one, several = (losses(runs / f"dense{k}", DENSE_STEPS)["adversarial"] for k in (1, ranks))
    numbers = {k: v for k, v in one.items() if isinstance(v, float) and k not in TIMINGS}
    assert {k: several[k] for k in numbers} == pytest.approx(numbers, rel=1e-5)


@pytest.mark.parametrize("number", [pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGUSR1])
def test_a_signal_to_one_rank_saves_and_ends_all_and_another_number_goes_on(data, tmp_path, number):
    config = write_config(tmp_path / "run.toml", data, "hits", steps=5000, checkpoint=100_000)
    run = tmp_path / "run"
    process = start(command(2, config, run))
    until((run / "metrics.jsonl").exists)
    os.kill(pid(run, 1), number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "go on with --resume" in errors
    assert "Traceback" not in errors
    step = checkpoint.load(run / "hits.pt")["step"]
    assert 50 <= step < 5000
    shorter = write_config(tmp_path / "shorter.toml", data, "hits", steps=step + 20)
    if number == signal.SIGTERM:
        run_stages(load_config(shorter), run, resume=True)
    else:
        done = train(3, shorter, run, "--resume")
        assert done.returncode == 0, done.stderr
    assert checkpoint.load(run / "hits.pt")["step"] == step + 20


def test_a_killed_rank_ends_the_job_and_the_resumed_run_is_that_of_an_uninterrupted_one(runs, tmp_path):
    config, run = runs / "whole.toml", tmp_path / "run"
    process = start(command(2, config, run))
    until((run / "hits.pt").exists)
    os.kill(pid(run, 1), signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert 10 <= checkpoint.load(run / "hits.pt")["step"] < 100
    done = train(2, config, run, "--resume")
    assert done.returncode == 0, done.stderr
    expected = state(runs / "whole", "hits")
    assert all(torch.equal(value, expected[name]) for name, value in state(run, "hits").items())


@pytest.mark.slow
def test_a_rank_that_hangs_is_named(data, tmp_path):
    config = write_config(tmp_path / "run.toml", data, "hits", steps=100_000, patience=12)
    run = tmp_path / "run"
    process = start(command(3, config, run))
    until((run / "metrics.jsonl").exists)
    stopped = pid(run, 2)
    os.kill(stopped, signal.SIGSTOP)
    try:
        _, errors = process.communicate(timeout=90)
    finally:
        os.kill(stopped, signal.SIGKILL)
    assert process.returncode != 0
    assert f"no sign of life from rank 2 (process {stopped} on " in errors
    assert "--resume" in errors


# bad input


def per_rank(ranks: int, *commands: list[str]) -> subprocess.CompletedProcess[str]:
    """Start one command on the first rank, another one on the rest."""
    parts = [str(MPIEXEC), "-n", "1", *commands[0], ":", "-n", str(ranks - 1), *commands[1]]
    return subprocess.run(parts, capture_output=True, text=True, check=False, timeout=100, env=ENVIRONMENT)


def test_other_configurations_on_other_ranks_are_refused(data, tmp_path):
    one = write_config(tmp_path / "one.toml", data, "hits")
    other = write_config(tmp_path / "other.toml", data, "hits", steps=60)
    done = per_rank(2, *(command(0, config, tmp_path / "run") for config in (one, other)))
    assert done.returncode != 0
    assert "ranks [1] of 2 have another configuration than rank 0" in done.stderr


def test_other_showers_on_another_rank_are_refused(data, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(data, other)
    write_sparse(other / "b.h5.new", 50)
    (other / "b.h5.new").replace(other / "b.h5")
    # the same configuration, but a path that means something else there
    config = write_config(tmp_path / "run.toml", Path("$SHOWERS"), "hits")
    parts = [str(MPIEXEC)]
    for k, folder in enumerate((data, other)):
        parts += [":"] * bool(k) + ["-n", "1", "-env", "SHOWERS", str(folder), *command(0, config, tmp_path / "run")]
    done = subprocess.run(parts, capture_output=True, text=True, check=False, timeout=100, env=ENVIRONMENT)
    assert done.returncode != 0
    assert "ranks [1] of 2 have another set of showers than rank 0" in done.stderr


def test_a_file_that_one_rank_cannot_read_ends_all_with_its_name(data, tmp_path):
    config = write_config(tmp_path / "run.toml", Path("$SHOWERS"), "hits")
    parts = [str(MPIEXEC)]
    for k, folder in enumerate((data, tmp_path / "nothing")):
        parts += [":"] * bool(k) + ["-n", "1", "-env", "SHOWERS", str(folder), *command(0, config, tmp_path / "run")]
    done = subprocess.run(parts, capture_output=True, text=True, check=False, timeout=100, env=ENVIRONMENT)
    assert done.returncode != 0
    assert "error on rank 1 of 2" in done.stderr
    assert "nothing/a.h5" in done.stderr


def test_fewer_showers_in_a_batch_than_ranks(data, tmp_path):
    config = load_config(write_config(tmp_path / "run.toml", data, "hits"))
    showers = ShowerData(config.data.train, load_detector(), ("ECAL",), config.species)
    with pytest.raises(InputError, match=r"\b12\b.*\b13\b"):
        showers.batches(config.stage[0].batch, rank=12, ranks=13)


def test_a_launcher_of_another_mpi_is_noticed(data, tmp_path):
    config = write_config(tmp_path / "run.toml", data, "hits")
    # as Open MPI's launcher would start it
    done = subprocess.run(
        command(0, config, tmp_path / "run"), capture_output=True, text=True, check=False, timeout=100,
        env={**ENVIRONMENT, "OMPI_COMM_WORLD_SIZE": "4"},
    )  # fmt: skip
    assert done.returncode == 1
    assert "4 processes were started together, but MPI knows of 1" in done.stderr
    assert "MPICH" in done.stderr


def test_several_processes_without_mpi4py_name_what_to_install(data, tmp_path):
    config = write_config(tmp_path / "run.toml", data, "hits")
    (tmp_path / "mpi4py.py").write_text("raise ImportError('no mpi4py')")
    done = subprocess.run(
        command(0, config, tmp_path / "run", python=[sys.executable]),
        capture_output=True, text=True, check=False, timeout=100,
        env={**ENVIRONMENT, "PMI_SIZE": "4", "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"},
    )  # fmt: skip
    # by a signal, for others may have mpi4py, and wait for this one
    assert done.returncode == -signal.SIGTERM
    assert install_line("mpi") in done.stderr
