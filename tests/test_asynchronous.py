"""Asynchronous training over real MPI ranks: the same as the simulator's, message by message, and as robust as any."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
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
from fastcalo.training.draws import Draws
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
config, settings = ParallelConfig(told["strategy"], push_every=2), stage(told["strategy"], told["steps"])
exchange = Masters(MPI.COMM_WORLD, Path(told["run"]), 60, told["order"])
centre, stale = make_centre(config, exchange.workers, settings), []
if exchange.rank:
    worker = make_workers(config, exchange.workers, settings)[exchange.rank - 1]
    pull = centre.first(worker.number)
    while pull.steps:
        pull = exchange.push(worker.round(pull))
else:
    exchange.expect(centre.busy)
    while centre.busy:
        push = exchange.receive(centre.rows, len(centre.flat.values_N))
        exchange.reply(push.worker, centre.serve(push))
        stale.append(centre.staleness)
    print(json.dumps([centre.flat.values_N.tolist(), stale]))
"""


@pytest.mark.parametrize("ranks", [pytest.param(2, marks=pytest.mark.slow), 3, 4])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_convex_problem_is_the_simulators_to_the_bit(tmp_path, strategy, ranks):
    order = order_of([1.0, 1.7, 4.2][: ranks - 1], 20)
    config, settings = ParallelConfig(strategy, push_every=2), stage(strategy, 60)
    centre, stale, whole = make_centre(config, ranks - 1, settings), [], []
    workers = make_workers(config, ranks - 1, settings)

    def served(push):
        stale.append(centre.staleness)
        whole.append(push.worker)

    simulate(centre, workers, order, served)
    done = script(ranks, TOY, json.dumps({"strategy": strategy, "steps": 60, "run": str(tmp_path), "order": whole}))
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
    order = [0, 0, 1, 0] * 6 if ranks == 3 else [2, 0, 0, 1, 2, 1, 2, 0]
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


# training


def likelihood(file: Path, run: Path | None, name: str) -> float:
    """Loss of a likelihood stage on all showers, before the training or after it."""
    config = load_config(file)
    networks = build(config)
    if run:
        for network, values in checkpoint.load(run / f"{name}.pt")["networks"].items():
            networks.networks[network].load_state_dict(values)
    batch = ShowerData(config.data.train, load_detector(), "ECAL", config.species).sample(120)
    settings = next(s for s in config.stage if s.name == name)
    with torch.no_grad():
        _, loss = next(networks.losses(settings, batch, settings.steps, {}, Draws(1, batch.slot)))
    return loss.item()


