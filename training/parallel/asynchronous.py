"""Messages between the master of an asynchronous training, which is rank 0, and its workers, over MPI."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fastcalo.errors import InputError, TrainingError

from .allreduce import AllReduce
from .heartbeat import Heartbeat
from .messages import Pull, Push

_HEAD, _BODY = 1, 2
_HEAD_BYTES = 16_384


class Masters(AllReduce):
    """The exchange of an asynchronous training.

    Between stages all ranks are on a par. Within one, the master answers workers one after the other.

    Parameters
    ----------
    world : mpi4py.MPI.Comm
    run : Path
        Folder of the training, where ranks leave signs of life.
    patience : float
        Seconds without an answer after which a rank is given up.
    order : sequence of int, optional
        Workers (from 0) whose messages the master serves first, in this order; after that, first come, first served.

    Attributes
    ----------
    workers : int
    """

    def __init__(self, world: Any, run: Path, patience: float = 600.0, order: Sequence[int] = ()) -> None:
        super().__init__(world, run, patience=patience)
        self.workers = self.size - 1
        self._order = iter(order)
        self._answered: dict[int, float] = {}

    @property
    def heartbeat(self) -> Heartbeat:
        """Sign of life of this rank."""
        return self._heartbeat

    # the master's

    def expect(self, workers: Iterable[int]) -> None:
        """A message is to come from each of these workers."""
        self._answered = dict.fromkeys(workers, time.monotonic())

    def receive(self, rows: int, length: int) -> Push:
        """Wait for the next message of a worker.

        Parameters
        ----------
        rows, length : int
            Shape of its numbers.

        Raises
        ------
        InputError
            The prescribed order names a worker of which no message is to come.
        TrainingError
            A worker has been silent for too long.
        """
        worker = next(self._order, None)
        if worker is not None and worker not in self._answered:
            raise InputError(f"the order names worker {worker}, but only {sorted(self._answered)} have steps to make")
        head, rows_RN = bytearray(_HEAD_BYTES), torch.empty(rows, length)
        source = self._mpi.ANY_SOURCE if worker is None else worker + 1
        self._wait([self._world.Irecv(head, source, _HEAD)], "a worker")
        told = json.loads(head)
        told["moved"] = tuple(told["moved"])
        self._wait([self._world.Irecv(rows_RN.numpy(), told["worker"] + 1, _BODY)], "a worker's numbers")
        self._answered.pop(told["worker"], None)
        self._all_there()
        return Push(rows_RN=rows_RN, **told)

    def reply(self, worker: int, pull: Pull) -> None:
        """Tell a worker what to do next."""
        head = _head(step=pull.step, steps=pull.steps, version=pull.version)
        self._wait(self._send(worker + 1, head, pull.values_N), "a worker to listen")
        if pull.steps:
            self._answered[worker] = time.monotonic()

    def _all_there(self) -> None:
        """Others' messages must not hide that one of the workers has gone silent."""
        if not self._answered:
            return
        worker, since = min(self._answered.items(), key=lambda item: item[1])
        if (silent := time.monotonic() - since) > self._patience:
            raise TrainingError(
                f"no message from rank {worker + 1} for {silent:.0f} s; {self._heartbeat.late(self.size)}. "
                "The last checkpoint is kept: go on with --resume"
            )

    # a worker's

    def push(self, push: Push) -> Pull:
        """Send a message, and wait for what the master says."""
        told = {name: value for name, value in vars(push).items() if name != "rows_RN"}
        requests = self._send(0, _head(**told), push.rows_RN)
        head, values_N = bytearray(_HEAD_BYTES), torch.empty(push.rows_RN.shape[1])
        requests += [self._world.Irecv(head, 0, _HEAD), self._world.Irecv(values_N.numpy(), 0, _BODY)]
        self._wait(requests, "the master")
        return Pull(values_N=values_N, **json.loads(head))

    # everyone's

    def tell(self, number: int) -> int:
        """The master's number, on all ranks."""
        out = np.array([number], np.int64)
        self._wait([self._world.Ibcast(out, 0)], "the end of the stage")
        return int(out[0])

    def spread(self, states: Iterable[Mapping[str, Tensor]]) -> None:
        """Give all ranks the master's numbers."""
        for state in states:
            for value in state.values():
                whole = value.detach().contiguous()
                self._wait([self._world.Ibcast(whole.numpy(), 0)], "networks")
                with torch.no_grad():
                    value.copy_(whole)

    def _send(self, rank: int, head: bytes, numbers: Tensor) -> list[Any]:
        return [self._world.Isend(head, rank, _HEAD), self._world.Isend(numbers.numpy(), rank, _BODY)]

    def _pause(self, waited: float) -> None:
        # a blocking probe would spin inside MPI, and heed neither signals nor the patience
        time.sleep(min(1e-3, max(2e-5, waited / 10)))
        self._heartbeat.beat()


def _head(**told: Any) -> bytes:
    return json.dumps(told).encode().ljust(_HEAD_BYTES)
