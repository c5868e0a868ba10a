# SPDX-License-Identifier: BSD-3-Clause
"""Processes that mpiexec or srun has started together, and how one of them ends so that the launcher notices."""

from __future__ import annotations

import os
import signal
import sys

_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMIX_SIZE", "MV2_COMM_WORLD_SIZE")


def ranks_started() -> int:
    """Number of processes that the launcher states it has started; 1 where there is no launcher."""
    for name in _SIZES:
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    # srun sets the second for every process of a step; a batch script, which is none, has the first only
    if "SLURM_STEP_NUM_TASKS" in os.environ and "SLURM_PROCID" in os.environ:
        return int(os.environ["SLURM_STEP_NUM_TASKS"])
    return 1


def end_by_signal(number: int) -> None:
    """End this process by a signal, if a launcher has started it together with others; else do nothing.

    A launcher takes a process that exits before ``MPI_Init``, with whatever status, for one that needs no MPI, and the
    others wait in ``MPI_Init`` for ever. Of a process that dies by a signal it always takes notice.

    Parameters
    ----------
    number : int
        Number of the signal; its default action must be to end the process.
    """
    if ranks_started() == 1:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def end_before_mpi() -> None:
    """End this process, which has failed, by a signal if others of the job may wait for it in ``MPI_Init``.

    Nothing is done where no launcher has started several, or where MPI is up: then it ends the others.
    """
    if "mpi4py.MPI" not in sys.modules:
        end_by_signal(signal.SIGTERM)
