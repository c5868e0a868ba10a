# SPDX-License-Identifier: BSD-3-Clause
"""Gradients of 16 bits: nothing is lost for good, all ranks get the same, and half is sent; over MPI and over torch."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.fork_server import forked_python
from helpers.mpi import ENVIRONMENT, MPIEXEC, losses, train, train_together, write_config
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from fastcalo.errors import ConfigError
from fastcalo.training.config import load_config
from fastcalo.training.distributed.synchronous.buckets import Bucket
from fastcalo.training.distributed.synchronous.compression import Compressor
from fastcalo.training.distributed.synchronous.gpu_aware import survives
from fastcalo.training.distributed.synchronous.mpi_transport import RequestSequences
from fastcalo.training.run.throughput import TIMINGS

KINDS = ("fp16", "bf16")


class LocalRanks:
    """Ranks in one process, whose messages are carried in turn."""

    def __init__(self, size: int) -> None:
        self.wires = [LocalTransport(self, rank, size) for rank in range(size)]
        self.steps = []
        self.sent = 0

    def go(self) -> None:
        """Until all are done, carry what they send, one message of each at a time."""
        while messages := [message for step in self.steps if (message := next(step, None))]:
            for rank, (kind, _, got) in enumerate(messages):
                for other, (_, out, _) in enumerate(messages):
                    row = out[rank] if kind == "scatter" else out
                    got[other] = row
                    self.sent += row.numel() * (other != rank)
        self.steps = []


class LocalTransport:
    def __init__(self, local: LocalRanks, rank: int, size: int) -> None:
        self.local, self.rank, self.size = local, rank, size

    def scatter(self, out, got):
        return "scatter", out, got

    def gather(self, row, got):
        return "gather", row, got

    def run(self, steps):
        self.local.steps.append(steps)


def filled(bucket: Bucket, gradients: list[torch.Tensor | None]) -> torch.Tensor:
    """Put gradients into a bucket; returns their sum, 0 where there are none."""
    for place, gradient in enumerate(gradients):
        bucket.parameters[place].grad = gradient
    bucket.open()
    bucket.close()
    return bucket.flat[: bucket.numbers].double()


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    ranks=st.integers(1, 5),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    # of float32, and of what one bucket holds beside each other
    powers=st.lists(st.integers(-37, 34), min_size=1, max_size=3),
    absent=st.sampled_from([0.0, 0.3, 1.0]),
    kind=st.sampled_from(KINDS),
)
@example(seed=0, ranks=2, sizes=[3], powers=[-44], absent=0.0, kind="fp16")
def test_what_was_sent_and_what_is_left_are_all_gradients(seed, ranks, sizes, powers, absent, kind):
    rng, local = np.random.default_rng(seed), LocalRanks(ranks)
    buckets = [Bucket([nn.Parameter(torch.zeros(size)) for size in sizes]) for _ in range(ranks)]
    compressors = [Compressor(wire, kind) for wire in local.wires]
    total, applied, largest = 0.0, 0.0, 0.0
    for step in range(4):
        there = rng.random((ranks, len(sizes))) >= absent
        for rank, (bucket, compressor) in enumerate(zip(buckets, compressors, strict=True)):
            gradients = [
                torch.tensor(rng.normal(size=size) * 10.0 ** powers[(step + k) % len(powers)], dtype=torch.float32)
                if there[rank, k]
                else None
                for k, size in enumerate(sizes)
            ]
            mine = filled(bucket, gradients)
            total = total + mine
            largest = max(largest, float(mine.abs().max()))
            compressor.sum(bucket)
        local.go()
        for bucket in buckets:
            assert torch.equal(bucket.flat, buckets[0].flat)
            bucket.take()
            # a parameter has a gradient if it has one on any rank
            assert [p.grad is not None for p in bucket.parameters] == there.any(0).tolist()
        applied = applied + torch.cat(
            [(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in buckets[0].parameters]
        )
    left = sum(c.residual(b).double() for c, b in zip(compressors, buckets, strict=True))
    assert torch.allclose(applied.double() + left, total, rtol=0, atol=1e-5 * largest + 1e-44)
    # and little is left: the error of one rounding on each rank and one of the sum
    bits = 10 if kind == "fp16" else 7
    assert float(left.abs().max()) <= 4 * ranks * largest * 2.0**-bits * (1 + (absent > 0) * 2.0**bits) + 1e-44


@pytest.mark.parametrize("kind", KINDS)
def test_feedback_brings_in_what_rounding_alone_would_never_send(kind):
    """A gradient that is small beside a large one of the other rank: rounded by itself, it would be lost each time."""
    local = LocalRanks(2)
    buckets = [Bucket([nn.Parameter(torch.zeros(2))]) for _ in range(2)]
    compressors = [Compressor(wire, kind) for wire in local.wires]
    small, sums = 3e-5, torch.zeros(2, dtype=torch.float64)
    for _ in range(2000):
        for bucket, compressor, value in zip(buckets, compressors, (1.0, small), strict=True):
            filled(bucket, [torch.full((2,), value)])
            compressor.sum(bucket)
        local.go()
        sums += buckets[0].flat[:2]
    assert sums.tolist() == pytest.approx([2000 * (1 + small)] * 2, abs=0.02)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ranks", [2, 3, 8])
def test_half_is_sent(kind, ranks):
    local, numbers = LocalRanks(ranks), 60_000
    for wire in local.wires:
        bucket = Bucket([nn.Parameter(torch.zeros(numbers // 4)) for _ in range(4)])
        filled(bucket, [torch.ones(numbers // 4)] * 4)
        Compressor(wire, kind).sum(bucket)
    local.go()
    whole = 2 * (ranks - 1) * 4 * numbers
    assert 0.5 * whole <= local.sent < 0.505 * whole


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_gradient_that_is_not_finite_is_seen_by_all(value):
    local = LocalRanks(2)
    buckets = [Bucket([nn.Parameter(torch.zeros(5))]) for _ in range(2)]
    for rank, (bucket, wire) in enumerate(zip(buckets, local.wires, strict=True)):
        filled(bucket, [torch.tensor([1.0, value, 1.0, 1.0, 1.0]) if rank else torch.ones(5)])
        Compressor(wire, "fp16").sum(bucket)
    local.go()
    assert not any(torch.isfinite(bucket.flat[1]) for bucket in buckets)


class Message:
    def __init__(self) -> None:
        self.there = False

    def Test(self) -> bool:
        return self.there


def test_no_sequence_of_messages_overtakes_another():
    """The second sequence's message arrives first; what it sends next still leaves after the first one's."""
    sent, messages = [], {name: Message() for name in "abAB"}

    def steps(name):
        for each in (name, name.upper()):
            sent.append(each)
            yield messages[each]

    turns = RequestSequences()
    first, second = turns.begin(steps("a")), turns.begin(steps("b"))
    messages["b"].there = True
    assert not second.Test()
    assert sent == ["a", "b"]
    messages["a"].there = True
    assert not first.Test()
    assert not second.Test()
    assert sent == ["a", "b", "A", "B"]
    messages["B"].there = True
    assert not second.Test()
    messages["A"].there = True
    assert first.Test()
    assert second.Test()


# real ranks

SCRIPT = """
import json, time
import torch
from mpi4py import MPI
from torch import nn
from fastcalo.training.distributed.synchronous.buckets import Bucket
from fastcalo.training.distributed.synchronous.compression import Compressor
from fastcalo.training.distributed.synchronous.gpu_aware import reads_gpu
from fastcalo.training.distributed.synchronous.torch_transport import TorchTransport
from fastcalo.training.distributed.synchronous.mpi_transport import MpiTransport
world, cpu = MPI.COMM_WORLD, torch.device("cpu")
found = {}
for wire in (MpiTransport(world, True), TorchTransport(world, cpu, "gloo", 60)):
    for kind in ("none", "fp16", "bf16"):
        compressor = Compressor(wire, kind) if kind != "none" else None
        torch.manual_seed(world.rank)
        buckets = [Bucket([nn.Parameter(torch.zeros(n)) for n in (5000, 3, 770)]) for _ in range(4)]
        sums, before = [], wire.sent_bytes
        for step in range(5):
            under_way = []
            for bucket in buckets:
                for k, p in enumerate(bucket.parameters):
                    p.grad = torch.randn_like(p) * 10.0 ** (k - 3)
                bucket.open()
                bucket.close()
                under_way.append(compressor.sum(bucket) if compressor else wire.sum(bucket.flat))
            while not all([message.Test() for message in under_way]):
                time.sleep(0.0001)
            sums += [bucket.flat.double().sum().item() for bucket in buckets]
        assert len(set(map(str, world.allgather(sums)))) == 1, "ranks have different sums"
        found[f"{type(wire).__name__} {kind}"] = sums, wire.sent_bytes - before
