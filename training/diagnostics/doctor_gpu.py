# SPDX-License-Identifier: BSD-3-Clause
"""Diagnosis of GPUs: assignment to ranks, and transport of gradients."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from .findings import GOOD, WARNING, Finding, RankFacts, group_by_node

_AWARE = (
    "use a build of MPI for CUDA (Open MPI: ompi_info --all | grep cuda_support; Cray: MPICH_GPU_SUPPORT_ENABLED=1), "
    "or NCCL: one rank per GPU, and a torch that has it"
)


def list_gpus() -> tuple[tuple[str, str], ...]:
    """Name and model of each GPU that torch can use here."""
    with suppress(ImportError):
        import torch

        if torch.cuda.is_available():
            all_of_them = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
            return tuple((str(gpu.uuid), gpu.name) for gpu in all_of_them)
    return ()


def diagnose_gpus(world: Any, everyone: list[RankFacts]) -> Iterator[Finding]:
    """Look at GPUs; all ranks must ask at once.

    Parameters
    ----------
    world : mpi4py.MPI.Comm or None
    everyone : list of RankFacts
        The same on all ranks.
    """
    yield from check_gpus(everyone, shutil.which("nvidia-smi") is not None)
    if world is not None and world.size > 1 and all(facts.gpus for facts in everyone):
        yield _transport(world, everyone)


def check_gpus(everyone: list[RankFacts], driver: bool) -> Iterator[Finding]:
    """Whether each rank has a GPU of its own.

    Parameters
    ----------
    everyone : list of RankFacts
    driver : bool
        Whether the tools of a GPU's driver are there.
    """
    if not any(facts.gpus for facts in everyone):
        if driver:
            yield Finding(
                "GPU", WARNING, "nvidia-smi is here, but torch sees no GPU: training runs on the CPU",
                "install torch's build for CUDA (https://pytorch.org), and look at CUDA_VISIBLE_DEVICES",
            )  # fmt: skip
        else:
            yield Finding("GPU", GOOD, "no GPU: training runs on the CPU")
        return
    if lacking := [facts.rank for facts in everyone if not facts.gpus]:
        yield Finding(
            "GPU", WARNING, f"ranks {lacking} of {len(everyone)} see no GPU, the others do: they cannot train together",
            "ask for GPUs on all nodes (srun --gpus-per-task=1), or set device = \"cpu\"",
        )  # fmt: skip
        return
    for node, ranks in group_by_node(everyone).items():
        owned = [own_gpu(ranks, k) for k in range(len(ranks))]
        shared = ", ".join(
            f"rank {facts.rank}: {index} ({facts.gpus[index][1]})"
            for facts, (index, _) in zip(ranks, owned, strict=True)
        )
        if any(sharing > 1 for _, sharing in owned):
            yield Finding(
                f"GPU of {node}", WARNING, f"ranks share one: {shared}", "start as many ranks on a node as it has GPUs"
            )
        else:
            yield Finding(f"GPU of {node}", GOOD, shared)


def own_gpu(ranks: list[RankFacts], place: int) -> tuple[int, int]:
    """Number of the GPU that the rank in some place of its node trains on, and of the ranks that do so."""
    from ..run.device import assign_gpu as chosen

    return chosen([tuple(name for name, _ in facts.gpus) for facts in ranks], place)


def _transport(world: Any, everyone: list[RankFacts]) -> Finding:
    import torch

    from ..distributed.synchronous.gpu_aware import reads_gpu
    from ..distributed.synchronous.transports import why_no_nccl

    mine = everyone[world.rank]
    ranks = group_by_node(everyone)[mine.node]
    device = torch.device("cuda", own_gpu(ranks, [facts.rank for facts in ranks].index(mine.rank))[0])
    torch.cuda.set_device(device)
    why, aware = why_no_nccl(world, device), reads_gpu(world, device)
    mpi = "MPI reads their memory" if aware else "MPI cannot read their memory"
    if not why:
        return Finding("GPU messages", GOOD, f"NCCL carries gradients; {mpi} (tried)")
    if aware:
        return Finding("GPU messages", GOOD, f"{mpi} (tried) and carries gradients; no NCCL: {why}")
    return Finding("GPU messages", WARNING, f"{mpi} (tried): gradients go by way of the CPU; no NCCL: {why}", _AWARE)
