# SPDX-License-Identifier: BSD-3-Clause
"""Number of threads of torch that a node can bear, where the user leaves it to fastcalo."""

from __future__ import annotations

import logging
import math
import os
from contextlib import suppress
from pathlib import Path

import torch

from ..exchange import Exchange

log = logging.getLogger(__name__)

_CGROUP = Path("/sys/fs/cgroup")
_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_RANKS_OF_NODE = ("OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "PALS_LOCAL_SIZE", "MV2_COMM_WORLD_LOCAL_SIZE")


def set_threads(threads: int, exchange: Exchange) -> None:
    """Set the number of threads of torch; all ranks must do so at the same point.

    Parameters
    ----------
    threads : int
        0 for as many as this rank's part of the node's free cores, unless an environment variable gives the number.
    exchange : Exchange
    """
    if threads:
        torch.set_num_threads(threads)
        return
    _, everyone = exchange.on_node("")
    if any(os.environ.get(name) for name in _VARIABLES):
        return
    ranks = max(len(everyone), ranks_of_node())
    chosen = default_threads(available_cores(), load(), ranks)
    torch.set_num_threads(chosen)
    log.info("%d threads: %d cores, load %.1f, %d ranks on this node", chosen, available_cores(), load(), ranks)


def default_threads(cores: float, load: float, ranks: int) -> int:
    """A rank's share of the cores that others leave, at least 1.

    Parameters
    ----------
    cores : float
        That this process may use; parts of one, where a container has a quota.
    load : float
        Processes of the node that have computed in the last minutes.
    ranks : int
        Processes of this job on the node.
    """
    # threads wait for each other at the end of each operation: one that shares its core stops all
    return max(1, math.floor(max(1.0, cores - math.floor(load)) / max(1, ranks)))


def available_cores(cgroup: Path = _CGROUP) -> float:
    """Cores that this process may use: those it is bound to, or the quota of its container if that is less."""
    cores = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    with suppress(OSError, ValueError):
        quota, period = (cgroup / "cpu.max").read_text().split()
        return cores if quota == "max" else min(cores, int(quota) / int(period))
    with suppress(OSError, ValueError):
        quota_v1 = int((cgroup / "cpu" / "cpu.cfs_quota_us").read_text())
        period_v1 = int((cgroup / "cpu" / "cpu.cfs_period_us").read_text())
        return cores if quota_v1 <= 0 else min(cores, quota_v1 / period_v1)
    return cores


def load() -> float:
    """Processes that have computed on this node, in the mean over five minutes: too long for the start of this job."""
    # the load of a node counts all its cores, of which this process may have a few only
    with suppress(OSError):
        share = available_cores() / (os.cpu_count() or 1)
        return os.getloadavg()[1] * min(1.0, share)
    return 0.0


def ranks_of_node() -> int:
    """Processes that the launcher reports to have started on this node; 1 without a launcher."""
    found = (os.environ[name] for name in _RANKS_OF_NODE if os.environ.get(name, "").isdigit())
    return max(1, int(next(found, 1)))
