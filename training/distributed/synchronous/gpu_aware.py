# SPDX-License-Identifier: BSD-3-Clause
"""Test, in a process of its own, whether MPI can read and write GPU memory.

``python -m fastcalo.training.distributed.synchronous.gpu_aware DEVICE`` tries it in a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import torch

from ..allreduce_timing import wait_for

_NUMBERS = 1 << 18
# by which a process would take itself for one of the ranks
_LAUNCHERS = ("PMI", "OMPI_", "PRTE", "PRRTE", "MPI_", "MV2_", "HYDRA_", "PALS_", "SLURM_", "FLUX_")


def reads_gpu(world: Any, device: torch.device, patience: float = 60.0) -> bool:
    """Whether MPI sums memory of GPUs over all ranks, and does it right; all ranks must ask at once.

    Parameters
    ----------
    world : mpi4py.MPI.Comm
    device : torch.device
        Of this rank.
    patience : float
        Seconds.
    """
    from mpi4py import MPI

    node = world.Split_type(MPI.COMM_TYPE_SHARED)
    # one of a node tries for all: it takes some seconds
    survived = node.bcast(survives(device, patience) if not node.rank else None)
    node.Free()
    if not world.allreduce(survived, MPI.LAND):
        return False
    numbers = torch.arange(_NUMBERS, device=device).remainder(251).float() + world.rank
    expected = (numbers - world.rank) * world.size + world.size * (world.size - 1) // 2
    _settle(device)
    wait_for(world.Iallreduce(MPI.IN_PLACE, _buffer(numbers)), patience, "a sum over all ranks")
    return bool(world.allreduce(torch.equal(numbers, expected), MPI.LAND))


def survives(device: torch.device | str, patience: float = 60.0) -> bool:
    """Whether a process by itself can hand MPI memory of a device, and gets it back unharmed."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(_LAUNCHERS)}
    command = [sys.executable, "-m", __spec__.name, str(device)]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=patience, env=environment)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _try(device: torch.device) -> bool:
    from mpi4py import MPI

    sent = torch.arange(_NUMBERS, dtype=torch.float32, device=device)
    summed, received = torch.zeros_like(sent), torch.zeros_like(sent)
    _settle(device)
    MPI.COMM_SELF.Allreduce(_buffer(sent), _buffer(summed))
    MPI.COMM_SELF.Sendrecv(_buffer(sent), 0, recvbuf=_buffer(received), source=0)
    return torch.equal(sent, summed) and torch.equal(sent, received)


def _settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _buffer(tensor: torch.Tensor) -> Any:
    return tensor if tensor.is_cuda else tensor.numpy()


if __name__ == "__main__":
    sys.exit(not _try(torch.device(sys.argv[1])))
