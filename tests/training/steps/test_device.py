# SPDX-License-Identifier: BSD-3-Clause
"""Training on a device of its own: nothing of it is computed elsewhere, and what ranks share."""

import json
import shutil

import pytest
import torch
from helpers.trainings.fake_device import AWAY, Away, Elsewhere, MixedError
from helpers.trainings.tiny_training import STAGES, STEPS, parallel_config, tiny_config, updated_stages, write_data
from hypothesis import given
from hypothesis import strategies as st

from fastcalo.detector.description import load_detector
from fastcalo.errors import ConfigError
from fastcalo.training.architectures.dense_gan.config import DenseNetworkConfig, DenseStageConfig
from fastcalo.training.data.showers import ShowerData
from fastcalo.training.distributed.asynchronous.messages import Pull
from fastcalo.training.distributed.asynchronous.stage import WorkerBatches
from fastcalo.training.distributed.asynchronous.worker import Worker
from fastcalo.training.exchange import SingleProcess
from fastcalo.training.run import checkpoint, device
from fastcalo.training.run.device import assign_gpu, choose_device, local_rank
from fastcalo.training.run.throughput import TIMINGS
from fastcalo.training.trainer import build_architecture, load_run
from fastcalo.training.trainer import run_stages as train


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


def dense_config(data):
    stage = DenseStageConfig(
        name="adversarial",
        steps=3,
        batch=4,
        warmup=2,
        critic_only=1,
        penalty_every=2,
        ema=0.9,
        evaluate_every=3,
        checkpoint_every=3,
    )
    return tiny_config(data, arch="3dgan", stage=(stage,), network=DenseNetworkConfig(dense_channels=2, dense_latent=4))


def hits_config(data):
    return updated_stages(tiny_config(data), steps=3, evaluate_every=3, critic_only=1, warmup=1)


def accumulating(config):
    return updated_stages(config, accumulate=3)


def assert_same(one, other):
    """Compare the numbers of two runs, but for times and rounding: elsewhere torch may choose other kernels."""
    lines, others = ([json.loads(text) for text in (run / "metrics.jsonl").read_text().splitlines()]
                     for run in (one, other))  # fmt: skip
    assert len(lines) == len(others)
    for line, theirs in zip(lines, others, strict=True):
        assert line.keys() == theirs.keys()
        for name in line.keys() - set(TIMINGS):
            # where hits are drawn, rounding now and then moves one into the next cell
            precision = 0.03 if line["stage"] == "adversarial" else 1e-3
            close = (
                pytest.approx(theirs[name], rel=precision, abs=1e-5) if isinstance(line[name], float) else theirs[name]
            )
            assert line[name] == close, (line["stage"], line["step"], name)


def tensors_of(state):
    if isinstance(state, torch.Tensor):
        yield state
    elif isinstance(state, dict | list):
        for value in state.values() if isinstance(state, dict) else state:
            yield from tensors_of(value)


# --- no tensor of the CPU meets one of the device


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("change", [lambda c: c, accumulating], ids=["whole", "parts"])
@pytest.mark.parametrize("make", [hits_config, dense_config], ids=["hits", "3dgan"])
def test_all_that_is_computed_is_computed_on_the_device(data, tmp_path, make, change):
    config = change(make(data))
    train(config, tmp_path / "here")
    with Elsewhere():
        train(config, tmp_path / "away", device=AWAY)
    assert_same(tmp_path / "away", tmp_path / "here")
    # checkpoints are of the CPU, to be read anywhere
    for path in (tmp_path / "away").glob("*.pt"):
        tensors = list(tensors_of(torch.load(path, weights_only=True)))
        assert len(tensors) > 10
        assert all(type(t) is torch.Tensor and t.device.type == "cpu" for t in tensors)
    load_run(tmp_path / "away")