assert reads_gpu(world, cpu)
if not world.rank:
    print(json.dumps(found))
"""


@pytest.mark.mpi
@pytest.mark.parametrize("ranks", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_mpi_and_torch_carry_the_same(ranks):
    command = [str(MPIEXEC), "-n", str(ranks), *forked_python(), "-W", "error", "-c", SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    whole, size = found["MpiTransport none"]
    # float32 numbers may be added in another order
    assert found["TorchTransport none"] == [pytest.approx(whole, rel=1e-4, abs=1e-4), size]
    for kind in KINDS:
        assert found[f"MpiTransport {kind}"] == found[f"TorchTransport {kind}"]
        sums, sent = found[f"MpiTransport {kind}"]
        assert sent / size == pytest.approx(0.5, abs=0.01)
        assert sums != whole
        assert sums == pytest.approx(whole, abs=1.0)


@pytest.mark.mpi
def test_memory_that_mpi_cannot_read_ends_the_process_that_tries_only(monkeypatch):
    # as the launcher would have it
    monkeypatch.setenv("PMI_RANK", "1")
    monkeypatch.setenv("PMI_SIZE", "2")
    assert survives("cpu")
    assert not survives("meta")


def with_lines(config: Path, lines: str) -> Path:
    config.write_text(config.read_text().replace("[parallel]", f"[parallel]\n{lines}"))
    return config


@pytest.mark.mpi
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_training_converges_as_without(data, tmp_path):
    stages, jobs = "layers hits", []
    for kind in ("none", *KINDS):
        config = with_lines(write_config(tmp_path / f"{kind}.toml", data, stages), f'compression = "{kind}"')
        jobs.append({"config": config, "ranks": 2})
    train_together(tmp_path, jobs)
    found = {kind: losses(tmp_path / kind) for kind in ("none", *KINDS)}
    for stage, line in found["none"].items():
        numbers = {k: v for k, v in line.items() if isinstance(v, float) and k not in TIMINGS}
        for kind in KINDS:
            theirs = {k: found[kind][stage][k] for k in numbers}
            assert theirs == pytest.approx(numbers, rel=0.01), (stage, kind)
            # it is not the same training
            assert theirs != numbers


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('compression = "int8"', "parallel.compression: must be one of 'none', 'fp16', 'bf16', but is 'int8'"),
        ('transport = "carrier pigeon"', "parallel.transport: must be one of 'auto', 'mpi', 'nccl', but is 'carrier"),
        ('strategy = "easgd"\ncompression = "fp16"', 'parallel.compression: is for strategy = "allreduce" only'),
    ],
)
def test_what_cannot_be_is_refused(data, tmp_path, lines, message):
    config = with_lines(write_config(tmp_path / "run.toml", data, "hits"), lines)
    with pytest.raises(ConfigError) as error:
        load_config(config)
    assert message in str(error.value)


@pytest.mark.mpi
def test_what_ranks_cannot_use_is_refused(data, tmp_path):
    config = with_lines(write_config(tmp_path / "run.toml", data, "hits"), 'transport = "nccl"')
    done = train(2, config, tmp_path / "run")
    assert done.returncode != 0
    assert "parallel.transport = 'nccl' is for GPUs, but this training runs on the CPU" in done.stderr


# memory

FAULTS = """
import resource, torch
from fastcalo.training.distributed.malloc import keep_freed_memory
keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for turn in range(30):
    if turn == 10:
        before = faults()
    kept = [torch.ones(1 << 20) for _ in range(4)]
    del kept
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="is for glibc only")
def test_memory_that_was_freed_is_not_asked_for_again():
    faults = json.loads(subprocess.check_output([sys.executable, "-c", FAULTS]))
    # 20 turns of 4 tensors of 1024 pages of 4 KiB; left to itself, glibc mostly asks for each of them again
    assert faults < 2_000
