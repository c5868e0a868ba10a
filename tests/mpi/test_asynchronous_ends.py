# SPDX-License-Identifier: BSD-3-Clause
"""How asynchronous trainings end: by signals, by ranks that die or hang, and by what makes no sense."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from helpers.mpi import (
    TREE,
    command,
    configure,
    needs_mpi,
    pid,
    script,
    start,
    together,
    train,
    train_together,
    until,
)

from fastcalo.detector.description import load_detector
from fastcalo.errors import ConfigError, InputError, TrainingError
from fastcalo.training import trainer as loop
from fastcalo.training.config import load_config
from fastcalo.training.data.showers import ShowerData
from fastcalo.training.distributed.asynchronous.stage import WorkerBatches
from fastcalo.training.distributed.asynchronous.topology import Topology
from fastcalo.training.distributed.asynchronous.worker_state import WorkerState
from fastcalo.training.exchange import SingleProcess
from fastcalo.training.run import checkpoint
from fastcalo.training.run.curves import read_metrics
from fastcalo.training.trainer import build_architecture

pytestmark = needs_mpi


def test_a_signal_to_one_rank_saves_and_ends_all_and_another_number_goes_on(data, tmp_path):
    file = configure(tmp_path / "run.toml", data, "hits", "easgd", TREE, steps=5000, checkpoint=100_000)
    run = tmp_path / "run"
    process = start(command(5, file, run))
    until((run / "metrics.jsonl").exists)
    os.kill(pid(run, 4), signal.SIGUSR1)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "go on with --resume" in errors
    assert "Traceback" not in errors
    step = assert_saved(run, 5, in_a_tree=True)
    longer = configure(tmp_path / "longer.toml", data, "hits", "easgd", steps=step + 20)
    done = train(2, longer, run, "--resume")
    assert done.returncode == 0, done.stderr
    assert checkpoint.load(run / "hits.pt")["step"] == step + 20


def assert_saved(run: Path, ranks: int, in_a_tree: bool) -> int:
    """Look at what a stopped training has left; returns its step."""
    step = checkpoint.load(run / "hits.pt")["step"]
    assert 50 <= step < 5000
    assert ("staleness_top" in read_metrics(run)[0]) == in_a_tree
    # each rank but the first keeps what it alone knows
    own = {p.name for p in (run / "ranks").glob("*.pt")}
    assert own == {f"hits-{k}.pt" for k in range(1, ranks)}
    return step


INTERRUPTED = (
    (signal.SIGTERM, 0, 3, "push_every = 3"),
    (signal.SIGUSR1, 2, 3, "push_every = 3"),
    (signal.SIGTERM, 1, 5, TREE),
)
"""Signal, rank that gets it, number of ranks, and options."""


@pytest.mark.slow
def test_ranks_that_a_signal_to_one_has_stopped_are_free_for_the_next_training(data, tmp_path):
    runs, jobs = [tmp_path / f"run{k}" for k in range(len(INTERRUPTED))], []
    for run, (_, _, ranks, options) in zip(runs, INTERRUPTED, strict=True):
        file = configure(run.with_suffix(".toml"), data, "hits", "easgd", options, steps=5000, checkpoint=100_000)
        jobs.append({"config": file, "ranks": ranks})
    process = start(together(tmp_path, jobs))
    for run, (number, rank, ranks, _) in zip(runs, INTERRUPTED, strict=True):
        until((run / "metrics.jsonl").exists)
        os.kill(pid(run, rank), number)
        until(lambda run=run, ranks=ranks: len(list((run / "ranks").glob("*.pt"))) == ranks - 1)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    jobs = []
    for run, (_, _, ranks, options) in zip(runs, INTERRUPTED, strict=True):
        steps = assert_saved(run, ranks, options == TREE) + 20
        file = configure(run.with_suffix(".toml"), data, "hits", "easgd", steps=steps)
        jobs.append({"config": file, "run": run, "ranks": 2, "resume": True})
    train_together(tmp_path, jobs)
    for run, job in zip(runs, jobs, strict=True):
        assert checkpoint.load(run / "hits.pt")["step"] == load_config(job["config"]).stage[0].steps


RESUME = """
import sys
from pathlib import Path
from mpi4py import MPI
from fastcalo.training.config import load_config
from fastcalo.training.exchange import SingleProcess
from fastcalo.training.trainer import run_stages as train
from fastcalo.training.distributed.asynchronous.exchange import ServerExchange
from fastcalo.training.run.signals import Stopped
from fastcalo.training.run.callback import Callback

class Short(Callback):
    asked = 0
    def halt(self):
        self.asked += MPI.COMM_WORLD.rank > 0
        return self.asked > 17

def go(name, **options):
    run = folder / name
    train(config, run, exchange=ServerExchange(MPI.COMM_WORLD, run, 60), **options)

folder, config = Path(sys.argv[1]), load_config(Path(sys.argv[1]) / "run.toml")
go("whole")
for name in ("same", "lost"):
    try:
        go(name, watch=Short())
    except Stopped:
        pass
    if name == "lost" and MPI.COMM_WORLD.rank:
        (folder / "lost/ranks/hits-1.pt").unlink()
    go(name, resume=True)
