# SPDX-License-Identifier: BSD-3-Clause
"""The log of a run's metrics, ``metrics.jsonl``, and others that receive them."""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..architectures.base import Metrics
from .tensorboard import TensorboardWriter

_log = logging.getLogger(__name__)

Report = Callable[[str, int, int, Metrics], None]
"""Called with the stage's name, the step, the number of steps and the numbers of the last logged step."""


class MetricsLog:
    """Writes numbers of a run to ``metrics.jsonl``, and to whoever else asks for them.

    Parameters
    ----------
    run : Path
    report : callable, optional
    tensorboard : bool
        Whether TensorBoard is to have them, too.

    Raises
    ------
    MissingDependencyError
        TensorBoard is not installed.
    """

    def __init__(self, run: Path, report: Report | None = None, tensorboard: bool = False) -> None:
        self._file, self._report = run / "metrics.jsonl", report
        self._waiting: list[str] = []
        self._failed = False
        self._scalars = TensorboardWriter(run / "tensorboard") if tensorboard else None

    def begin(self, stage: str, step: int) -> None:
        """A stage goes on from a step: what there is of later ones does not count."""
        if self._scalars:
            self._scalars.begin(stage, step)

    def line(self, stage: str, step: int, steps: int, kind: str, seconds: float, metrics: Metrics) -> None:
        """Write numbers of a kind, ``train`` or ``test``, of one step of a stage."""
        line = {"stage": stage, "step": step, "kind": kind, "seconds": round(seconds, 2), **metrics}
        self._waiting.append(json.dumps(line))
        self._write()
        if self._scalars:
            self._scalars.add(step, kind, metrics)
        if self._report:
            self._report(stage, step, steps, metrics)

    def _write(self) -> None:
        """Write what waits, whole lines or none; where the disk is full, it waits, for a training is worth more."""
        if not self._waiting:
            return
        text = "".join(f"{line}\n" for line in self._waiting)
        try:
            _append(self._file, text.encode())
        except OSError as e:
            if not self._failed:
                _log.warning(
                    "%s: cannot be written: %s; the training goes on, and the lines follow when there is space again",
                    self._file,
                    e.strerror or e,
                )
            self._failed = True
            return
        self._waiting, self._failed = [], False

    def close(self) -> None:
        """Nothing more comes."""
        self._write()
        if self._scalars:
            self._scalars.close()


def _append(path: Path, data: bytes) -> None:
    """Append to a file; what was not written as a whole is taken back."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        before = os.fstat(descriptor).st_size
        try:
            if os.write(descriptor, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            with suppress(OSError):
                os.ftruncate(descriptor, before)
            raise
    finally:
        os.close(descriptor)