@pytest.mark.filterwarnings("ignore:for .*copying from a non-meta parameter")
@pytest.mark.parametrize(("first", "then"), [("here", "away"), ("away", "here")])
def test_a_training_goes_on_on_another_device(data, tmp_path, first, then):
    config = tiny_config(data)
    config = config.updated(stage=(config.stage[0].updated(evaluate_every=3),))
    half = config.updated(stage=(config.stage[0].updated(steps=3),))
    devices = {"here": torch.device("cpu"), "away": AWAY}
    with Elsewhere():
        train(half, tmp_path / "run", device=devices[first])
        shutil.copytree(tmp_path / "run", tmp_path / "same")
        train(config, tmp_path / "run", resume=True, device=devices[then])
        train(config, tmp_path / "same", resume=True, device=devices[first])
    assert_same(tmp_path / "run", tmp_path / "same")
    assert checkpoint.load(tmp_path / "run" / "layers.pt")["step"] == STEPS


def test_networks_are_moved_as_a_whole(data):
    networks = build_architecture(tiny_config(data))
    with Elsewhere():
        networks.networks.to(AWAY)
    assert set(networks.networks) == {*STAGES[:2], "critic"}
    tensors = [*networks.networks.parameters(), *networks.networks.buffers()]
    assert all(isinstance(t.data, Away) for t in tensors)


def test_the_pretence_would_show_what_is_mixed_up():
    with Elsewhere():
        away, here = torch.arange(3, device=AWAY), torch.arange(3)
        for mixed in (lambda: away + here, lambda: here[away], lambda: torch.where(away > 0, away, here)):
            with pytest.raises(MixedError):
                mixed()
        assert (away + torch.tensor(1)).cpu().tolist() == [1, 2, 3]
        assert (away.cpu() + here).tolist() == [0, 2, 4]


# --- which device


class Gpus:
    """As many GPUs as torch would see; none is used."""

    def __init__(self, monkeypatch, *names):
        self.used = []
        monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(names))
        monkeypatch.setattr(torch.cuda, "set_device", self.used.append)
        monkeypatch.setattr(device, "visible_gpus", lambda: names)


class Node(SingleProcess):
    """One of several ranks of a node, which all see the same."""

    def __init__(self, rank, size, masters=0):
        self.rank, self.size, self.masters = rank, size, masters
        self.computes = rank >= masters

    def on_node(self, fact):
        return self.rank, [""] * self.masters + [fact] * (self.size - self.masters)


@pytest.mark.parametrize("wanted", ["auto", "cpu"])
def test_without_a_gpu_training_is_on_the_cpu(data, monkeypatch, wanted):
    Gpus(monkeypatch)
    assert choose_device(tiny_config(data, device=wanted), SingleProcess(), "x") == torch.device("cpu")


def test_asking_for_cuda_without_it_states_what_to_do(data, monkeypatch, tmp_path):
    Gpus(monkeypatch)
    with pytest.raises(
        ConfigError, match=r"my\.toml: device = 'cuda', but torch .* Install .*nvidia-smi.*'auto' or 'cpu'"
    ):
        train(tiny_config(data, device="cuda"), tmp_path / "run", where="my.toml")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("wanted", ["auto", "cuda"])
def test_gpus_are_the_workers_and_masters_are_on_the_cpu(data, monkeypatch, caplog, wanted):
    config = tiny_config(data, parallel=parallel_config("easgd"), device=wanted)
    gpus = Gpus(monkeypatch, "a", "b")
    assert choose_device(config, Node(0, 3, masters=1), "x") == torch.device("cpu")
    assert not gpus.used
    assert [choose_device(config, Node(rank, 3, masters=1), "x").index for rank in (1, 2)] == [0, 1]
    assert not caplog.records


def test_a_worker_without_the_gpu_that_is_asked_for_is_an_error(data, monkeypatch):
    config = tiny_config(data, parallel=parallel_config("easgd"), device="cuda")
    Gpus(monkeypatch)
    assert choose_device(config, Node(0, 2, masters=1), "x") == torch.device("cpu")
    with pytest.raises(ConfigError, match=r"device = 'cuda', but torch"):
        choose_device(config, Node(1, 2, masters=1), "x")


