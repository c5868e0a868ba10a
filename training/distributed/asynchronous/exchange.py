# SPDX-License-Identifier: BSD-3-Clause
"""MPI messages between parameter servers and workers."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fastcalo.errors import InputError, TrainingError

from ..heartbeat import Heartbeat
from ..synchronous.allreduce import AllReduce
from .messages import Pull, Push
from .topology import Topology

_HEAD, _BODY = 1, 2
_HEAD_BYTES = 16_384


class ServerExchange(AllReduce):
    """The exchange of an asynchronous training.

    Between stages all ranks are on a par. Within one, a master answers those that it serves one after the other: rank 0
    the workers, or sub-masters that serve a block of workers each.

    Parameters
    ----------
    world : mpi4py.MPI.Comm
    run : Path
        Folder of the training, where ranks leave signs of life.
    patience : float
        Seconds without an answer after which a rank is given up.
    order : sequence of int, optional
        Numbers of those whose messages this rank serves first, in this order; after that, first come, first served.
    masters : int
        As in the configuration.

    Attributes
    ----------
    tree : Topology
    number : int
        Of this worker, or sub-master; less than 0 for rank 0.
    """

    def __init__(
        self, world: Any, run: Path, patience: float = 600.0, order: Sequence[int] = (), masters: int = 1
    ) -> None:
        super().__init__(world, run, patience=patience)
        self.tree = Topology.of(self.size, masters)
        self._order = iter(order)
        self._answered: dict[int, float] = {}
        between = self.tree.between
        works = self.rank > between
        self.number = self.rank - 1 - (between if works else 0)
        self._parent = 1 + self.tree.master_of(self.number) if works and between else 0
        # rank of the first that this one serves
        self._first = 1 + (between if self.rank else 0)

    @property
    def computes(self) -> bool:
        """Whether this rank is a worker."""
        return self.rank > self.tree.between

    @property
    def heartbeat(self) -> Heartbeat:
        """Sign of life of this rank."""
        return self._heartbeat

    # a master's

    def expect(self, children: Iterable[int]) -> None:
        """A message is to come from each of these workers or sub-masters."""
        self._answered = dict.fromkeys(children, time.monotonic())

    def receive(self, rows: int, length: int) -> Push:
        """Wait for the next message.

        Parameters
        ----------
        rows, length : int
            Shape of its numbers.

        Raises
        ------
        InputError
            The prescribed order names one of which no message is to come.
        TrainingError
            One of those that are served has been silent for too long.
        """
        worker = next(self._order, None)
        if worker is not None and worker not in self._answered:
            raise InputError(f"the order names worker {worker}, but only {sorted(self._answered)} have steps to make")
        head, rows_RN = bytearray(_HEAD_BYTES), torch.empty(rows, length)
        source = self._mpi.ANY_SOURCE if worker is None else self._first + worker
        self._wait([self._world.Irecv(head, source, _HEAD)], "a message")
        fields = json.loads(head)
        fields["moved"] = tuple(fields["moved"])
        self._wait([self._world.Irecv(rows_RN.numpy(), self._first + fields["worker"], _BODY)], "a message's numbers")
        self._answered.pop(fields["worker"], None)
        self._all_there()
        return Push(rows_RN=rows_RN, **fields)

    def reply(self, child: int, pull: Pull, busy: Collection[int]) -> None:
        """Send one of those that are served what to do next; messages are to come from those that are busy."""
        fields = {name: value for name, value in vars(pull).items() if name != "values_N"}
        self._wait(self._send(self._first + child, _head(**fields), pull.values_N), "a rank to listen")
        if child in busy:
            self._answered[child] = time.monotonic()

    def _all_there(self) -> None:
        """Others' messages must not hide that one has gone silent."""
        if not self._answered:
            return
        child, since = min(self._answered.items(), key=lambda item: item[1])
        if (silent := time.monotonic() - since) > self._patience:
            raise TrainingError(
                f"no message from rank {self._first + child} for {silent:.0f} s; {self._heartbeat.late(self.size)}. "
                "The last checkpoint is kept: go on with --resume"
            )

    # a worker's, and a sub-master's

    def push(self, push: Push) -> Pull:
        """Send a message, and wait for the answer of the master above."""
        fields = {name: value for name, value in vars(push).items() if name != "rows_RN"}
        requests = self._send(self._parent, _head(**fields), push.rows_RN)
        head, values_N = bytearray(_HEAD_BYTES), torch.empty(push.rows_RN.shape[1])
        requests += [self._world.Irecv(head, self._parent, _HEAD)]
        requests += [self._world.Irecv(values_N.numpy(), self._parent, _BODY)]
        self._wait(requests, "the master")
        return Pull(values_N=values_N, **json.loads(head))

    # everyone's

    def broadcast(self, *numbers: int) -> list[int]:
        """Numbers of rank 0, on all ranks."""
        out = np.array(numbers, np.int64)
        self._wait([self._world.Ibcast(out, 0)], "the end of the stage")
        return [int(number) for number in out]

    def spread(self, states: Iterable[Mapping[str, Tensor]]) -> None:
        """Give all ranks the numbers of rank 0."""
        for state in states:
            for value in state.values():
                whole = value.detach().cpu().contiguous()
                self._wait([self._world.Ibcast(whole.numpy(), 0)], "networks")
                with torch.no_grad():
                    value.copy_(whole)

    def _send(self, rank: int, head: bytes, numbers: Tensor) -> list[Any]:
        return [self._world.Isend(head, rank, _HEAD), self._world.Isend(numbers.numpy(), rank, _BODY)]

    def _pause(self, waited: float) -> None:
        # a blocking probe would spin inside MPI, and heed neither signals nor the patience
        time.sleep(min(1e-3, max(2e-5, waited / 10)))
        self._heartbeat.beat()


def _head(**fields: Any) -> bytes:
    return json.dumps(fields).encode().ljust(_HEAD_BYTES)
