# SPDX-License-Identifier: BSD-3-Clause
"""Measure training on two ranks: print a table, and write it with the hardware to benchmarks/results.

    python benchmarks/training/parallel.py [--repeats N] [--stage NAME ...] [--showers N] [--out FOLDER]

Showers are those of FASTCALO_DATA, or the shipped sample. One core and one thread per rank. All trainings are alive at
once and take turns of a second or two, so that a machine that grows slower does so for all; what stands in the table
are medians of ratios of turns that followed each other, and their quartiles. Beside each other and without messages,
two processes already are slower than one: they share memory and the clock. That is in the table, too. A rank waits
for messages, and for the other one where that has more to do in a step; what even the rank that waits less waits is
communication that computation does not hide.

Numbers of one machine compare with numbers of the same machine only; nothing here passes or fails.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from statistics import quantiles
from typing import Any

# what benchmarks share
sys.path.insert(0, str(Path(__file__).parents[1]))
import measure
import numpy as np

ROOT = Path(__file__).parents[2]
RANK = Path(__file__).with_name("parallel_rank.py")
CONFIGS = ROOT / "configs"
SAMPLE = ROOT / "examples" / "data" / "em_geant4.h5"
MPIEXEC = Path(sys.executable).with_name("mpiexec")
PACKAGES = ("fastcalo", "numpy", "torch", "mpi4py")
WARM_UP = 2

# steps of a turn: the critic of `hits` is penalised in every eighth
STAGES = {"layers": ("em-hits", 48), "hits": ("em-hits", 40), "adversarial": ("em-hits", 24), "3dgan": ("3dgan", 8)}

TARGETS = {
    "weak scaling, two ranks": "at least 0.95",
    "two processes that send nothing": "",
    "two processes that wait for each other": "",
    "weak scaling, relative to these": "",
    "times as fast as DistributedDataParallel": "at least 1",
    "cost of mpiexec -n 1 [%]": "at most 2",
    "communication not hidden [%]": "at most 5",
    "waiting of a rank [%]": "",
    "waiting with fp16 [%]": "",
    "times as fast with fp16": "",
    "ms per step, one process": "",
}


@dataclass(frozen=True)
class Job:
    """A training of one or more processes.

    Attributes
    ----------
    name : str
    ranks : int
        Under mpiexec; 0 without it.
    core : int
        Of the first rank.
    options : tuple of str
    parallel : str
        Lines of ``[parallel]``.
    """

    name: str
    ranks: int = 0
    core: int = 0
    options: tuple[str, ...] = ()
    parallel: str = ""


JOBS = (
    Job("alone"),
    Job("ours", 2),
    Job("mpiexec -n 1", 1),
    Job("ddp", 2, options=("--ddp",)),
    Job("fp16", 2, parallel='compression = "fp16"'),
    Job("in step", 2, options=("--in-step",)),
    Job("beside 0"),
    Job("beside 1", core=1),
)
TURNS = (("alone",), ("ours",), ("mpiexec -n 1",), ("ddp",), ("fp16",), ("in step",), ("beside 0", "beside 1"))


def write_config(path: Path, base: Path, stage: str, job: Job, seed: int, showers: int | None) -> None:
    """The shipped configuration with one stage, whose steps all cost the same: its networks stay what they are."""
    lines = base.read_text().splitlines()
    starts = [i for i, line in enumerate(lines) if line == "[[stage]]"] + [len(lines)]
    head, stages = lines[: starts[0]], [lines[a:b] for a, b in pairwise(starts)]
    (chosen,) = (part for part in stages if f'name = "{stage}"' in part)
    batch = showers or next(int(line.split()[2]) for line in chosen if line.startswith("batch ="))
    replaced = {
        "batch": batch * max(1, job.ranks),
        "steps": 10**9,
        "evaluate_every": 10**9,
        "checkpoint_every": 10**9,
        "learning_rate": 1e-12,
        "critic_rate": 1e-12,
        "final_rate": 0.0,
        "critic_only": 0,
    }
    kept = [line for line in chosen if line.partition(" ")[0] not in replaced]
    files = {"train": '["$FASTCALO_DATA/em_train.h5"]', "seed": str(seed), "test": None}
    if "FASTCALO_DATA" not in os.environ:
        files["train"] = json.dumps([str(SAMPLE)])
    head = [line for line in head if line.partition(" ")[0] not in files]
    head.insert(head.index("[data]") + 1, f"train = {files['train']}")
    text = [f"seed = {seed}", *head, "[parallel]", job.parallel, *kept]
    path.write_text("\n".join([*text, *(f"{k} = {v}" for k, v in replaced.items())]) + "\n")


@contextmanager
def trainings(
    stage: str, scratch: Path, first_core: int, showers: int | None = None
) -> Iterator[dict[str, list[Connection]]]:
    """Start all jobs; yields the connections to the ranks of each. They are ended with the block."""
    base, name = STAGES[stage][0], "adversarial" if stage == "3dgan" else stage
    key = secrets.token_hex(8)
    processes: list[subprocess.Popen[bytes]] = []
    with Listener(("127.0.0.1", 0), backlog=16, authkey=key.encode()) as listener:
        port = listener.address[1]
        try:
            for number, job in enumerate(JOBS):
                folder = scratch / f"{stage}-{number}"
                folder.mkdir()
                write_config(folder / "run.toml", CONFIGS / f"{base}.toml", name, job, 1 + (job.core > 0), showers)
                command = [sys.executable, str(RANK), str(folder / "run.toml"), str(folder / "run"), *job.options]
                command += ["--port", str(port), "--key", key, "--name", job.name]
                command += ["--core", str(first_core + job.core)]
                launcher = [str(MPIEXEC), "-n", str(job.ranks)] if job.ranks else []
                processes.append(subprocess.Popen([*launcher, sys.executable, "-X", "faulthandler", *command[1:]]))
            connections: dict[str, list[Connection]] = {job.name: [] for job in JOBS}
            for _ in range(sum(max(1, job.ranks) for job in JOBS)):
                connection = listener.accept()
                connections[connection.recv()[0]].append(connection)
            for connection in (c for each in connections.values() for c in each):
                if connection.recv() != "ready":
                    raise RuntimeError(f"a training of {stage} did not begin")
            yield connections
            for connection in (c for each in connections.values() for c in each):
                connection.send(0)
            for process in processes:
                process.wait(timeout=60)
        except (EOFError, OSError):
            # what it prints must be read before the others are ended
            time.sleep(3)
            ended = {job.name: p.poll() for job, p in zip(JOBS, processes, strict=False) if p.poll() is not None}
            sys.exit(f"trainings of {stage} have ended by themselves, with {ended}; their messages are above")
        finally:
            for process in processes:
                process.kill()


def turn(connections: list[Connection], steps: int) -> tuple[float, float, float]:
    """Seconds of a step; the part that a rank waited, and that which all ranks waited. Means over steps and ranks."""
    for connection in connections:
        connection.send(steps + WARM_UP)
    answers = np.array([connection.recv() for connection in connections])[:, :, WARM_UP:]
    seconds_RS, waited_RS = answers[:, 0], answers[:, 1]
    total = float(seconds_RS.mean())
    return total, float(waited_RS.mean()) / total, float(waited_RS.min(0).mean()) / total


def measure_stage(
    stage: str, repeats: int, scratch: Path, first_core: int, showers: int | None
) -> dict[str, list[float]]:
    """Values of each row of the table, one for every repeat."""
    steps = STAGES[stage][1]
    out: dict[str, list[float]] = {name: [] for name in TARGETS}
    with trainings(stage, scratch, first_core, showers) as connections:
        for repeat in range(-1, repeats):
            turns: dict[str, tuple[float, float, float]] = {}
            # forth and back
            for names in TURNS if repeat % 2 else TURNS[::-1]:
                ranks = [c for name in names for c in connections[name]]
                turns[names[0]] = turn(ranks, steps)
            # the first one warms up
            if repeat >= 0:
                row = ratios(turns)
                for name, values in out.items():
                    values.append(row[name])
    return out


def ratios(turns: dict[str, tuple[float, float, float]]) -> dict[str, float]:
    """The table's rows from what `turn` gives for each job."""
    times = {name: seconds for name, (seconds, _, _) in turns.items()}
    ours, alone, beside = times["ours"], times["alone"], times["beside 0"]
    return {
        "weak scaling, two ranks": alone / ours,
        "two processes that send nothing": alone / beside,
        "two processes that wait for each other": alone / times["in step"],
        "weak scaling, relative to these": times["in step"] / ours,
        "times as fast as DistributedDataParallel": times["ddp"] / ours,
        "cost of mpiexec -n 1 [%]": 100 * (times["mpiexec -n 1"] / alone - 1),
        "communication not hidden [%]": 100 * turns["ours"][2],
        "waiting of a rank [%]": 100 * turns["ours"][1],
        "waiting with fp16 [%]": 100 * turns["fp16"][1],
        "times as fast with fp16": ours / times["fp16"],
        "ms per step, one process": 1e3 * alone,
    }


