# SPDX-License-Identifier: BSD-3-Clause
"""A signal to one process of a job while MPI starts, or an error in it, ends the whole job."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.fork_server import forked_python
from helpers.mpi import ENVIRONMENT, MPIEXEC, needs_mpi, write_config

from fastcalo.system.launcher import end_by_signal, ranks_started

pytestmark = needs_mpi

# the first process gets the signal where MPI is about to start, while the other one waits for it in MPI_Init
BEFORE_MPI_INIT = """
import os, sys, time
from fastcalo.cli.main import run
from fastcalo.training.distributed import world

join = world.join_world

def interrupted():
    if os.environ["PMI_RANK"] == "0":
        os.kill(os.getpid(), int(sys.argv[1]))
        time.sleep(60)
    return join()

world.join_world = interrupted
run(["train", sys.argv[2], "-o", sys.argv[3]])
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_one_rank_before_mpi_is_up_ends_the_job(data, tmp_path, number):
    config = write_config(tmp_path / "run.toml", data, "hits", steps=100_000)
    arguments = [*forked_python(), "-c", BEFORE_MPI_INIT, str(int(number)), str(config), str(tmp_path / "run")]
    done = subprocess.run(
        [str(MPIEXEC), "-n", "2", *arguments],
        capture_output=True, text=True, check=False, timeout=100, env=ENVIRONMENT,
    )  # fmt: skip
    # that it ends at all is the point; of which process the launcher gives the status is a race
    assert done.returncode != 0, done.stdout + done.stderr
    assert not (tmp_path / "run").exists()


# an error of the first process, while the other one waits for it in MPI_Init
FAILS_BEFORE_MPI_INIT = """
import os, sys
from fastcalo.cli.main import run
from fastcalo.errors import TrainingError
from fastcalo.training.distributed import world

join = world.join_world

def failing():
    if os.environ["PMI_RANK"] == "0":
        raise {"known": TrainingError, "unknown": ZeroDivisionError, "exit": SystemExit}[sys.argv[1]](3)
    return join()

world.join_world = failing
run(["train", sys.argv[2], "-o", sys.argv[3]])
"""


def fail_before_mpi(kind: str, data: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    config = write_config(folder / "run.toml", data, "hits", steps=100_000)
    arguments = [*forked_python(), "-c", FAILS_BEFORE_MPI_INIT, kind, str(config), str(folder / "run")]
    return subprocess.run(
        [str(MPIEXEC), "-n", "2", *arguments],
        capture_output=True, text=True, check=False, timeout=100, env=ENVIRONMENT,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["known", pytest.param("unknown", marks=pytest.mark.slow), "exit"])
def test_an_error_of_one_rank_before_mpi_is_up_ends_the_job(data, tmp_path, kind):
    done = fail_before_mpi(kind, data, tmp_path)
    assert done.returncode != 0, done.stdout + done.stderr
    assert {"known": "error: 3", "unknown": "ZeroDivisionError: 3", "exit": ""}[kind] in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_command_line_that_one_rank_refuses_ends_the_job(data, tmp_path):
    config = write_config(tmp_path / "run.toml", data, "hits", steps=100_000)
    words = [sys.executable, "-m", "fastcalo", "train", str(config), "-o", str(tmp_path / "run")]
    done = subprocess.run(
        [str(MPIEXEC), "-n", "1", *words, "--stepz", "3", ":", "-n", "1", *words],
        capture_output=True, text=True, check=False, timeout=100, env=ENVIRONMENT,
    )  # fmt: skip
    assert done.returncode != 0
    assert "No such option: --stepz" in done.stderr
    assert not (tmp_path / "run").exists()


def test_commands_that_join_nobody_end_as_ever(monkeypatch, tmp_path):
    monkeypatch.setenv("PMI_SIZE", "4")
    done = subprocess.run(
        [sys.executable, "-m", "fastcalo", "inspect", str(tmp_path / "train")],
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 1
    assert "train" in done.stderr


# a signal in the second in which the others read why this one failed
WHILE_IT_ABORTS = """
import os, signal, threading
from mpi4py import MPI
from fastcalo.cli.signals import end_by_exceptions
from fastcalo.training.distributed.world import abort_on_error

end_by_exceptions()
with abort_on_error(MPI.COMM_WORLD):
    if MPI.COMM_WORLD.rank == 0:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
        raise ValueError("of rank 0")
    MPI.COMM_WORLD.Barrier()
"""


def test_a_signal_while_a_rank_aborts_does_not_keep_it_from_ending_the_others():
    done = subprocess.run(
        [str(MPIEXEC), "-n", "2", *forked_python(), "-c", WHILE_IT_ABORTS],
        capture_output=True, text=True, check=False, timeout=60, env=ENVIRONMENT,
    )  # fmt: skip
    assert "of rank 0" in done.stderr
    assert "MPI_Abort" in done.stderr + done.stdout
    assert done.returncode == 1


def test_a_process_that_was_started_alone_is_left_alone(monkeypatch):
    for name in ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMIX_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    before = signal.getsignal(signal.SIGTERM)
    end_by_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "3")
    assert ranks_started() == 1
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert ranks_started() == 3
