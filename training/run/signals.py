# SPDX-License-Identifier: BSD-3-Clause
"""Signals of batch systems, deferred until the end of a step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self

_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class Signals:
    """While the block runs, SIGTERM and SIGUSR1 are noted instead of obeyed.

    Parameters
    ----------
    halt : callable, optional
        Whether to stop for another reason; this counts as SIGUSR1.
    """

    def __init__(self, halt: Callable[[], bool] = lambda: False) -> None:
        self._halt, self._received = halt, 0

    @property
    def received(self) -> int:
        """Number of the last one; 0 for none."""
        return self._received or (int(signal.SIGUSR1) if self._halt() else 0)

    def __enter__(self) -> Self:
        # only the main thread may do this; in another one, signals remain the program's own business
        self._before = {}
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        self._received = number


class Stopped(SystemExit):
    """A training was stopped from outside, on all ranks after the same step, and is saved."""

    together = True
