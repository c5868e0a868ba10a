# SPDX-License-Identifier: BSD-3-Clause
"""A batch in parts: the same training, in less memory."""

from __future__ import annotations

import json
import weakref
from dataclasses import fields

import pytest
import torch
from helpers.files.shower_files import write_real
from helpers.mpi import configure, train_together, write_config
from helpers.mpi import train as train_ranks
from helpers.trainings.tiny_training import parallel_config, tiny_config, updated_stages, write_data

from fastcalo.detector.description import load_detector
from fastcalo.errors import ConfigError
from fastcalo.training.architectures.dense_gan.config import DenseNetworkConfig, DenseStageConfig
from fastcalo.training.data.showers import ShowerData
from fastcalo.training.distributed.asynchronous.messages import Pull
from fastcalo.training.distributed.asynchronous.stage import WorkerBatches
from fastcalo.training.distributed.asynchronous.worker import Worker
from fastcalo.training.run.throughput import TIMINGS
from fastcalo.training.stages import stage as stage_module
from fastcalo.training.stages.gradient_accumulation import partial_losses
from fastcalo.training.trainer import build_architecture, run_stages

SPECIES = (11, -11, 22)
STEPS = 24


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def batch(data):
    return next(ShowerData(data.train, load_detector(), ("ECAL",), SPECIES).batches(11))


# --- parts of a batch


@pytest.mark.parametrize("parts", [1, 2, 3, 11, 40])
def test_parts_are_the_batch_cut_up(batch, parts):
    cut = batch.split(parts)
    sizes = [len(part) for part in cut]
    assert len(cut) == min(parts, 11)
    assert sum(sizes) == 11
    assert max(sizes) - min(sizes) <= 1
    for part in cut:
        assert part.size == batch.size
        assert torch.equal(part.row, part.row.sort().values)
        # hits are those of its showers
        count = torch.bincount(part.row, minlength=len(part))
        assert torch.equal(count, part.layer_count.sum(1).long())
        assert torch.allclose(torch.bincount(part.row, part.deposit, len(part)).float(), part.layer_energy.sum(1))
    for name in (f.name for f in fields(batch) if f.name not in ("row", "size")):
        assert torch.equal(torch.cat([getattr(part, name) for part in cut]), getattr(batch, name)), name


# --- the same training


def dense(data):
    stage = DenseStageConfig(
        name="adversarial",
        steps=STEPS,
        batch=9,
        warmup=2,
        critic_only=20,
        penalty_every=4,
        ema=0.9,
        evaluate_every=STEPS,
    )
    return tiny_config(data, arch="3dgan", stage=(stage,), network=DenseNetworkConfig(dense_channels=2, dense_latent=4))


def hits(data):
    changes = {"steps": STEPS, "batch": 9, "critic_only": 20, "penalty_every": 4, "evaluate_every": STEPS}
    return updated_stages(tiny_config(data), **changes)


def accumulating(config, parts):
    return updated_stages(config, accumulate=parts)


def losses(run):
    """Numbers by stage and step."""
    lines = [json.loads(text) for text in (run / "metrics.jsonl").read_text().splitlines()]
    return {
        (line["stage"], line["step"]): {k: v for k, v in line.items() if isinstance(v, float) and k not in TIMINGS}
        for line in lines
        if line["kind"] == "train"
    }


def precision(stage, step):
    """How alike numbers must be.

    A likelihood does not magnify rounding. Two networks against each other do: a gradient of about zero has either
    sign, a drawn hit comes into the next cell. Two threads instead of one lead as far away.
    """
    if stage != "adversarial" or step <= 5:
        return 1e-5
    return 0.03


def assert_alike(found, expected):
    assert found.keys() == expected.keys()
    for (stage, step), numbers in expected.items():
        assert found[stage, step] == pytest.approx(numbers, rel=precision(stage, step)), (stage, step)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage_module, "LOG_EVERY", 1)
        for make in (hits, dense):
            run_stages(make(data), folder / make.__name__)
    return folder


@pytest.mark.timeout(300)
@pytest.mark.parametrize("parts", [pytest.param(2, marks=pytest.mark.slow), 3])
@pytest.mark.parametrize("make", [hits, dense])
def test_any_number_of_parts_follows_the_same_losses(data, whole, tmp_path, monkeypatch, make, parts):
    monkeypatch.setattr(stage_module, "LOG_EVERY", 1)
    run_stages(accumulating(make(data), parts), tmp_path / "run")
    expected = losses(whole / make.__name__)
    assert len(expected) == STEPS * (3 if make is hits else 1)
    assert {"generator", "gradient"} <= expected["adversarial", STEPS].keys()
    assert_alike(losses(tmp_path / "run"), expected)


@pytest.fixture(scope="module")
def parts_of_ranks(tmp_path_factory):
    """Folder with runs of one rank, and of two whose batches come in parts."""
    folder, jobs = tmp_path_factory.mktemp("ranks"), []
    write_real(folder / "a.h5", 30)
    write_real(folder / "b.h5", 30, start=500)
    for arch, stages in (("hits", "layers hits adversarial"), ("3dgan", "adversarial")):
        for ranks, parts in ((1, 1), (2, 1), (2, 2), (2, 4)):
            config = write_config(folder / f"{arch}-{ranks}-{parts}.toml", folder, stages, arch=arch, steps=STEPS)
            # ranks have 6 and 7 showers: with 4 parts, these are unlike on the ranks
            config.write_text(
                config.read_text()
                .replace("batch = 12", f"batch = 13\naccumulate = {parts}")
                .replace("critic_only = 3", "critic_only = 20")
            )
            jobs.append({"config": config, "ranks": ranks})
    train_together(folder, jobs)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.mpi
