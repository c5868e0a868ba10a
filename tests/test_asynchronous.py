"""Asynchronous training over real MPI ranks: the same as the simulator's, message by message, and as robust as any."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from itertools import cycle, islice
from pathlib import Path

import pytest
import torch
from showers import write_real
from test_parallel import ENVIRONMENT, MPIEXEC, command, pid, train, until, write_config
from toys import make_centre, make_workers, stage

from fastcalo.detector import load_detector
from fastcalo.training import checkpoint
from fastcalo.training.config import ParallelConfig, load_config
from fastcalo.training.curves import read_metrics
from fastcalo.training.data import ShowerData
from fastcalo.training.loop import build, mix
from fastcalo.training.optimisers import make_optimiser
from fastcalo.training.parallel.centre import Centre
from fastcalo.training.parallel.flat import Flat
from fastcalo.training.parallel.leg import StageProblem
from fastcalo.training.parallel.simulator import order_of, simulate
from fastcalo.training.parallel.worker import Worker

STRATEGIES = ("downpour", "easgd", "gem")

pytestmark = [
    pytest.mark.skipif(not MPIEXEC.exists(), reason="needs MPI in this environment: pip install mpich"),
    pytest.mark.timeout(300),
]


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
        env={**ENVIRONMENT, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
    )  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_real(folder / "a.h5", 70)
    write_real(folder / "b.h5", 50, start=500)
    return folder


# the same as the simulator

TOY = """
import sys, json, torch
from pathlib import Path
from mpi4py import MPI
from toys import make_centre, make_workers, stage
from fastcalo.training.config import ParallelConfig
from fastcalo.training.parallel.asynchronous import Masters
torch.set_num_threads(1)
told = json.loads(sys.argv[1])
config, settings = ParallelConfig(told["strategy"], push_every=told["push_every"]), stage(told["strategy"], told["steps"])
exchange = Masters(MPI.COMM_WORLD, Path(told["run"]), 60, told["order"])
centre, stale = make_centre(config, exchange.workers, settings), []
if exchange.rank:
    worker = make_workers(config, exchange.workers, settings)[exchange.rank - 1]
    pull = centre.first(worker.number)
    while pull.steps:
        pull = exchange.push(worker.round(pull))
else:
    while centre.busy:
        push = exchange.receive(centre.rows, len(centre.flat.values_N))
        exchange.reply(push.worker, centre.serve(push))
        stale.append(centre.staleness)
    print(json.dumps([centre.flat.values_N.tolist(), stale]))
"""


@pytest.mark.parametrize("ranks", [2, 3, 4])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_convex_problem_is_the_simulators_to_the_bit(tmp_path, strategy, ranks):
    order = order_of([1.0, 1.7, 4.2][: ranks - 1], 20)
    told = {"strategy": strategy, "push_every": 2, "steps": 60, "run": str(tmp_path), "order": order}
    # what is left when the order is at its end may come in any order: the simulator is told in which it came
    config, settings = ParallelConfig(strategy, push_every=2), stage(strategy, 60)
    centre, stale, whole = make_centre(config, ranks - 1, settings), [], []
    workers = make_workers(config, ranks - 1, settings)

    def served(push):
        stale.append(centre.staleness)
        whole.append(push.worker)

    simulate(centre, workers, order, served)
    done = script(ranks, TOY, json.dumps({**told, "order": whole}))
    assert done.returncode == 0, done.stderr
    values, found = json.loads(done.stdout)
    assert found == stale
    assert torch.equal(torch.tensor(values), centre.flat.values_N)


TRAIN = """
import sys, json
from pathlib import Path
from mpi4py import MPI
from fastcalo.training.config import load_config
from fastcalo.training.loop import train
from fastcalo.training.parallel.asynchronous import Masters
config, run, order = load_config(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
train(config, run, exchange=Masters(MPI.COMM_WORLD, run, 60, order))
"""


def simulate_hits(config, workers: int, order: list[int]) -> dict[str, torch.Tensor]:
    """The stage `hits`, played in this process."""
    (settings,) = config.stage
    seed = mix(config.seed, 0)
    played = []
    for k in range(workers):
        data = ShowerData(config.data.train, load_detector(), "ECAL", config.species, seed=seed)
        problem = StageProblem(build(config), settings, data, seed, 0, k, workers)
        played.append(Worker(k, workers, problem, settings, config.parallel))
    networks = build(config)
    parameters = networks.trained_by(settings.name)
    optimisers = {name: make_optimiser(settings, name, ps) for name, ps in parameters.items()}
    centre = Centre(Flat(parameters), optimisers, workers, settings, config.parallel)
    simulate(centre, played, order)
    return networks.networks["hits"].state_dict()


@pytest.mark.parametrize(("ranks", "push_every"), [(3, 1), pytest.param(4, 3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_stage_is_the_simulators_to_the_bit(data, tmp_path, strategy, ranks, push_every):
    options = f"push_every = {push_every}"
    config = configure(tmp_path / "run.toml", data, "hits", strategy, options, steps=24)
    config.write_text(config.read_text().replace("ema = 0.9", "ema = 0.0"))
    order = [0, 0, 1, 0] * 6 if ranks == 3 else [2, 0, 0, 1, 2, 1, 1, 0]
    done = script(ranks, TRAIN, config, tmp_path / "run", json.dumps(order))
    assert done.returncode == 0, done.stderr
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        expected = simulate_hits(load_config(config), ranks - 1, order)
    finally:
        torch.set_num_threads(threads)
    found = checkpoint.load(tmp_path / "run" / "hits.pt")["networks"]["hits"]
    assert found.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in found.items())
