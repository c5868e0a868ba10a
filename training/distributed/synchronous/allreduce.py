# SPDX-License-Identifier: BSD-3-Clause
"""Synchronous training: each rank computes its part of the global batch; gradients are averaged with allreduce.

Sergeev & Del Balso, arXiv:1802.05799, and Li et al., arXiv:2006.15704, for buckets that set off during backward.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fastcalo.errors import TrainingError

from ..heartbeat import Heartbeat
from .buckets import Bucket, Buckets
from .compression import Compressor
from .mpi_transport import Request, Transport, keep_until_done
from .transports import open_transport

_SPIN_S = 0.02


class AllReduce:
    """Gradients averaged over all ranks.

    Parameters
    ----------
    world : mpi4py.MPI.Comm
    run : Path
        Folder of the training, where ranks write their heartbeats.
    bucket_kib : int
        Size of the buckets, KiB.
    patience : float
        Seconds without an answer after which a rank is given up.
    compression : str
        ``"none"``, or what gradients are sent as, ``"fp16"`` or ``"bf16"``.
    transport : str
        What carries gradients, see `open_transport`. All else goes by MPI.

    Attributes
    ----------
    waited : float
        Seconds in which nothing was computed because messages were under way.
    messages : int
        Buckets that this rank has sent.
    """

    def __init__(
        self,
        world: Any,
        run: Path,
        bucket_kib: int = 256,
        patience: float = 600.0,
        compression: str = "none",
        transport: str = "auto",
    ) -> None:
        from mpi4py import MPI

        self._mpi, self._world, self._patience = MPI, world, patience
        self.rank, self.size = int(world.rank), int(world.size)
        self._bucket = bucket_kib * 1024
        self._buckets: dict[tuple[int, ...], Buckets] = {}
        self._heartbeat = Heartbeat(run, self.rank, patience)
        self._compression, self._transport_name = compression, transport
        # what carries gradients follows from where they are, which is not known yet
        self._transport: Transport | None = None
        self._compressor: Compressor | None = None
        self.waited = 0.0
        self.messages = 0

    @property
    def computes(self) -> bool:
        """Whether this rank computes gradients, as all do."""
        return True

    @property
    def heartbeat(self) -> Heartbeat:
        """Sign of life of this rank."""
        return self._heartbeat

    @property
    def sent_bytes(self) -> int:
        """What this rank has sent of gradients."""
        return 0 if self._transport is None else self._transport.sent_bytes

    def backward(self, loss: Tensor, parameters: Sequence[nn.Parameter], share: float, *, last: bool = True) -> None:
        """Average gradients, each part of them as soon as it is there."""
        self._heartbeat.beat()
        if not last:
            torch.autograd.backward(loss, torch.full_like(loss, share), inputs=list(parameters))
            return
        key = tuple(map(id, parameters))
        if key not in self._buckets:
            self._open(parameters[0].device)
            self._buckets[key] = Buckets(parameters, self._bucket, self._sum, self._poll)
        buckets = self._buckets[key]
        self._wait(buckets.backward(loss, share), "gradients")
        buckets.take()

    def mean(self, numbers: Mapping[str, float], share: float) -> dict[str, float]:
        """Average numbers."""
        names = sorted(numbers)
        values = np.array([numbers[name] for name in names]) * share
        self._wait([self._world.Iallreduce(self._mpi.IN_PLACE, values)], "numbers")
        return dict(zip(names, values.tolist(), strict=True))

    def highest(self, number: float) -> float:
        """Largest of a number."""
        value = np.array([number])
        self._wait([self._world.Iallreduce(self._mpi.IN_PLACE, value, self._mpi.MAX)], "numbers")
        return float(value[0])

    def any(self, here: bool) -> bool:
        """Whether it is so on any rank."""
        flag = np.array([here], np.int32)
        self._wait([self._world.Iallreduce(self._mpi.IN_PLACE, flag, self._mpi.MAX)], "whether to stop")
        return bool(flag[0])

    def on_node(self, fact: str) -> tuple[int, list[str]]:
        """Place on this node, and what all ranks there report."""
        node = self._world.Split_type(self._mpi.COMM_TYPE_SHARED)
        try:
            return int(node.rank), node.allgather(fact)
        finally:
            node.Free()

    def same(self, facts: Mapping[str, str]) -> None:
        """Compare with the first rank."""
        digests = b"".join(hashlib.sha256(facts[name].encode()).digest() for name in facts)
        mine_FB = np.frombuffer(digests, np.uint8).reshape(len(facts), -1)
        all_RFB = np.empty((self.size, *mine_FB.shape), np.uint8)
        self._wait([self._world.Iallgather(mine_FB, all_RFB)], "what other ranks see")
        differs_RF = (all_RFB != all_RFB[0]).any(2)
        for name, differs_R in zip(facts, differs_RF.T, strict=True):
            if differs_R.any():
                others = np.flatnonzero(differs_R).tolist()
                raise TrainingError(
                    f"ranks {others} of {self.size} have another {name} than rank 0: all must see the same files"
                )

    def _open(self, device: torch.device) -> None:
        if self._transport is None:
            self.same({"kind of device (cpu or cuda)": device.type})
            compressed = self._compression != "none"
            self._transport = open_transport(self._world, device, self._transport_name, self._patience, compressed)
            self._compressor = Compressor(self._transport, self._compression) if compressed else None

    def _sum(self, bucket: Bucket) -> Request:
        self.messages += 1
        if self._compressor is not None:
            return self._compressor.sum(bucket)
        assert self._transport is not None
        return self._transport.sum(bucket.flat)

    def _poll(self, under_way: list[Request]) -> bool:
        # every one of them, though one be late: the others may have a next step to take
        under_way[:] = [message for message in under_way if not message.Test()]
        return not under_way

    def _pause(self, waited: float) -> None:
        # at first none, for most messages are quick
        if waited > _SPIN_S:
            time.sleep(1e-3)
            self._heartbeat.beat()

    def _wait(self, messages: list[Request], what: str) -> None:
        start = time.perf_counter()
        try:
            while not self._poll(messages):
                waited = time.perf_counter() - start
                if waited > self._patience:
                    raise TrainingError(
                        f"no answer for {waited:.0f} s while waiting for {what}; {self._heartbeat.late(self.size)}. "
                        "The last checkpoint is kept: go on with --resume"
                    )
                self._pause(waited)
        except BaseException:
            keep_until_done(messages)
            raise
        self.waited += time.perf_counter() - start
