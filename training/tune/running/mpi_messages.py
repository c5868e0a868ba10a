# SPDX-License-Identifier: BSD-3-Clause
"""Short MPI messages; a waiting rank sleeps instead of polling at full load."""

from __future__ import annotations

import json
import time
from typing import Any

_NAP_S = 5e-3


class MessageChannel:
    """Sends and receives tables of plain values.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm
        Is duplicated, so that no message is mistaken for another's; all of its ranks must do so at the same point.
    """

    def __init__(self, comm: Any) -> None:
        from mpi4py import MPI

        self._mpi, self._comm = MPI, comm.Dup()
        self.rank, self.size = int(comm.rank), int(comm.size)
        self._under_way: list[tuple[Any, bytes]] = []

    def send(self, rank: int, **message: Any) -> None:
        """Send a message off; it arrives when the other looks."""
        # MPI may read it later on
        self._under_way = [(request, data) for request, data in self._under_way if not request.Test()]
        data = json.dumps(message).encode()
        self._under_way.append((self._comm.Isend([data, self._mpi.BYTE], rank), data))

    def look(self) -> tuple[int, dict[str, Any]] | None:
        """The next message and the rank it is from; None if there is none."""
        status = self._mpi.Status()
        if not self._comm.Iprobe(status=status):
            return None
        data = bytearray(status.Get_count(self._mpi.BYTE))
        source = int(status.Get_source())
        self._comm.Recv([data, self._mpi.BYTE], source)
        return source, json.loads(data)

    def flush(self, seconds: float) -> None:
        """Wait until all that was sent has left, but not for ever."""
        end = time.monotonic() + seconds
        while self._under_way and time.monotonic() < end:
            self._under_way = [(request, data) for request, data in self._under_way if not request.Test()]
            if self._under_way:
                sleep_briefly()


def sleep_briefly() -> None:
    """Sleep for a moment that is short for a person and long for a core."""
    time.sleep(_NAP_S)