def summary(values: list[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, middle, high = quantiles(values, n=4)
    return {"median": middle, "lower quartile": low, "upper quartile": high}


def table(results: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    """Rows of a Markdown table."""
    rows = ["| | target | " + " | ".join(results) + " |", "|---|---|" + "---|" * len(results)]
    for name, target in TARGETS.items():
        cells = []
        for stage in results.values():
            middle, low, high = stage[name].values()
            digits = 1 if "[%]" in name or "ms" in name else 3
            cells.append(f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})")
        rows.append(f"| {name} | {target} | " + " | ".join(cells) + " |")
    return rows


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="training on two ranks against one, and against torch's own")
    parser.add_argument("--repeats", type=int, default=11, help="how often each time is taken")
    parser.add_argument("--stage", action="append", choices=list(STAGES), help="may be repeated; all by default")
    parser.add_argument("--showers", type=int, help="of a rank's batch; by default the configuration's")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results", help="folder for the results")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0, 1]
    if len(cores) < 2 or not MPIEXEC.exists():
        sys.exit("needs two cores, and MPI in this environment: pip install mpi4py mpich")

    machine: dict[str, Any] = measure.hardware(PACKAGES)
    machine["showers"] = "em_train.h5" if "FASTCALO_DATA" in os.environ else SAMPLE.name
    machine["showers of a rank's batch"] = options.showers or "as configured"
    results = {}
    with tempfile.TemporaryDirectory() as scratch:
        for stage in options.stage or STAGES:
            print(f"{stage} ...", flush=True)
            values = measure_stage(stage, options.repeats, Path(scratch), cores[0], options.showers)
            results[stage] = {name: summary(each) for name, each in values.items()}
    title = f"Training on two ranks, {date.today()}"
    measure.publish(
        options.out / f"parallel-{date.today()}",
        title,
        machine,
        ["Medians and quartiles.", "", *table(results)],
        results,
    )


if __name__ == "__main__":
    main()
