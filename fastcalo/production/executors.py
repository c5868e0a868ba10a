# SPDX-License-Identifier: BSD-3-Clause
"""Executors that conversions run on: this process, processes of this machine, ranks of MPI, workers of Dask."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any, Generic, TypeGuard, TypeVar, cast

from ..errors import ConfigError, FastCaloError, MissingDependencyError, WorkerDiedError
from ..system.install import install_line
from ..system.launcher import ranks_started

T = TypeVar("T")
R = TypeVar("R")

LOCAL = "local"
"""In place of the address of a Dask scheduler: workers of Dask on this machine."""

_ENDING = (signal.SIGINT, signal.SIGTERM)
_LOOK_AFTER_PARENT_S = 1.0
_START_DASK_S = 60


class SerialExecutor(Executor):
    """Does everything at once, in this process."""

    def submit(self, function: Callable[..., R], /, *args: Any, **named: Any) -> Future[R]:
        """Call the function."""
        future: Future[R] = Future()
        try:
            future.set_result(function(*args, **named))
        # what it raises is raised where the result is asked for
        except Exception as error:  # noqa: BLE001
            future.set_exception(error)
        return future


@contextmanager
def worker_processes(workers: int) -> Iterator[Executor]:
    """Processes that simulate, or this one if it is one; they end with the block, or when the parent does."""
    if workers == 1:
        yield SerialExecutor()
        return
    # a fork would copy the threads' locks of ONNX Runtime in whatever state they are
    pool = _Pool(workers, mp_context=_SpawnContext(), initializer=_begin_worker, initargs=(os.getpid(),))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


class _WorkerProcess(SpawnProcess):
    """Process that does without interrupts from its first instruction: the terminal sends them to every process."""

    def start(self) -> None:
        # it would let signals through again when it starts
        resource_tracker.ensure_running()
        # the new process inherits this
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _SpawnContext(SpawnContext):
    Process = _WorkerProcess


class _Pool(ProcessPoolExecutor):
    """Pool of processes whose workers are started whole, and known to it, before a signal ends this process."""

    def submit(self, function: Callable[..., R], /, *args: Any, **named: Any) -> Future[R]:
        with _signals_put_off():
            return super().submit(function, *args, **named)


@contextmanager
def _signals_put_off() -> Iterator[None]:
    """Have SIGINT and SIGTERM act when the block has ended; only the main thread is disturbed by them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    # a handler that was not set from Python, None, could not be set again
    before = {number: handler for number in _ENDING if (handler := signal.getsignal(number)) is not None}
    for number in before:
        signal.signal(number, lambda received, _: arrived.append(received))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for received in arrived:
            signal.raise_signal(received)


