"""Trainings under mpiexec, for tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

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
layer_width = 16
hit_width = 16
share_width = 8
critic_width = 16
dense_channels = 2
dense_latent = 4
[validity]
kinetic_energy = [0.1, 3.0]
[parallel]
bucket_kib = 2
patience_s = {patience}
"""
STAGE = """
[[stage]]
name = "{name}"
steps = {steps}
batch = 12
warmup = 2
ema = 0.9
critic_only = 3
penalty_every = 4
latent_start = 1
latent_ramp = 4
evaluate_every = 1000
checkpoint_every = {checkpoint}
"""


def write_config(path: Path, folder: Path, stages: str, arch="hits", patience=60, steps=STEPS, checkpoint=10) -> Path:
    text = HEAD.format(arch=arch, folder=folder, patience=patience)
    text += "".join(STAGE.format(name=name, steps=steps, checkpoint=checkpoint) for name in stages.split())
    path.write_text(text)
    return path


def command(ranks: int, config: Path, run: Path, *options: str) -> list[str]:
    train = [sys.executable, "-m", "fastcalo", "train", str(config), "-o", str(run), *options]
    return [str(MPIEXEC), "-n", str(ranks), *train] if ranks else train


def train(ranks: int, config: Path, run: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Train under mpiexec; without a launcher for 0 ranks."""
    return subprocess.run(
        command(ranks, config, run, *options), capture_output=True, text=True, check=False, timeout=250, env=ENVIRONMENT
    )


def configure(path: Path, folder: Path, stages: str, strategy: str, options: str = "", rate=None, **kw) -> Path:
    config = write_config(path, folder, stages, **kw)
    text = config.read_text().replace("[parallel]", f'[parallel]\nstrategy = "{strategy}"\n{options}')
    if rate:
        text = text.replace("[[stage]]", f"[[stage]]\nlearning_rate = {rate}")
    config.write_text(text)
    return config


def script(ranks: int, text: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a program on all ranks."""
    return subprocess.run(
        [str(MPIEXEC), "-n", str(ranks), sys.executable, "-m", "mpi4py", "-c", text, *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=250,
        env={**ENVIRONMENT, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])},
    )  # fmt: skip


def losses(run: Path, step: int = STEPS) -> dict[str, dict[str, float]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {line["stage"]: line for line in lines if line["kind"] == "train" and line["step"] == step}


def until(condition, seconds=120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def pid(run: Path, rank: int) -> int:
    return int((run / "ranks" / str(rank)).read_text().split()[1])