# --- workers of an asynchronous training


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "make"),
    [("downpour", hits_config), ("downpour", dense_config), ("easgd", hits_config), ("gem", hits_config)],
)
def test_a_worker_computes_on_its_device_and_its_messages_are_of_the_cpu(data, strategy, make):
    config = accumulating(make(data))
    stage, parallel = config.stage[0], parallel_config(strategy, push_every=2)

    def messages(on):
        showers = ShowerData(data.train, load_detector(), ("ECAL",), config.species)
        networks = build_architecture(config)
        networks.networks.to(on)
        batches = WorkerBatches(networks, stage, showers, 1, 0, 0, 2, on)
        worker = Worker(0, 2, batches, stage, parallel)
        assert worker.flat.values_N.device == torch.device(on)
        first = worker.round(Pull(0, 2, 0, worker.flat.values_N.clone().cpu()))
        # go on from the state, as after an interruption
        values_N = worker.flat.values_N.clone().cpu()
        state = worker.state(Pull(2, 1, 1, values_N))
        assert all(type(t) is torch.Tensor for t in tensors_of(state))
        return first, worker.round(worker.load_state(state, Pull(2, 1, 1, values_N)))

    here = messages("cpu")
    with Elsewhere():
        away = messages(AWAY)
    for found, expected in zip(away, here, strict=True):
        assert type(found.rows_RN) is torch.Tensor
        assert found.moved == expected.moved
        assert found.metrics == pytest.approx(expected.metrics, rel=0.03)
        assert found.rows_RN.shape == expected.rows_RN.shape
        # the pretence does not see that a parameter was made a view of another tensor: of the messages, only
        # gradients can be compared
        if strategy == "downpour":
            assert torch.allclose(found.rows_RN, expected.rows_RN, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("wanted", ["auto", "cuda"])
def test_each_rank_has_a_gpu_and_too_many_share_them(data, monkeypatch, caplog, wanted):
    gpus = Gpus(monkeypatch, "a", "b")
    config = tiny_config(data, device=wanted)
    chosen = [choose_device(config, Node(rank, 2), "x").index for rank in range(2)]
    assert chosen == [0, 1]
    assert not caplog.records
    chosen = [choose_device(config, Node(rank, 5), "x").index for rank in range(5)]
    assert chosen == [0, 1, 0, 1, 0]
    assert [d.index for d in gpus.used] == [0, 1, *chosen]
    assert "3 ranks of this node share GPU 0" in caplog.text
    assert "2 ranks of this node share GPU 1" in caplog.text
    assert choose_device(config.updated(device="cpu"), Node(0, 2), "x") == torch.device("cpu")


def test_alone_the_launcher_gives_the_place_on_the_node(data, monkeypatch):
    Gpus(monkeypatch, "a", "b", "c")
    for name in device._LOCAL_RANKS:
        monkeypatch.delenv(name, raising=False)
    assert local_rank() == 0
    monkeypatch.setenv("SLURM_LOCALID", "4")
    assert choose_device(tiny_config(data), SingleProcess(), "x").index == 1


GPUS = st.lists(st.sampled_from("abcd"), min_size=1, max_size=4, unique=True).map(lambda own: tuple(sorted(own)))


@given(st.lists(GPUS, min_size=1, max_size=9))
def test_ranks_are_spread_over_the_gpus_that_they_see(seen):
    places = [assign_gpu(seen, rank) for rank in range(len(seen))]
    names = [own[index] for own, (index, _) in zip(seen, places, strict=True)]
    assert [names.count(name) for name in names] == [sharing for _, sharing in places]
    if len(set(seen)) == 1:
        counts = [names.count(name) for name in seen[0]]
        assert max(counts) - min(counts) <= 1


def test_a_rank_that_sees_its_own_gpu_only_has_that():
    assert [assign_gpu([("a",), ("b",), ("c",)], rank) for rank in range(3)] == [(0, 1)] * 3


def test_the_device_may_change_when_a_run_goes_on(data, tmp_path):
    config = tiny_config(data).updated(stage=tiny_config(data).stage[:1])
    train(config.updated(device="cpu"), tmp_path / "run")

    train(config.updated(device="auto"), tmp_path / "run", resume=True)
