# SPDX-License-Identifier: BSD-3-Clause
"""Asynchronous training over real MPI ranks: the same as the simulator's, message by message; and it learns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from helpers.asynchronous_simulator import order_of, simulate
from helpers.mpi import TREE, configure, needs_mpi, script, train
from helpers.tiny_training import parallel_config
from helpers.toy_problem import make_centre, make_masters, make_workers, stage

from fastcalo.detector.description import load_detector
from fastcalo.training.config import load_config
from fastcalo.training.data.showers import ShowerData
from fastcalo.training.distributed.asynchronous.flat_parameters import FlatParameters
from fastcalo.training.distributed.asynchronous.parameter_server import ParameterServer
from fastcalo.training.distributed.asynchronous.stage import WorkerBatches
from fastcalo.training.distributed.asynchronous.sub_server import SubServer
from fastcalo.training.distributed.asynchronous.topology import Topology
from fastcalo.training.distributed.asynchronous.worker import Worker
from fastcalo.training.optimisers import make_optimiser
from fastcalo.training.random_numbers import ShowerRandom, combine_seeds
from fastcalo.training.run import checkpoint
from fastcalo.training.run.curves import read_metrics
from fastcalo.training.trainer import build_architecture

STRATEGIES = ("downpour", "easgd", "gem")
STEPS = 60

pytestmark = needs_mpi


# the same as the simulator

TOY = """
import sys, json, torch
from pathlib import Path
from mpi4py import MPI
from helpers.toy_problem import make_centre, make_masters, make_workers, stage
from fastcalo.errors import InputError
from fastcalo.training.config import STRATEGIES
from fastcalo.training.distributed.asynchronous.exchange import ServerExchange
torch.set_num_threads(1)

def serve(exchange, desk, stale):
    exchange.expect(desk.busy)
    while desk.busy:
        push = exchange.receive(desk.rows, len(desk.flat.values_N))
        exchange.reply(push.worker, desk.serve(push), desk.busy)
        stale.append(desk.staleness)

def play(told, run):
    strategy = told["parallel"]["strategy"]
    config, settings = STRATEGIES[strategy](**told["parallel"]), stage(strategy, 60)
    exchange = ServerExchange(MPI.COMM_WORLD, run, 60, told["orders"].get(str(MPI.COMM_WORLD.rank), ()), config.masters)
    tree = exchange.tree
    centre, stale = make_centre(config, tree.workers, settings), []
    masters = make_masters(config, tree.workers, settings, centre, exchange.push)
    if not exchange.rank:
        serve(exchange, centre, stale)
    elif exchange.rank <= tree.between:
        serve(exchange, masters[exchange.number], stale)
    else:
        worker = make_workers(config, tree.workers, settings)[exchange.number]
        desk = masters[tree.master_of(worker.number)] if tree.between else centre
        pull = desk.first(worker.number)
        while pull.steps:
            pull = exchange.push(worker.round(pull))
    return [centre.flat.values_N.tolist(), exchange._world.gather(stale)]

run = Path(sys.argv[1])
found = [play(told, run) for told in json.loads(sys.argv[2])]
if not MPI.COMM_WORLD.rank:
    exchange = ServerExchange(MPI.COMM_WORLD, run, order=[5])
    exchange.expect([0, 1])
    try:
        exchange.receive(1, 3)
    except InputError as error:
        found.append(str(error))
    print(json.dumps(found))
"""


def simulate_toy(strategy: str, tree: Topology) -> tuple[torch.Tensor, dict[int, list[int]], dict[int, list[int]]]:
    """Central parameters, and for each master's rank the order of messages to it and their staleness."""
    config = parallel_config(strategy, push_every=2, masters=tree.masters, sync_every=3)
    settings = stage(strategy, 60)
    centre = make_centre(config, tree.workers, settings)
    orders: dict[int, list[int]] = {rank: [] for rank in range(1 + tree.between)}
    stale: dict[int, list[int]] = {rank: [] for rank in orders}

    def note(rank, desk, push):
        orders[rank].append(push.worker)
        stale[rank].append(desk.staleness)

    def tell(push):
        pull = centre.serve(push)
        note(0, centre, push)
        return pull

    masters = make_masters(config, tree.workers, settings, centre, tell)

    def served(push):
        rank = 1 + tree.master_of(push.worker) if tree.between else 0
        note(rank, masters[rank - 1] if tree.between else centre, push)

    order = order_of([1.0, 1.7, 4.2][: tree.workers], 15)
    simulate(centre, make_workers(config, tree.workers, settings), order, served, masters)
    return centre.flat.values_N, orders, stale