def _begin_worker(parent: int) -> None:
    """Leave interrupts to the parent, and end when there is no parent any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_look_after, args=(parent,), daemon=True).start()


def _look_after(parent: int) -> None:
    # a parent that is killed outright cannot end its workers, which would wait for work for ever
    while os.getppid() == parent:
        time.sleep(_LOOK_AFTER_PARENT_S)
    os._exit(1)


@contextmanager
def mpi_ranks() -> Iterator[tuple[Executor, int] | None]:
    """All other ranks as workers of the first, where a launcher has started several.

    Yields
    ------
    executor, workers
        On the first rank. On the others None, when there is nothing left for them to do.

    Raises
    ------
    MissingDependencyError
        mpi4py is not installed.
    FastCaloError
        mpi4py does not belong to the launcher, so that each process would be alone.
    """
    try:
        from mpi4py import MPI
        from mpi4py.futures import MPICommExecutor
    except ImportError as error:
        raise MissingDependencyError(
            f"{ranks_started()} processes were started, but mpi4py does not work here ({error}): {install_line('mpi')}"
        ) from error
    world = MPI.COMM_WORLD
    if world.size != ranks_started():
        raise FastCaloError(
            f"{ranks_started()} processes were started together, but MPI knows of {world.size}: mpiexec is not that "
            f"of mpi4py, which uses {MPI.Get_library_version().splitlines()[0]}; start with the one that belongs to it"
        )
    with MPICommExecutor(world, root=0) as pool:
        yield None if pool is None else (cast(Executor, pool), world.size - 1)


@contextmanager
def dask_workers(address: str, workers: int) -> Iterator[tuple[Executor, int]]:
    """Workers of Dask.

    Parameters
    ----------
    address : str
        Of the scheduler, such as ``tcp://host:8786``, or ``local`` for workers on this machine.
    workers : int
        How many to start on this machine.

    Yields
    ------
    executor, workers

    Raises
    ------
    MissingDependencyError
        Dask is not installed.
    ConfigError
        There is no scheduler at that address, or it has no workers.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise MissingDependencyError(f"Dask is not installed ({error}): {install_line('dask')}") from error
    # it reports the end of every connection, in which there is nothing to see
    for name in ("distributed", "tornado", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    silent = {"silence_logs": logging.CRITICAL, "dashboard_address": None}
    cluster = LocalCluster(n_workers=workers, threads_per_worker=1, **silent) if address == LOCAL else None
    try:
        try:
            client = Client(cluster or address, timeout=_START_DASK_S)
        except (OSError, ValueError, TimeoutError) as error:
            raise ConfigError(f"{address}: there is no scheduler of Dask: {error}") from error
        with client:
            number = sum(client.nthreads().values())
            if not number:
                raise ConfigError(
                    f"{address}: the scheduler of Dask has no workers; start some (dask worker {address})"
                )
            yield client.get_executor(), number
    finally:
        if cluster is not None:
            cluster.close()


class _Kept:
    """Values that this process has received; the latest."""

    values: dict[str, Any] = {}  # noqa: RUF012


_MISSING = "fastcalo: a worker does not have the value yet"


def _with_kept(key: str, function: Callable[..., R], args: tuple[Any, ...]) -> R | str:
    return function(_Kept.values[key], *args) if key in _Kept.values else _MISSING


def _with_value(key: str, value: T, function: Callable[..., R], args: tuple[Any, ...]) -> R:
    if key not in _Kept.values:
        _Kept.values.clear()
        _Kept.values[key] = value
    return function(_Kept.values[key], *args)


class Shared(Generic[T]):
    """A large value that every worker of an executor receives once, such as an engine with the models it has opened.

    A worker that does not have it answers so, and is sent it: thus it needs nothing of the executor but `submit`.

    Parameters
    ----------
    pool : Executor
    value : picklable
    """

    def __init__(self, pool: Executor, value: T) -> None:
        self._pool, self._value, self._key = pool, value, uuid.uuid4().hex
        self._lacking = 0

    def submit(self, function: Callable[..., R], *args: Any) -> Call[R]:
        """Have a worker call ``function(value, *args)``."""
        if isinstance(self._pool, SerialExecutor):
            return Call(self._pool.submit(function, self._value, *args))
        if self._lacking:
            # idle workers take turns: what was sent again went to another one, this call goes to the one that lacks it
            self._lacking -= 1
            return Call(self._with_value(function, args))
        first = self._pool.submit(_with_kept, self._key, function, args)
        return Call(first, partial(self._again, function, args))

    def _again(self, function: Callable[..., R], args: tuple[Any, ...]) -> Future[R]:
        self._lacking += 1
        return self._with_value(function, args)

    def _with_value(self, function: Callable[..., R], args: tuple[Any, ...]) -> Future[R]:
        return self._pool.submit(_with_value, self._key, self._value, function, args)


class Call(Generic[R]):
    """A call that a worker of `Shared` makes."""

    def __init__(self, first: Future[Any], again: Callable[[], Future[R]] | None = None) -> None:
        self.future, self._again = first, again

    def done(self) -> bool:
        """Whether the result is there, once `future` is done; if the worker lacked the value, it is sent it now."""
        if self._again is None or self.future.exception() is not None:
            return True
        found, again, self._again = self.future.result(), self._again, None
        if not (isinstance(found, str) and found == _MISSING):
            return True
        try:
            self.future = again()
        except BrokenExecutor as error:
            self.future = Future()
            self.future.set_exception(error)
        return self.future.done()

    def result(self) -> R:
        """Wait for the result.

        Raises
        ------
        WorkerDiedError
            The worker died.
        """
        self.future.exception()
        self.done()
        error = self.future.exception()
        if isinstance(error, BrokenExecutor) or _is_of_dask(error):
            raise worker_died(error) from error
        result: R = self.future.result()
        return result

    def cancel(self) -> None:
        """Do not begin it, if it has not begun."""
        self.future.cancel()


def _is_of_dask(error: BaseException | None) -> TypeGuard[BaseException]:
    """Whether Dask has given up a call, for several workers died one after the other while they made it."""
    # by its name, for Dask need not be installed
    return type(error).__name__ == "KilledWorker"


def worker_died(error: BaseException) -> WorkerDiedError:
    """What to raise where an executor broke."""
    return WorkerDiedError(
        "a worker process died. It may have been out of memory: use fewer workers or a smaller step_size. Or the "
        f"script that calls convert is not guarded by if __name__ == '__main__'. ({error})"
    )