@pytest.mark.parametrize("ranks", [pytest.param(2, marks=pytest.mark.slow), 3, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_all_stages_run_and_the_likelihood_grows(data, tmp_path, strategy, ranks):
    options = "push_every = 3" if ranks == 3 else ""
    rate = 0.2 if strategy == "gem" else None
    file = configure(tmp_path / "run.toml", data, "layers hits adversarial", strategy, options, rate, steps=110)
    run = tmp_path / "run"
    done = train(ranks, file, run)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Done:") == 1
    for name, part in (("layers", 0.85), ("hits", 0.98)):
        assert likelihood(file, run, name) < part * likelihood(file, None, name), name
    lines = [line for line in read_metrics(run) if line["kind"] == "train"]
    assert [line["stage"] for line in lines if line["step"] == 110] == ["layers", "hits", "adversarial"]
    # of W workers, W - 1 messages come between two of the same one in the mean, and in a line's some more or less
    for line in lines:
        assert 0 <= line["staleness"] <= ranks - 1
        assert line["staleness"] <= line["staleness_max"]
        assert line["showers_per_second"] > 0
    assert max(line["staleness_max"] for line in lines) >= ranks - 2
    if ranks == 2:
        assert all(line["staleness_max"] == 0 for line in lines)
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
    before, state = build(load_config(file)).networks, checkpoint.load(tmp_path / "run" / "adversarial.pt")["networks"]
    for name in ("generator", "critic"):
        assert any(not torch.equal(v, before[name].state_dict()[k]) for k, v in state[name].items())


@pytest.mark.parametrize(("number", "rank"), [(signal.SIGTERM, 0), (signal.SIGUSR1, 2)])
def test_a_signal_to_one_rank_saves_and_ends_all_and_another_number_goes_on(data, tmp_path, number, rank):
    file = configure(tmp_path / "run.toml", data, "hits", "easgd", "push_every = 3", steps=5000, checkpoint=100_000)
    run = tmp_path / "run"
    process = subprocess.Popen(command(3, file, run), stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    until((run / "metrics.jsonl").exists)
    os.kill(pid(run, rank), number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "go on with --resume" in errors
    assert "Traceback" not in errors
    step = checkpoint.load(run / "hits.pt")["step"]
    assert 50 <= step < 5000
    longer = configure(tmp_path / "longer.toml", data, "hits", "easgd", steps=step + 20)
    done = train(2, longer, run, "--resume")
    assert done.returncode == 0, done.stderr
    assert checkpoint.load(run / "hits.pt")["step"] == step + 20


def test_a_run_goes_on_under_any_strategy_with_any_number_of_ranks(data, tmp_path):
    run, norms = tmp_path / "run", []
    legs = [(3, "downpour"), (0, "allreduce"), (2, "easgd")]
    for steps, (ranks, strategy) in zip((20, 40, 60), legs, strict=True):
        file = configure(tmp_path / f"{strategy}.toml", data, "layers", strategy, steps=steps)
        done = train(ranks, file, run, *(["--resume"] if norms else []))
        assert done.returncode == 0, done.stderr
        assert checkpoint.load(run / "layers.pt")["step"] == steps
        norms.append(likelihood(file, run, "layers"))
    assert norms == sorted(norms, reverse=True)


def test_a_killed_worker_ends_the_job_and_the_last_checkpoint_is_kept(data, tmp_path):
    file = configure(tmp_path / "run.toml", data, "hits", "downpour", steps=100_000, checkpoint=20)
    run = tmp_path / "run"
    process = subprocess.Popen(command(3, file, run), stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    until((run / "hits.pt").exists)
    os.kill(pid(run, 2), signal.SIGKILL)
    began = time.monotonic()
    process.communicate(timeout=60)
    assert time.monotonic() - began < 60
    assert process.returncode != 0
    assert checkpoint.load(run / "hits.pt")["step"] >= 20


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 2])
def test_a_rank_that_hangs_is_named(data, tmp_path, rank):
    file = configure(tmp_path / "run.toml", data, "hits", "downpour", steps=1_000_000, patience=15)
    run = tmp_path / "run"
    process = subprocess.Popen(command(3, file, run), stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    until((run / "metrics.jsonl").exists)
    stopped = pid(run, rank)
    os.kill(stopped, signal.SIGSTOP)
    try:
        _, errors = process.communicate(timeout=90)
    finally:
        os.kill(stopped, signal.SIGKILL)
    assert process.returncode != 0
    assert f"no sign of life from rank {rank} (process {stopped} on " in errors
    assert "--resume" in errors


# bad input


def test_an_order_that_names_a_worker_without_steps_is_refused(data, tmp_path):
    file = configure(tmp_path / "run.toml", data, "layers", "easgd", steps=4)
    done = script(3, TRAIN, file, tmp_path / "run", "[0, 0, 0, 0]")
    assert done.returncode != 0
    assert "the order names worker 0, but only [1] have steps to make" in done.stderr


def test_one_process_is_not_enough(data, tmp_path):
    file = configure(tmp_path / "run.toml", data, "hits", "downpour")
    done = train(0, file, tmp_path / "run")
    assert done.returncode == 1
    assert f"{file}: parallel.strategy = 'downpour' needs a master and at least one worker" in done.stderr
    assert "mpiexec -n" in done.stderr
    assert not (tmp_path / "run").exists()


def test_too_few_showers_for_all_workers(data, tmp_path):
    file = configure(tmp_path / "run.toml", data, "hits", "gem")
    file.write_text(file.read_text().replace("batch = 12", "batch = 50"))
    done = train(4, file, tmp_path / "run")
    assert done.returncode != 0
    assert "stage 'hits': batches of 50 showers for 3 workers take 150, but there are only 120" in done.stderr
