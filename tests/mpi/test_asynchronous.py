# SPDX-License-Identifier: BSD-3-Clause
"""Asynchronous training over real MPI ranks: the same as the simulator's, message by message; and it learns."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from helpers.mpi import TREE, configure, needs_mpi, script, train_together
from helpers.trainings.asynchronous_simulator import order_of, simulate
from helpers.trainings.tiny_training import parallel_config
from helpers.trainings.toy_problem import make_centre, make_masters, make_workers, stage

from fastcalo.detector.description import load_detector
from fastcalo.training.config import load_config
from fastcalo.training.data.showers import ShowerData
from fastcalo.training.distributed.asynchronous.flat_parameters import FlatParameters
from fastcalo.training.distributed.asynchronous.parameter_server import ParameterServer
from fastcalo.training.distributed.asynchronous.stage import WorkerBatches
from fastcalo.training.distributed.asynchronous.sub_server import SubServer
from fastcalo.training.distributed.asynchronous.topology import Topology
from fastcalo.training.distributed.asynchronous.worker import Worker
from fastcalo.training.random_numbers import ShowerRandom, combine_seeds
from fastcalo.training.run import checkpoint
from fastcalo.training.run.curves import read_metrics
from fastcalo.training.stages.optimisers import make_optimiser
from fastcalo.training.trainer import build_architecture

STRATEGIES = ("downpour", "easgd", "gem")
STEPS = {"layers": 60, "hits": 60, "adversarial": 12}

pytestmark = needs_mpi


# the same as the simulator

TREES = ((2, 1), (3, 1), (4, 1), (6, 2))
"""Numbers of ranks and of masters."""

TOY = """
import sys, json, time, torch
from pathlib import Path
from mpi4py import MPI
from helpers.trainings.toy_problem import make_centre, make_masters, make_workers, stage
from fastcalo.errors import InputError
from fastcalo.training.config import STRATEGIES
from fastcalo.training.distributed.allreduce_timing import wait_for
from fastcalo.training.distributed.asynchronous.exchange import ServerExchange
torch.set_num_threads(1)

def serve(exchange, server, stale):
    exchange.expect(server.busy)
    while server.busy:
        push = exchange.receive(server.rows, len(server.flat.values_N))
        exchange.reply(push.worker, server.serve(push), server.busy)
        stale.append(server.staleness)

def play(case, run, world):
    strategy = case["parallel"]["strategy"]
    config, settings = STRATEGIES[strategy](**case["parallel"]), stage(strategy, 60)
    exchange = ServerExchange(world, run, 60, case["orders"].get(str(world.rank), ()), config.masters)
    tree = exchange.tree
    centre, stale = make_centre(config, tree.workers, settings), []
    masters = make_masters(config, tree.workers, settings, centre, exchange.push)
    if not exchange.rank:
        serve(exchange, centre, stale)
    elif exchange.rank <= tree.between:
        serve(exchange, masters[exchange.number], stale)
    else:
        worker = make_workers(config, tree.workers, settings)[exchange.number]
        server = masters[tree.master_of(worker.number)] if tree.between else centre
        pull = server.first(worker.number)
        while pull.steps:
            pull = exchange.push(worker.round(pull))
    return [centre.flat.values_N.tolist(), exchange._world.gather(stale)]

world, run, found = MPI.COMM_WORLD, Path(sys.argv[1]), []
for case in json.loads(sys.argv[2]):
    part = world.Split(0 if world.rank < case["ranks"] else MPI.UNDEFINED)
    if part:
        found.append(play(case, run, part))
    wait_for(world.Ibarrier(), 60, "a simulation")
if not world.rank:
    exchange = ServerExchange(world, run, order=[5])
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

    def note(rank, server, push):
        orders[rank].append(push.worker)
        stale[rank].append(server.staleness)

    def push_upwards(push):
        pull = centre.serve(push)
        note(0, centre, push)
        return pull

    masters = make_masters(config, tree.workers, settings, centre, push_upwards)

    def served(push):
        rank = 1 + tree.master_of(push.worker) if tree.between else 0
        note(rank, masters[rank - 1] if tree.between else centre, push)

    order = order_of([1.0, 1.7, 4.2][: tree.workers], 15)
    simulate(centre, make_workers(config, tree.workers, settings), order, served, masters)
    return centre.flat.values_N, orders, stale


