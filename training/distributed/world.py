"""MPI world: the processes that were started together, and aborting all when one fails."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastcalo.errors import FastCaloError, MissingDependencyError, TrainingError

_READ_S = 1.0
_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMIX_SIZE", "MV2_COMM_WORLD_SIZE")


def ranks_started() -> int:
    """Number of processes that the launcher says it has started; 1 where there is no launcher."""
    for name in _SIZES:
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    # srun sets the second for every process of a step; a batch script, which is none, has the first only
    if "SLURM_STEP_NUM_TASKS" in os.environ and "SLURM_PROCID" in os.environ:
        return int(os.environ["SLURM_STEP_NUM_TASKS"])
    return 1


def join_world() -> Any:
    """The communicator of all processes; None where this one was started alone.

    Raises
    ------
    MissingDependencyError
        A launcher has started several, but mpi4py is not installed.
    TrainingError
        mpi4py does not belong to the launcher, so that each process would be alone.
    """
    started = ranks_started()
    if started == 1:
        return None
    try:
        import mpi4py

        # training calls MPI from one thread only
        mpi4py.rc.thread_level = "funneled"
        from mpi4py import MPI
    except ImportError as error:
        raise MissingDependencyError(
            f"{started} processes were started, but mpi4py does not work here ({error}): pip install 'fastcalo[mpi]'"
        ) from error
    world = MPI.COMM_WORLD
    if world.size != started:
        raise TrainingError(
            f"{started} processes were started together, but MPI knows of {world.size}: mpiexec is not that of "
            f"mpi4py, which uses {MPI.Get_library_version().splitlines()[0]}; start with the mpiexec that belongs to it"
        )
    return world


@contextmanager
def abort_on_error(world: Any) -> Iterator[None]:
    """End all processes if this one ends by an error: the others would wait for it for ever.

    Parameters
    ----------
    world : mpi4py.MPI.Comm or None
        Nothing is changed where there are no others.
    """
    if world is None:
        yield
        return
    try:
        yield
    except SystemExit as end:
        if end.code not in (None, 0) and not getattr(end, "together", False):
            world.Abort(1)
        raise
    # whatever it is, the others must not wait for this one
    except BaseException as error:  # noqa: BLE001
        # one write: lines of several processes would mingle
        detail = str(error) if isinstance(error, FastCaloError) else traceback.format_exc()
        sys.stderr.write(f"fastcalo: error on rank {world.rank} of {world.size}: {detail}\n")
        sys.stderr.flush()
        # a launcher that is busy ends its processes before it has read what they wrote
        time.sleep(_READ_S)
        world.Abort(1)