@pytest.mark.parametrize("arch", ["hits", "3dgan"])
def test_parts_of_ranks_follow_the_same_losses(parts_of_ranks, arch):
    for ranks, parts in ((2, 1), (2, 2), (2, 4)):
        assert_alike(losses(parts_of_ranks / f"{arch}-{ranks}-{parts}"), losses(parts_of_ranks / f"{arch}-1-1"))


@pytest.mark.parametrize(("make", "stage"), [(hits, 0), (hits, 1), (hits, 2), (dense, 0)])
def test_gradients_are_those_of_the_whole_batch(data, batch, make, stage):
    config = make(data)
    settings = updated_stages(config, critic_only=0, penalty_every=1).stage[stage]
    architecture = build_architecture(config)
    architecture.begin(settings.name, batch)
    parameters = architecture.trained_by(settings.name)

    def gradients(parts):
        # of 11 showers in 3 parts, parts have different shares in the mean
        found, metrics, changed = [], {}, settings.updated(accumulate=parts)
        for name, loss, first, last in partial_losses(architecture, changed, batch, 4, metrics, key=7):
            if first:
                for p in parameters[name]:
                    p.grad = None
            torch.autograd.backward(loss, inputs=parameters[name])
            if last:
                found.append(torch.cat([p.grad.reshape(-1) for p in parameters[name] if p.grad is not None]))
        return found, metrics

    (expected, numbers), (found, others) = gradients(1), gradients(3)
    assert others == pytest.approx(numbers, rel=1e-4)
    assert len(found) == len(expected) == (1 if settings.name in ("layers", "hits") else 3 if make is dense else 2)
    for f, e in zip(found, expected, strict=True):
        assert torch.linalg.vector_norm(f - e) <= 1e-4 * torch.linalg.vector_norm(e)


# --- workers of an asynchronous training


@pytest.mark.parametrize("make", [hits, dense])
@pytest.mark.parametrize("strategy", ["downpour", "easgd", "gem"])
def test_a_workers_message_is_the_same_in_any_number_of_parts(data, make, strategy):
    config, parallel = make(data), parallel_config(strategy, push_every=2)
    settings = config.stage[0]

    def message(parts):
        showers = ShowerData(data.train, load_detector(), ("ECAL",), SPECIES)
        changed = settings.updated(accumulate=parts)
        batches = WorkerBatches(build_architecture(config), changed, showers, 1, 0, 0, 2)
        worker = Worker(0, 2, batches, changed, parallel)
        return worker.round(Pull(0, 2, 0, worker.flat.values_N.clone()))

    expected, found = message(1), message(3)
    assert found.moved == expected.moved
    assert found.metrics == pytest.approx(expected.metrics, rel=1e-4)
    assert torch.linalg.vector_norm(found.rows_RN - expected.rows_RN) <= 1e-3 * torch.linalg.vector_norm(
        expected.rows_RN
    )
    assert not torch.equal(found.rows_RN, expected.rows_RN)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.mpi
def test_asynchronous_ranks_train_with_batches_in_parts(tmp_path):
    write_real(tmp_path / "a.h5", 30)
    write_real(tmp_path / "b.h5", 30, start=500)
    config = configure(tmp_path / "run.toml", tmp_path, "layers", "easgd", steps=STEPS)
    config.write_text(config.read_text().replace("batch = 12", "batch = 12\naccumulate = 3"))
    done = train_ranks(3, config, tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert losses(tmp_path / "run")["layers", STEPS]["gradient"] > 0


# --- in less memory


class Kept:
    """Most bytes of tensors that graphs have kept at a time, but for the parameters."""

    def __init__(self, networks):
        self.now = self.most = 0
        self._known = {}
        self._parameters = {p.untyped_storage().data_ptr() for p in networks.parameters()}

    def pack(self, tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() in self._parameters:
            return Holder(tensor)
        if storage.data_ptr() not in self._known:
            size = storage.nbytes()
            self._known[storage.data_ptr()] = size
            self.now += size
            self.most = max(self.most, self.now)
        holder = Holder(tensor)
        weakref.finalize(holder, self._gone, storage.data_ptr())
        return holder

    def _gone(self, pointer):
        self.now -= self._known.pop(pointer, 0)


class Holder:
    def __init__(self, tensor):
        self.tensor = tensor


@pytest.mark.parametrize(("make", "stage"), [(hits, 0), (hits, 1), (hits, 2), (dense, 0)])
def test_graphs_of_one_part_are_kept_at_a_time(data, make, stage):
    config = make(data)
    batch = next(ShowerData(data.train, load_detector(), ("ECAL",), SPECIES).batches(40))
    settings = updated_stages(config, critic_only=0, penalty_every=1).stage[stage]
    architecture = build_architecture(config)
    architecture.begin(settings.name, batch)
    parameters = architecture.trained_by(settings.name)
    most = {}
    for parts in (1, 4):
        kept = Kept(architecture.networks)
        with torch.autograd.graph.saved_tensors_hooks(kept.pack, lambda holder: holder.tensor):
            for name, loss, *_ in partial_losses(architecture, settings.updated(accumulate=parts), batch, 4, {}, key=7):
                torch.autograd.backward(loss, inputs=parameters[name])
        most[parts] = kept.most
    # a quarter, and what is common to all parts
    assert most[4] < 0.4 * most[1]


# --- what makes no sense


def test_more_parts_than_showers_are_refused(data):
    stage = hits(data).stage[0]
    with pytest.raises(ConfigError, match=r"here: accumulate: must be at most batch = 9, but is 10"):
        stage.updated("here", accumulate=10)
    with pytest.raises(ConfigError, match=r"here: accumulate: must be at least 1, but is 0"):
        stage.updated("here", accumulate=0)