@pytest.fixture(scope="module")
def toys(tmp_path_factory) -> tuple[dict[tuple[int, int, str], tuple], str]:
    """What the simulator and what ranks have found, by tree and strategy; and the error of an order that cannot be."""
    cases = [(ranks, masters, strategy) for ranks, masters in TREES for strategy in STRATEGIES]
    expected = [simulate_toy(strategy, Topology.of(ranks, masters)) for ranks, masters, strategy in cases]
    described = [
        {
            "ranks": ranks,
            "parallel": {"strategy": strategy, "push_every": 2, "masters": masters, "sync_every": 3},
            "orders": orders,
        }
        for (ranks, masters, strategy), (_, orders, _) in zip(cases, expected, strict=True)
    ]
    done = script(max(ranks for ranks, _ in TREES), TOY, tmp_path_factory.mktemp("toys"), json.dumps(described))
    assert done.returncode == 0, done.stderr
    *found, refused = json.loads(done.stdout)
    return dict(zip(cases, zip(expected, found, strict=True), strict=True)), refused


@pytest.mark.parametrize(("ranks", "masters"), TREES)
def test_a_convex_problem_is_the_simulators_to_the_bit(toys, ranks, masters):
    tree = Topology.of(ranks, masters)
    for strategy in STRATEGIES:
        (values, _, stale), (theirs, measured) = toys[0][ranks, masters, strategy]
        assert torch.equal(torch.tensor(theirs), values)
        assert measured[: 1 + tree.between] == list(stale.values())


def test_an_order_that_cannot_be_is_refused(toys):
    assert toys[1] == "the order names worker 5, but only [0, 1] have steps to make"


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

    def push_upwards(push):
        orders[0].append(push.worker)
        return centre.serve(push)

    def served(push):
        orders[1 + tree.master_of(push.worker) if tree.between else 0].append(push.worker)

    masters = [
        SubServer(m, *held()[1:], tree.workers, settings, parallel, centre.first(m), push_upwards)
        for m in range(tree.between)
    ]
    simulate(centre, played, order, served, masters)
    return networks["hits"].state_dict(), orders


HITS = {
    (3, 1): (1, [0, 0, 1, 0] * 6),
    (4, 1): (3, [2, 0, 0, 1, 2, 1, 2, 0]),
    (6, 2): (1, [2, 0, 0, 1, 2, 2, 0, 2, 2]),
}
"""For numbers of ranks and of masters: steps between messages, and the order of messages of workers."""


