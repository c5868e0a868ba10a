# SPDX-License-Identifier: BSD-3-Clause
"""Timing of allreduce over message sizes, polled as in training."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcalo.errors import TrainingError

_SPIN_S = 0.02


def wait_for(request: Any, patience: float, what: str, pause: float = 1e-3) -> None:
    """Poll until a request is done; no core is kept busy for long.

    Parameters
    ----------
    request : mpi4py.MPI.Request
    patience : float
        Seconds.
    what : str
        What is waited for, for the message.
    pause : float
        Seconds between two looks, after the first moment.

    Raises
    ------
    TrainingError
        It was not done in that time.
    """
    start = time.perf_counter()
    while not request.Test():
        waited = time.perf_counter() - start
        if waited > patience:
            raise TrainingError(f"no answer for {waited:.0f} s while waiting for {what}: a rank or the network hangs")
        if waited > _SPIN_S:
            time.sleep(pause)


def check_allreduce(world: Any, size: int, patience: float = 60.0) -> bool:
    """Whether a sum of float32 numbers over all ranks is what it must be, on every rank.

    Parameters
    ----------
    world : mpi4py.MPI.Comm
    size : int
        Bytes.
    patience : float
        Seconds.
    """
    from mpi4py import MPI

    # small whole numbers: exact in whatever order they are added
    pattern = np.arange(max(1, size // 4)) % 251
    numbers = (pattern + world.rank).astype(np.float32)
    wait_for(world.Iallreduce(MPI.IN_PLACE, numbers), patience, "a sum over all ranks")
    expected = world.size * pattern + world.size * (world.size - 1) // 2
    right = np.array([np.array_equal(numbers, expected)], np.int32)
    wait_for(world.Iallreduce(MPI.IN_PLACE, right, MPI.MIN), patience, "a sum over all ranks")
    return bool(right[0])


def time_allreduce(world: Any, sizes: Sequence[int], repeats: int = 20, patience: float = 60.0) -> NDArray[np.float64]:
    """Time sums of float32 numbers over all ranks.

    Parameters
    ----------
    world : mpi4py.MPI.Comm
    sizes : sequence of int
        Bytes.
    repeats : int
        After one that is not counted.
    patience : float
        Seconds after which one of them is given up.

    Returns
    -------
    float64 [len(sizes), repeats]
        Seconds, of the slowest rank; the same on all ranks.
    """
    from mpi4py import MPI

    seconds = np.zeros((len(sizes), repeats))
    for k, size in enumerate(sizes):
        numbers = np.zeros(max(1, size // 4), np.float32)
        for repeat in range(-1, repeats):
            wait_for(world.Ibarrier(), patience, "all ranks")
            start = time.perf_counter()
            wait_for(world.Iallreduce(MPI.IN_PLACE, numbers), patience, "a sum over all ranks")
            if repeat >= 0:
                seconds[k, repeat] = time.perf_counter() - start
    wait_for(world.Iallreduce(MPI.IN_PLACE, seconds, MPI.MAX), patience, "times of all ranks")
    return seconds
