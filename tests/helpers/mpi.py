# SPDX-License-Identifier: BSD-3-Clause
"""Trainings under mpiexec, for tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from helpers.fork_server import forked_python

MPIEXEC = Path(sys.executable).with_name("mpiexec")
STEPS = 50
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
TREE = "masters = 2\nsync_every = 3"

needs_mpi = [pytest.mark.mpi, pytest.mark.timeout(600)]

HEAD = """
name = "tiny"
arch = "{arch}"
species = [11, -11, 22]
threads = 1
[data]
train = ["{folder}/a.h5", "{folder}/b.h5"]
[network]
{network}
[validity]
kinetic_energy = [0.1, 3.0]
[parallel]
bucket_kib = 2
patience_s = {patience}
"""
NETWORK = {
    "hits": "layer_width = 16\nhit_width = 16\nshare_width = 8\ncritic_width = 16",
    "3dgan": "dense_channels = 2\ndense_latent = 4",
}
OWN_KEYS = {
    "layers": "",
    "hits": "latent_start = 1\nlatent_ramp = 4",
    "adversarial": "critic_only = 3\npenalty_every = 4",
}
"""What a stage has beside the keys of all stages."""
STAGE = """
[[stage]]
name = "{name}"
steps = {steps}
batch = 12
warmup = 2
ema = 0.9
{own}
evaluate_every = 1000
checkpoint_every = {checkpoint}
"""


def write_config(
    path: Path,
    folder: Path,
    stages: str,
    arch: str = "hits",
    patience: int = 60,
    steps: int | dict[str, int] = STEPS,
    checkpoint: int = 10,
) -> Path:
    """Write a training of these stages; with numbers of steps by their names, or one for all."""
    text = HEAD.format(arch=arch, folder=folder, patience=patience, network=NETWORK[arch])
    for name in stages.split():
        many = steps if isinstance(steps, int) else steps[name]
        text += STAGE.format(name=name, steps=many, checkpoint=checkpoint, own=OWN_KEYS[name])
    path.write_text(text)
    return path


def command(ranks: int, config: Path, run: Path, *options: str, python: list[str] | None = None) -> list[str]:
    """Command that trains on so many ranks; without a launcher for 0."""
    train = [*(python or forked_python()), "-m", "fastcalo", "train", str(config), "-o", str(run), *options]
    return [str(MPIEXEC), "-n", str(ranks), *train] if ranks else train


_started: list[subprocess.Popen[str]] = []


def start(arguments: list[str], **variables: str) -> subprocess.Popen[str]:
    """Start a program whose errors can be read; with its ranks it ends with the test at the latest."""
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, env={**ENVIRONMENT, **variables})
    _started.append(process)
    return process


def end_started() -> None:
    """End what a test has left running, for ranks that wait for each other would keep the machine busy."""
    while _started:
        process = _started.pop()
        if process.poll() is None:
            everyone = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            for child in everyone:
                with suppress(psutil.NoSuchProcess):
                    child.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()


def train(
    ranks: int, config: Path, run: Path, *options: str, python: list[str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Train under mpiexec; without a launcher for 0 ranks."""
    return subprocess.run(
        command(ranks, config, run, *options, python=python),
        capture_output=True, text=True, check=False, timeout=250, env=ENVIRONMENT,
    )  # fmt: skip


def with_strategy(text: str, strategy: str, options: str = "") -> str:
    """The text of a configuration, with another strategy and keys of its own."""
    if strategy != "allreduce":
        text = text.replace("bucket_kib = 2\n", "")
    return text.replace("[parallel]", f'[parallel]\nstrategy = "{strategy}"\n{options}')


def configure(path: Path, folder: Path, stages: str, strategy: str, options: str = "", rate=None, **kw) -> Path:
    config = write_config(path, folder, stages, **kw)
    text = with_strategy(config.read_text(), strategy, options)
    if rate:
        text = text.replace("[[stage]]", f"[[stage]]\nlearning_rate = {rate}")
    config.write_text(text)
    return config


def script(
    ranks: int, text: str, *arguments: object, python: list[str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program on all ranks."""
    program = ["-m", "mpi4py", "-c", text, *map(str, arguments)]
    return subprocess.run(
        [str(MPIEXEC), "-n", str(ranks), *(python or forked_python()), *program],
        capture_output=True, text=True, check=False, timeout=250,
        env=ENVIRONMENT,
    )  # fmt: skip


def together(folder: Path, jobs: list[dict[str, Any]]) -> list[str]:
    """Command that runs several trainings in one start of as many ranks as the largest needs."""
    file = folder / "trainings.json"
    file.write_text(json.dumps(jobs, default=str))
    program = ["-m", "mpi4py", str(Path(__file__).parent / "trainings" / "mpi_trainings.py"), str(file)]
    return [str(MPIEXEC), "-n", str(max(job["ranks"] for job in jobs)), *forked_python(), *program]


def train_together(folder: Path, jobs: list[dict[str, Any]]) -> None:
    """Run several trainings in one start; for the tables see `helpers.trainings.mpi_trainings`."""
    done = subprocess.run(
        together(folder, jobs), capture_output=True, text=True, check=False, timeout=400, env=ENVIRONMENT
    )
    assert done.returncode == 0, done.stderr


def losses(run: Path, step: int = STEPS) -> dict[str, dict[str, float]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {line["stage"]: line for line in lines if line["kind"] == "train" and line["step"] == step}


def until(condition, seconds=240) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def pid(run: Path, rank: int) -> int:
    return int((run / "ranks" / str(rank)).read_text().split()[1])