@pytest.fixture(scope="module")
def stages(data, tmp_path_factory) -> dict[tuple[int, int, str], tuple[Path, dict[str, torch.Tensor]]]:
    """For each tree and strategy the folder of a run, and the simulator's parameters."""
    folder, jobs, expected = tmp_path_factory.mktemp("stages"), [], {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for (ranks, masters), (push_every, order) in HITS.items():
            options = f"push_every = {push_every}\nmasters = {masters}\nsync_every = 2"
            for strategy in STRATEGIES:
                file = configure(folder / f"{strategy}{ranks}.toml", data, "hits", strategy, options, steps=24)
                file.write_text(file.read_text().replace("ema = 0.9", "ema = 0.0"))
                values, orders = simulate_hits(load_config(file), Topology.of(ranks, masters), order)
                expected[ranks, masters, strategy] = file.with_suffix(""), values
                jobs.append({"config": file, "ranks": ranks, "order": orders})
    finally:
        torch.set_num_threads(threads)
    train_together(folder, jobs)
    return expected


@pytest.mark.parametrize(("ranks", "masters"), HITS)
def test_a_stage_is_the_simulators_to_the_bit(stages, ranks, masters):
    for strategy in STRATEGIES:
        run, values = stages[ranks, masters, strategy]
        found = checkpoint.load(run / "hits.pt")["networks"]["hits"]
        assert found.keys() == values.keys()
        assert all(torch.equal(value, values[name]) for name, value in found.items()), strategy


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


STAGES = {3: ("layers hits adversarial", "push_every = 3"), 4: ("layers hits", "")}
"""Stages and options, by number of ranks."""

RESUMED = (("downpour", 5), ("allreduce", 1), ("easgd", 2), ("gem", 3))
"""Strategies under which one run goes on, and numbers of ranks."""


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory) -> Path:
    """Folder with all trainings of the tests below."""
    folder, jobs = tmp_path_factory.mktemp("runs"), []
    for ranks, (stages, options) in STAGES.items():
        for s in STRATEGIES:
            rate = 0.2 if s == "gem" else None
            file = configure(folder / f"{s}{ranks}.toml", data, stages, s, options, rate, steps=STEPS)
            jobs.append({"config": file, "ranks": ranks})
    for s in STRATEGIES:
        file = configure(folder / f"{s}-dense.toml", data, "adversarial", s, arch="3dgan", steps=8)
        jobs.append({"config": file, "ranks": 3})
    for k, (s, ranks) in enumerate(RESUMED):
        options = TREE if s == "downpour" else ""
        file = configure(folder / f"resumed{k}.toml", data, "layers", s, options, steps=20 * (k + 1))
        jobs.append({"config": file, "ranks": ranks, "begin_with": folder / f"resumed{k - 1}" if k else None})
    train_together(folder, jobs)
    return folder


@pytest.mark.parametrize("ranks", STAGES)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_all_stages_run_and_the_likelihood_grows(runs, strategy, ranks):
    file, run = runs / f"{strategy}{ranks}.toml", runs / f"{strategy}{ranks}"
    for name, part in (("layers", 0.9), ("hits", 0.98)):
        assert likelihood(file, run, name) < part * likelihood(file, None, name), name
    lines = [line for line in read_metrics(run) if line["kind"] == "train"]
    names = STAGES[ranks][0].split()
    assert [line["stage"] for line in lines if line["step"] == STEPS[line["stage"]]] == names
    for line in lines:
        assert 0 <= line["staleness"] <= line["staleness_max"]
        assert line["showers_per_second"] > 0
        assert "staleness_top" not in line
    # of W workers, at most W - 1 messages come between two of the same one in the mean over a stage
    for name in names:
        steps, means = zip(*((line["step"], line["staleness"]) for line in lines if line["stage"] == name), strict=True)
        parts = [after - before for before, after in pairwise((0, *steps))]
        assert sum(part * mean for part, mean in zip(parts, means, strict=True)) / steps[-1] <= ranks - 1
    assert max(line["staleness_max"] for line in lines) >= ranks - 2
    if ranks == 3:
        # the critic goes on alone for the first steps
        assert {"critic", "generator", "gradient"} <= lines[-1].keys()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_dense_architecture_trains_too(runs, strategy):
    file, run = runs / f"{strategy}-dense.toml", runs / f"{strategy}-dense"
    line = read_metrics(run)[0]
    assert {"critic_true", "critic_drawn", "generator", "staleness"} <= line.keys()
    before, state = build_architecture(load_config(file)).networks, checkpoint.load(run / "adversarial.pt")["networks"]
    for name in ("generator", "critic"):
        assert any(not torch.equal(v, before[name].state_dict()[k]) for k, v in state[name].items())


def test_a_run_goes_on_under_any_strategy_with_any_number_of_ranks(runs):
    found = []
    for k in range(len(RESUMED)):
        run = runs / f"resumed{k}"
        assert checkpoint.load(run / "layers.pt")["step"] == 20 * (k + 1)
        found.append(likelihood(run.with_suffix(".toml"), run, "layers"))
    assert found == sorted(found, reverse=True)