@pytest.mark.parametrize(
    ("ranks", "masters"),
    [pytest.param(2, 1, marks=pytest.mark.slow), (3, 1), pytest.param(4, 1, marks=pytest.mark.slow), (6, 2)],
)
def test_a_convex_problem_is_the_simulators_to_the_bit(tmp_path, ranks, masters):
    tree = Topology.of(ranks, masters)
    expected = {strategy: simulate_toy(strategy, tree) for strategy in STRATEGIES}
    told = [
        {"parallel": {"strategy": strategy, "push_every": 2, "masters": masters, "sync_every": 3}, "orders": orders}
        for strategy, (_, orders, _) in expected.items()
    ]
    done = script(ranks, TOY, tmp_path, json.dumps(told))
    assert done.returncode == 0, done.stderr
    *found, refused = json.loads(done.stdout)
    for (values, _, stale), (theirs, measured) in zip(expected.values(), found, strict=True):
        assert torch.equal(torch.tensor(theirs), values)
        assert measured[: 1 + tree.between] == list(stale.values())
    assert refused == "the order names worker 5, but only [0, 1] have steps to make"


TRAIN = """
import sys, json
from pathlib import Path
from mpi4py import MPI
from fastcalo.training.config import load_config
from fastcalo.training.exchange import SingleProcess
from fastcalo.training.trainer import run_stages as train
from fastcalo.training.distributed.asynchronous.exchange import ServerExchange
for file, orders in json.loads(sys.argv[1]):
    config, run = load_config(file), Path(file).with_suffix("")
    order = orders.get(str(MPI.COMM_WORLD.rank), ())
    train(config, run, exchange=ServerExchange(MPI.COMM_WORLD, run, 60, order, config.parallel.masters))
"""


def train_all(ranks: int, files: list[Path], orders: list[dict[int, list[int]]]) -> None:
    """Train by several configurations, one after the other; each in a folder of its name."""
    done = script(ranks, TRAIN, json.dumps([[str(file), order] for file, order in zip(files, orders, strict=True)]))
    assert done.returncode == 0, done.stderr


def simulate_hits(config, tree: Topology, order: list[int]) -> tuple[dict[str, torch.Tensor], dict[int, list[int]]]:
    """The stage `hits`, played in this process, and for each master's rank the order of messages to it."""
    (settings,) = config.stage
    seed, parallel = combine_seeds(config.seed, 0), config.parallel
    orders: dict[int, list[int]] = {rank: [] for rank in range(1 + tree.between)}

    def held() -> tuple[torch.nn.ModuleDict, FlatParameters, dict[str, torch.optim.AdamW]]:
        networks = build_architecture(config)
        parameters = networks.trained_by(settings.name)
        return (
            networks.networks,
            FlatParameters(parameters),
            {n: make_optimiser(settings, n, p) for n, p in parameters.items()},
        )

    played = []
    for k in range(tree.workers):
        data = ShowerData(config.data.train, load_detector(), ("ECAL",), config.species, seed=seed)
        problem = WorkerBatches(build_architecture(config), settings, data, seed, 0, k, tree.workers)
        played.append(Worker(k, tree.workers, problem, settings, parallel))
    networks, flat, optimisers = held()
    centre = ParameterServer(flat, optimisers, tree.workers, settings, parallel)

    def tell(push):
        orders[0].append(push.worker)
        return centre.serve(push)

    def served(push):
        orders[1 + tree.master_of(push.worker) if tree.between else 0].append(push.worker)

    masters = [
        SubServer(m, *held()[1:], tree.workers, settings, parallel, centre.first(m), tell) for m in range(tree.between)
    ]
    simulate(centre, played, order, served, masters)
    return networks["hits"].state_dict(), orders


@pytest.mark.parametrize(
    ("ranks", "masters", "push_every", "order"),
    [
        (3, 1, 1, [0, 0, 1, 0] * 6),
        pytest.param(4, 1, 3, [2, 0, 0, 1, 2, 1, 2, 0], marks=pytest.mark.slow),
        pytest.param(6, 2, 1, [2, 0, 0, 1, 2, 2, 0, 2, 2], marks=pytest.mark.slow),
    ],
)
def test_a_stage_is_the_simulators_to_the_bit(data, tmp_path, ranks, masters, push_every, order):
    files, expected, orders = [], [], []
    options = f"push_every = {push_every}\nmasters = {masters}\nsync_every = 2"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for strategy in STRATEGIES:
            file = configure(tmp_path / f"{strategy}.toml", data, "hits", strategy, options, steps=24)
            file.write_text(file.read_text().replace("ema = 0.9", "ema = 0.0"))
            values, whole = simulate_hits(load_config(file), Topology.of(ranks, masters), order)
            files, expected, orders = [*files, file], [*expected, values], [*orders, whole]
    finally:
        torch.set_num_threads(threads)
    train_all(ranks, files, orders)
    for file, values in zip(files, expected, strict=True):
        found = checkpoint.load(file.with_suffix("") / "hits.pt")["networks"]["hits"]
        assert found.keys() == values.keys()
        assert all(torch.equal(value, values[name]) for name, value in found.items()), file.stem


# training


