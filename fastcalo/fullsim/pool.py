# SPDX-License-Identifier: BSD-3-Clause
"""Pool of Geant4 processes; the death of one does not end the user's process."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ..detector.description import Detector
from ..errors import ConfigError, FastCaloError, Geant4Error
from .data import find_data
from .shots import Shots, Showers

_PACKAGES = Path(__file__).parents[2]
_TAIL_LINES = 25
_MOST_WORKERS = 1024
_TIME_TO_END_S = 2.0
# batches under way or waiting for one before them, per process
_AHEAD = 8


class Geant4Pool:
    """Processes that simulate with Geant4. They start when they are first needed.

    Parameters
    ----------
    detector : Detector
    workers : int
        Number of processes.
    times : bool
        Whether the time of each deposit is scored, too, which takes longer.

    Raises
    ------
    ConfigError
        There is no worker, or there are more than any machine could bear.
    """

    def __init__(self, detector: Detector, workers: int = 1, *, times: bool = False) -> None:
        if not 1 <= workers <= _MOST_WORKERS:
            raise ConfigError(f"workers must be from 1 to {_MOST_WORKERS}, not {workers}")
        self.detector, self.workers, self.times = detector, workers, times
        self._reset()

    def _reset(self) -> None:
        self._under_way = False
        self._processes: list[_Process] = []
        self._owner = os.getpid()
        self._known: dict[int, bool] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"detector": self.detector, "workers": self.workers, "times": self.times}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the processes, also in the middle of their work. They start again when they are needed."""
        processes, self._processes, self._under_way = self._processes, [], False
        if self._owner == os.getpid():
            for process in processes:
                process.stop()

    @property
    def version(self) -> str:
        """Version of Geant4."""
        return self._started()[0].version

    def knows(self, codes: list[int]) -> list[bool]:
        """Whether Geant4 can simulate particles of these PDG codes."""
        if new := [code for code in codes if code not in self._known]:
            process = self._started()[0]
            try:
                process.send("knows", new)
                self._known.update(zip(new, process.receive(), strict=True))
            except BaseException:
                # an answer that nobody has taken would be taken for that to the next question
                self.close()
                raise
        return [self._known[code] for code in codes]

    def run(self, batches: Iterable[Shots]) -> Iterator[Showers]:
        """Simulate batch by batch, as many at a time as there are processes.

        Parameters
        ----------
        batches : iterable of Shots
            Small ones, so that no process has to wait long for another.

        Yields
        ------
        Showers
            In the order of the batches; at most some more than are under way are waiting.

        Raises
        ------
        DetectorError
            Geant4 has no such material or physics list, or there are too many cells.
        Geant4DataError, MissingDependencyError
            Geant4 or its physics data are missing.
        Geant4Error
            A process died; the message states the shot and what Geant4 printed.
        """
        if self._under_way:
            raise Geant4Error("this pool simulates something else already: take all of that first, or another pool")
        idle = list(self._started())
        self._under_way = True
        busy: dict[Any, tuple[int, _Process]] = {}
        done: dict[int, Showers] = {}
        waiting, given, taken = iter(batches), 0, 0
        try:
            while True:
                while idle and given - taken < _AHEAD * self.workers and (batch := next(waiting, None)) is not None:
                    process = idle.pop()
                    process.send("run", batch)
                    busy[process.connection] = (given, process)
                    given += 1
                if not busy:
                    return
                for connection in wait(list(busy)):
                    number, process = busy[connection]
                    if (answer := process.receive()) is not None:
                        done[number] = answer
                        idle.append(process)
                        del busy[connection]
                while taken in done:
                    yield done.pop(taken)
                    taken += 1
        finally:
            self._under_way = False
            # whoever stops asking leaves processes in the middle of their work
            if busy:
                self.close()

    def _started(self) -> list[_Process]:
        if self._owner != os.getpid():
            # a copy made by fork: the processes belong to the original
            self._reset()
        if not self._processes:
            data = find_data()
            environment = {**os.environ, **{name: str(path) for name, path in data.items()}}
            self._processes = [_Process(environment, self.detector, self.times) for _ in range(self.workers)]
            try:
                for process in self._processes:
                    process.version = process.receive()
            except BaseException:
                self.close()
                raise
        return self._processes


class _Process:
    """One process, and what is under way in it."""

    version = ""
    _batch: Any = None
    _row = 0
    _working = False

    def __init__(self, environment: dict[str, str], detector: Detector, times: bool) -> None:
        ours, theirs = socket.socketpair()
        paths = [str(_PACKAGES), *filter(None, [environment.get("PYTHONPATH")])]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        with theirs:
            self._process = subprocess.Popen(
                # -u: what Geant4 prints goes by way of Python, and must be in the log when it dies
                [sys.executable, "-u", "-m", "fastcalo.fullsim.worker", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                env={**environment, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
            )
        self.connection = Connection(ours.detach())
        # also when the interpreter ends, or nobody refers to the pool any more
        self._end = weakref.finalize(self, _end, self._process, self.connection, self._log)
        self.send("start", (detector.description, times))

    def send(self, kind: str, content: Any) -> None:
        """Ask for something. Nothing else must be under way."""
        self._batch, self._row, self._working = content, 0, True
        with contextlib.suppress(ConnectionError):
            # if it is dead, `receive` reports it
            self.connection.send((kind, content))

    def receive(self) -> Any:
        """The answer; None if the process only reported where it is."""
        try:
            kind, content = self.connection.recv()
        except (EOFError, ConnectionError) as error:
            raise Geant4Error(self._obituary()) from error
        if kind == "begin":
            self._row = content
            return None
        self._working = False
        if isinstance(content, FastCaloError):
            raise content
        return content

    def stop(self) -> None:
        """End it, at once if it is working."""
        if self._working:
            self._process.kill()
        self._end()

    def _obituary(self) -> str:
        status = _wait(self._process)
        how = f"by signal {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
        where = "between two showers" if self.version else "while it started"
        if isinstance(self._batch, Shots):
            where = f"at {self._batch.describe(self._row)}"
        self._log.seek(0)
        lines = [line for line in self._log.read().decode(errors="replace").splitlines() if line.strip()]
        tail = "\n  ".join(lines[-_TAIL_LINES:]) or "(nothing)"
        return f"Geant4 died {how} {where}. The last that it printed:\n  {tail}"


def _end(process: subprocess.Popen[bytes], connection: Connection, log: Any) -> None:
    connection.close()
    log.close()
    _wait(process)


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Status of a process that should end by itself, and is made to if it does not."""
    try:
        return process.wait(_TIME_TO_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
