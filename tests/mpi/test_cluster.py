# SPDX-License-Identifier: BSD-3-Clause
"""The job files for clusters: run by real ranks, with small stand-ins for what the batch system brings."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest
from helpers.files.shower_files import write_real
from helpers.fork_server import forked_python
from helpers.mpi import MPIEXEC, write_config

from fastcalo.training.run import checkpoint

CLUSTER = Path(__file__).parents[2] / "examples" / "cluster"


@pytest.mark.parametrize("name", ["train.slurm", "train.sh"])
def test_the_shell_understands_them(name):
    done = subprocess.run(["bash", "-n", str(CLUSTER / name)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_directives_of_slurm_stand_before_the_first_command():
    lines = (CLUSTER / "train.slurm").read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    directives = [line for line in lines if line.startswith("#SBATCH")]
    assert directives == [line for line in lines[:first] if line.startswith("#SBATCH")]
    assert "#SBATCH --signal=USR1@300" in directives
    assert "#SBATCH --requeue" in directives


def test_the_description_for_condor_holds_commands_only():
    lines = [line for line in (CLUSTER / "train.condor").read_text().splitlines() if line and not line.startswith("#")]
    assert lines.pop() == "queue"
    commands = dict(re.fullmatch(r"(\w+) *= (.+)", line).groups() for line in lines)
    assert (CLUSTER / commands["executable"]).exists()
    # every variable has a value
    for value in commands.values():
        assert set(re.findall(r"\$\((\w+)\)", value)) <= commands.keys()
    assert commands["kill_sig"] == "SIGUSR1"
    assert str(128 + signal.SIGUSR1) in commands["on_exit_remove"]


@pytest.fixture
def job(tmp_path):
    """A training that takes long, and an environment with stand-ins for srun and scontrol."""
    programs = {
        "fastcalo": f'exec {shlex.join(forked_python())} -m fastcalo "$@"',
        "srun": f'while [[ $1 == --* ]]; do shift; done; exec {MPIEXEC} -n 2 "$@"',
        "mpiexec": f'echo $$ > {tmp_path}/mpiexec.pid; exec {MPIEXEC} "$@"',
        "scontrol": f'echo "$@" >> {tmp_path}/scontrol.log',
    }
    (tmp_path / "bin").mkdir()
    for name, text in programs.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    write_real(tmp_path / "a.h5", 30)
    write_real(tmp_path / "b.h5", 30, start=500)
    config = write_config(tmp_path / "run.toml", tmp_path, "hits", steps=100_000, checkpoint=100_000)
    variables = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "SLURM_CPUS_PER_TASK": "1", "SLURM_JOB_ID": "77"}
    return config, tmp_path / "run", {**os.environ, **variables}


def stop(command, run: Path, environment, to) -> tuple[int, str]:
    """Start a job, send SIGUSR1 once it trains, and return its exit code and what it printed."""
    log = run / "metrics.jsonl"
    before = log.stat().st_size if log.exists() else 0
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    end = time.monotonic() + 60
    while not (log.exists() and log.stat().st_size > before):
        assert time.monotonic() < end
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    os.kill(to(process), signal.SIGUSR1)
    printed, _ = process.communicate(timeout=60)
    return process.returncode, printed


@pytest.mark.mpi
@pytest.mark.slow
def test_a_job_of_slurm_is_stopped_in_time_queued_again_and_goes_on(job, tmp_path):
    config, run, environment = job
    command = ["bash", str(CLUSTER / "train.slurm"), str(config), str(run)]

    def rank(_):
        return int((run / "ranks" / "1").read_text().split()[1])

    code, printed = stop(command, run, environment, rank)
    assert code == 0, printed
    assert "stopped and saved: queued again" in printed
    assert (tmp_path / "scontrol.log").read_text() == "requeue 77\n"
    step = checkpoint.load(run / "hits.pt")["step"]
    code, printed = stop(command, run, {**environment, "SLURM_RESTART_COUNT": "1"}, rank)
    assert code == 0, printed
    assert checkpoint.load(run / "hits.pt")["step"] > step


@pytest.mark.mpi
def test_a_job_of_slurm_that_fails_is_not_queued_again(job, tmp_path):
    config, run, environment = job
    config.write_text("nonsense")
    command = ["bash", str(CLUSTER / "train.slurm"), str(config), str(run)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 1
    assert "is not valid TOML" in done.stderr
    assert not (tmp_path / "scontrol.log").exists()


@pytest.mark.mpi
@pytest.mark.slow
def test_a_job_of_condor_is_stopped_by_a_signal_to_mpiexec_and_goes_on(job):
    config, run, environment = job
    command = ["bash", str(CLUSTER / "train.sh"), str(config), str(run), "2"]
    code, printed = stop(command, run, environment, lambda process: process.pid)
    assert code == 128 + signal.SIGUSR1, printed
    step = checkpoint.load(run / "hits.pt")["step"]
    code, printed = stop(command, run, environment, lambda process: process.pid)
    assert code == 128 + signal.SIGUSR1, printed
    assert checkpoint.load(run / "hits.pt")["step"] > step