def likelihood(file: Path, run: Path | None, name: str) -> float:
    """Loss of a likelihood stage on all showers, before the training or after it."""
    config = load_config(file)
    networks = build_architecture(config)
    if run:
        for network, values in checkpoint.load(run / f"{name}.pt")["networks"].items():
            networks.networks[network].load_state_dict(values)
    batch = ShowerData(config.data.train, load_detector(), ("ECAL",), config.species).sample(120)
    settings = next(s for s in config.stage if s.name == name)
    with torch.no_grad():
        _, loss = next(networks.losses(settings, batch, settings.steps, {}, ShowerRandom(1, batch.slot)))
    return loss.item()


@pytest.fixture(scope="module", params=[3, pytest.param(4, marks=pytest.mark.slow)])
def runs(request, data, tmp_path_factory) -> tuple[int, Path]:
    """Number of ranks, and a folder with a run of all stages under each strategy."""
    folder, ranks = tmp_path_factory.mktemp("runs"), request.param
    options = "push_every = 3" if ranks == 3 else ""
    stages = "layers hits adversarial"
    files = [
        configure(folder / f"{s}.toml", data, stages, s, options, 0.2 if s == "gem" else None, steps=STEPS)
        for s in STRATEGIES
    ]
    train_all(ranks, files, [{}] * len(files))
    return ranks, folder


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_all_stages_run_and_the_likelihood_grows(runs, strategy):
    ranks, folder = runs
    file, run = folder / f"{strategy}.toml", folder / strategy
    for name, part in (("layers", 0.9), ("hits", 0.98)):
        assert likelihood(file, run, name) < part * likelihood(file, None, name), name
    lines = [line for line in read_metrics(run) if line["kind"] == "train"]
    assert [line["stage"] for line in lines if line["step"] == STEPS] == ["layers", "hits", "adversarial"]
    # of W workers, W - 1 messages come between two of the same one in the mean, and in a line's some more or less
    for line in lines:
        assert 0 <= line["staleness"] <= ranks - 1
        assert line["staleness"] <= line["staleness_max"]
        assert line["showers_per_second"] > 0
        assert "staleness_top" not in line
    assert max(line["staleness_max"] for line in lines) >= ranks - 2
    # the critic goes on alone for the first steps
    assert {"critic", "generator", "gradient"} <= lines[-1].keys()


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_dense_architecture_trains_too(data, tmp_path, strategy):
    file = configure(tmp_path / "run.toml", data, "adversarial", strategy, arch="3dgan")
    done = train(3, file, tmp_path / "run")
    assert done.returncode == 0, done.stderr
    line = read_metrics(tmp_path / "run")[0]
    assert {"critic_true", "critic_drawn", "generator", "staleness"} <= line.keys()
    before, state = (
        build_architecture(load_config(file)).networks,
        checkpoint.load(tmp_path / "run" / "adversarial.pt")["networks"],
    )
    for name in ("generator", "critic"):
        assert any(not torch.equal(v, before[name].state_dict()[k]) for k, v in state[name].items())


LEGS = """
import sys
from pathlib import Path
from mpi4py import MPI
from fastcalo.training.config import load_config
from fastcalo.training.exchange import SingleProcess
from fastcalo.training.trainer import run_stages as train
from fastcalo.training.distributed.asynchronous.exchange import ServerExchange
world, folder = MPI.COMM_WORLD, Path(sys.argv[1])
for ranks, strategy in ((5, "downpour"), (1, "allreduce"), (2, "easgd"), (3, "gem")):
    config, part = load_config(folder / f"{strategy}.toml"), world.Split(world.rank < ranks, world.rank)
    if world.rank < ranks:
        exchange = None if ranks == 1 else ServerExchange(part, folder / "run", 60, masters=config.parallel.masters)
        train(config, folder / "run", resume=strategy != "downpour", exchange=exchange)
    world.Barrier()
    if not world.rank:
        (folder / "run" / "layers.pt").with_name(f"{strategy}.pt").write_bytes(
            (folder / "run" / "layers.pt").read_bytes()
        )
"""


def test_a_run_goes_on_under_any_strategy_with_any_number_of_ranks(data, tmp_path):
    strategies = ("downpour", "allreduce", "easgd", "gem")
    for k, strategy in enumerate(strategies):
        options = TREE if strategy == "downpour" else ""
        file = configure(tmp_path / f"{strategy}.toml", data, "layers", strategy, options, steps=20 * (k + 1))
    done = script(5, LEGS, tmp_path)
    assert done.returncode == 0, done.stderr
    found = []
    for k, strategy in enumerate(strategies):
        saved = tmp_path / "run" / f"{strategy}.pt"
        assert checkpoint.load(saved)["step"] == 20 * (k + 1)
        saved.replace(tmp_path / "layers.pt")
        found.append(likelihood(file, tmp_path, "layers"))
    assert found == sorted(found, reverse=True)
