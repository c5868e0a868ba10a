# SPDX-License-Identifier: BSD-3-Clause
"""MPI world: the processes that were started together, and aborting all when one fails."""

from __future__ import annotations

import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastcalo.errors import FastCaloError, MissingDependencyError, TrainingError
from fastcalo.system.install import install_line
from fastcalo.system.launcher import ranks_started

_READ_S = 1.0


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
            f"{started} processes were started, but mpi4py does not work here ({error}): {install_line('mpi')}"
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
            _abort(world)
        raise
    # whatever it is, the others must not wait for this one
    except BaseException as error:  # noqa: BLE001
        from fastcalo.cli.output import printable

        _ignore_signals()
        # one write: lines of several processes would mingle
        detail = str(error) if isinstance(error, FastCaloError) else traceback.format_exc()
        sys.stderr.write(f"fastcalo: error on rank {world.rank} of {world.size}: {printable(detail)}\n")
        sys.stderr.flush()
        # a launcher that is busy ends its processes before it has read what they wrote
        time.sleep(_READ_S)
        _abort(world)


def _abort(world: Any) -> None:
    _ignore_signals()
    world.Abort(1)


def _ignore_signals() -> None:
    """A signal that comes now would keep this process from ending the others."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)
