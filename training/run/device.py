# SPDX-License-Identifier: BSD-3-Clause
"""Choice of the training device: the CPU, or one GPU per rank."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

import torch

from fastcalo.errors import ConfigError

from ..config import TrainConfig
from ..exchange import Exchange

_LOCAL_RANKS = ("OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "PALS_LOCAL_RANKID", "SLURM_LOCALID")

log = logging.getLogger(__name__)


def choose_device(config: TrainConfig, exchange: Exchange, where: str) -> torch.device:
    """Device that a configuration asks for; all ranks must ask at the same point.

    Parameters
    ----------
    config : TrainConfig
    exchange : Exchange
    where : str
        The configuration's file, for messages.

    Raises
    ------
    ConfigError
        A GPU is asked for, and there is none.
    """
    there = torch.cuda.is_available()
    # masters keep parameters on the CPU, where messages are
    if config.device == "cuda" and not there and exchange.computes:
        why = "it is built without CUDA" if torch.version.cuda is None else "no GPU or no driver is seen"
        raise ConfigError(
            f"{where}: device = 'cuda', but torch {torch.__version__} cannot use it: {why}. Install a build for CUDA "
            "(https://pytorch.org), look at nvidia-smi and CUDA_VISIBLE_DEVICES, or choose 'auto' or 'cpu'"
        )
    seen = visible_gpus() if there and exchange.computes and config.device != "cpu" else ()
    rank, everyone = exchange.on_node(" ".join(seen))
    if not seen:
        return torch.device("cpu")
    if exchange.size == 1:
        index, sharing = local_rank() % len(seen), 1
    else:
        index, sharing = assign_gpu([tuple(text.split()) for text in everyone], rank)
    if sharing > 1:
        log.warning("%d ranks of this node share GPU %d: start as many as there are GPUs", sharing, index)
    device = torch.device("cuda", index)
    torch.cuda.set_device(device)
    return device


def local_rank() -> int:
    """Place of this process among those that the launcher has started on this node; 0 without a launcher."""
    found = (os.environ[name] for name in _LOCAL_RANKS if os.environ.get(name, "").isdigit())
    return int(next(found, 0))


def visible_gpus() -> tuple[str, ...]:
    """Names of the GPUs that this process sees, the same in all processes that see them."""
    return tuple(str(torch.cuda.get_device_properties(k).uuid) for k in range(torch.cuda.device_count()))


def assign_gpu(seen: Sequence[tuple[str, ...]], rank: int) -> tuple[int, int]:
    """Which GPU is a rank's, and how many ranks have the same.

    Launchers may show all GPUs of a node to all of its ranks, or to each only its own.

    Parameters
    ----------
    seen : sequence of tuple of str
        The GPUs that each rank of the node sees.
    rank : int
        On the node.

    Returns
    -------
    tuple of int
        Number of the GPU among those that the rank sees, and of the ranks that it serves.
    """
    taken = [""] * len(seen)
    for k, own in enumerate(seen):
        if own:
            # the one that fewest have; of several, the first
            taken[k] = min(own, key=taken[:k].count)
    return seen[rank].index(taken[rank]), taken.count(taken[rank])
