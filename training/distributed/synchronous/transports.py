# SPDX-License-Identifier: BSD-3-Clause
"""Choice of the transport of gradients: MPI from CPU or GPU memory, or torch.distributed."""

from __future__ import annotations

import logging
import os
from typing import Any

import torch

from fastcalo.errors import ConfigError

from .gpu_aware import reads_gpu
from .gpu_transport import GpuAwareTransport, StagedTransport
from .mpi_transport import MpiTransport, Transport
from .torch_transport import TorchTransport

log = logging.getLogger(__name__)


def open_transport(world: Any, device: torch.device, transport: str, patience: float, compressed: bool) -> Transport:
    """Choose, and open, what carries buffers of one device; all ranks must ask at once.

    On the CPU that is MPI. For GPUs it is NCCL where ``"auto"`` is asked for and all ranks have it and a GPU of their
    own, else MPI: from the GPU's memory if a test shows that it can read it, else by way of the CPU's.

    Parameters
    ----------
    world : mpi4py.MPI.Comm
    device : torch.device
    transport : str
        ``"auto"``, ``"mpi"`` or ``"nccl"``.
    patience : float
        Seconds after which a rank that gives no answer is given up.
    compressed : bool
        Whether more than sums is to be sent.

    Raises
    ------
    ConfigError
        NCCL is asked for where it cannot be had.
    """
    if device.type != "cuda":
        if transport == "nccl":
            raise ConfigError(
                "parallel.transport = 'nccl' is for GPUs, but this training runs on the CPU; choose 'auto' or 'mpi'"
            )
        return MpiTransport(world, compressed)
    why = why_no_nccl(world, device)
    if transport == "nccl" and why:
        raise ConfigError(f"parallel.transport = 'nccl': {why}; choose 'auto' or 'mpi'")
    carrier: Transport
    if transport != "mpi" and not why:
        chosen, carrier = "NCCL", TorchTransport(world, device, "nccl", patience)
    elif reads_gpu(world, device):
        chosen, carrier = "MPI, which reads the GPU's memory", GpuAwareTransport(world, compressed)
    else:
        chosen, carrier = "MPI, by way of the CPU's memory", StagedTransport(world, device, compressed)
    if not world.rank:
        log.info("gradients go by %s", chosen)
    return carrier


def why_no_nccl(world: Any, device: torch.device) -> str:
    """Why NCCL cannot be used, the same on all ranks; empty where it can."""
    import torch.distributed as dist

    there = dist.is_available() and dist.is_nccl_available()
    gpu = f"{os.uname().nodename} {torch.cuda.get_device_properties(device).uuid}"
    everyone = world.allgather((there, gpu))
    if lacking := [rank for rank, (has, _) in enumerate(everyone) if not has]:
        return f"torch has no NCCL on ranks {lacking}"
    if len({gpu for _, gpu in everyone}) < len(everyone):
        return "ranks share a GPU, which NCCL refuses"
    return ""