"""


def test_a_worker_of_easgd_goes_on_from_its_own_state(data, tmp_path):
    configure(tmp_path / "run.toml", data, "hits", "easgd", steps=60, checkpoint=1000)
    done = script(2, RESUME, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("which is saved") == 2
    found = {name: checkpoint.load(tmp_path / name / "hits.pt") for name in ("whole", "same", "lost")}
    numbers = {name: torch.cat([v.flatten() for v in s["networks"]["hits"].values()]) for name, s in found.items()}
    assert torch.equal(numbers["same"], numbers["whole"])
    assert not torch.equal(numbers["lost"], numbers["whole"])
    # nothing is left where the stage is over
    assert not list(tmp_path.glob("*/ranks/*.pt"))


@pytest.mark.parametrize(
    ("ranks", "options", "killed"),
    [(3, "", 2), *(pytest.param(5, TREE, rank, marks=pytest.mark.slow) for rank in (0, 1, 4))],
)
def test_a_killed_rank_ends_the_job_and_the_last_checkpoint_is_kept(data, tmp_path, ranks, options, killed):
    file = configure(tmp_path / "run.toml", data, "hits", "downpour", options, steps=100_000, checkpoint=20)
    run = tmp_path / "run"
    process = start(command(ranks, file, run))
    until((run / "hits.pt").exists)
    os.kill(pid(run, killed), signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert checkpoint.load(run / "hits.pt")["step"] >= 20


HANGING = [(3, "", 0), (3, "", 2), (5, TREE, 1), (5, TREE, 4)]
"""Number of ranks, options, and the rank that hangs."""


@pytest.fixture(scope="module")
def hanging(data, tmp_path_factory) -> list[tuple[int, int, str]]:
    """For each case the process that hangs, the exit code and the errors; the jobs wait at the same time."""
    jobs = []
    for ranks, options, rank in HANGING:
        run = tmp_path_factory.mktemp("hanging") / "run"
        file = configure(
            run.with_suffix(".toml"), data, "hits", "downpour", options, steps=1_000_000, checkpoint=1000, patience=12
        )
        process = start(command(ranks, file, run))
        until((run / "metrics.jsonl").exists)
        jobs.append((process, pid(run, rank)))
        os.kill(jobs[-1][1], signal.SIGSTOP)
    try:
        errors = [process.communicate(timeout=90)[1] for process, _ in jobs]
        return [(stopped, process.returncode, text) for (process, stopped), text in zip(jobs, errors, strict=True)]
    finally:
        for _, stopped in jobs:
            with suppress(ProcessLookupError):
                os.kill(stopped, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize("case", range(len(HANGING)), ids=[f"{ranks}-{rank}" for ranks, _, rank in HANGING])
def test_a_rank_that_hangs_is_named(hanging, case):
    stopped, code, errors = hanging[case]
    assert code != 0
    assert f"rank {HANGING[case][2]} (process {stopped} on " in errors
    assert "no sign of life from rank" in errors
    assert "--resume" in errors


# ranks that go on after a training has failed

CALLED_AWAY = """
import sys, torch
from pathlib import Path
from mpi4py import MPI
from fastcalo.training.distributed.asynchronous.exchange import ServerExchange
from fastcalo.training.distributed.asynchronous.messages import Pull, Push

class Away(Exception):
    pass

def away():
    raise Away

world, numbers = MPI.COMM_WORLD, 100_000
exchange = ServerExchange(world, Path(sys.argv[1]))
if world.rank:
    exchange.heartbeat.listen = away
    try:
        exchange.push(Push(0, 1, 0, (), {}, torch.zeros(1, numbers)))
    except Away:
        pass
    others = [torch.zeros(numbers) for _ in range(20)]
    world.send(None, 0)
    world.recv(source=0)
    print("overwritten:", sum(int(other.count_nonzero()) for other in others))
else:
    exchange.expect([0])
    exchange.receive(1, numbers)
    world.recv(source=1)
    exchange.reply(0, Pull(0, 1, 0, torch.ones(numbers)), [0])
    world.send(None, 1)
"""


def test_an_answer_that_comes_too_late_overwrites_nothing(tmp_path):
    done = script(2, CALLED_AWAY, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("MPICH")[0].strip() == "overwritten: 0"


# bad input


class Several(SingleProcess):
    """One of several processes."""

    def __init__(self, size: int) -> None:
        self.size = size


@pytest.mark.parametrize(
    ("ranks", "options", "text"),
    [
        (1, "", "parallel.strategy = 'downpour' needs a master and at least one worker"),
        (1, TREE, "mpiexec -n 4"),
        (
            4,
            TREE,
            "parallel.masters = 2 needs a master above them and a worker below each, 5 processes, but there are 4",
        ),
    ],
)
def test_too_few_processes(data, tmp_path, ranks, options, text):
    file = configure(tmp_path / "run.toml", data, "hits", "downpour", options)
    with pytest.raises(ConfigError) as error:
        loop.run_stages(load_config(file), tmp_path / "run", where=str(file), exchange=Several(ranks))
    assert text in str(error.value)
    assert str(file) in str(error.value)
    assert not (tmp_path / "run").exists()


def test_too_few_showers_for_all_workers(data, tmp_path):
    config = load_config(configure(tmp_path / "run.toml", data, "hits", "gem"))
    showers = ShowerData(config.data.train, load_detector(), ("ECAL",), config.species)
    settings = config.stage[0].updated(batch=50)
    with pytest.raises(InputError) as error:
        WorkerBatches(build_architecture(config), settings, showers, 1, 0, 0, 3)
    assert "batches of 50 showers for 3 workers take 150, but there are only 120" in str(error.value)


def test_a_damaged_state_of_a_rank_is_reported(tmp_path):
    own = WorkerState(tmp_path, "hits", 1, Topology(2), True)
    own.save({"values": torch.ones(3)}, 20)
    assert own.load(20)["values"].tolist() == [1.0] * 3
    assert own.load(40) is None
    assert WorkerState(tmp_path, "hits", 1, Topology(3), True).load(20) is None
    (tmp_path / "ranks" / "hits-1.pt").write_bytes(b"nonsense")
    with pytest.raises(TrainingError, match=r"hits-1\.pt is damaged"):
        own.load(20)
