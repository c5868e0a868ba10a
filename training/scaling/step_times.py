# SPDX-License-Identifier: BSD-3-Clause
"""Step times and waiting times of a training."""

from __future__ import annotations

import time

from ..exchange import Exchange

_MARKS = ("preparation", "evaluation", "checkpoint")


class StepTimes:
    """Time and waiting of every step, or of every message; evaluations and checkpoints do not count.

    Attributes
    ----------
    seconds, waited : list of float
        Of each step that ranks make together, or from one message to the next where they do not.
    evaluations : list of float
        Seconds from the start of the training, after it was prepared, to the end of each evaluation.
    """

    def begin(self, exchange: Exchange) -> None:
        """Begin anew."""
        self._exchange = exchange
        self.seconds: list[float] = []
        self.waited: list[float] = []
        self.evaluations: list[float] = []
        self._began = time.perf_counter()
        self._start = self._began, exchange.waited

    def lap(self, name: str) -> None:
        """Note the end of a step, of a message that a master has served or a worker's that was answered."""
        if name not in ("log", "centre", "exchange", *_MARKS):
            return
        now, waited = time.perf_counter(), self._exchange.waited
        if name == "preparation":
            self._began = now
        elif name == "evaluation":
            self.evaluations.append(now - self._began)
        if name not in _MARKS:
            self.seconds.append(now - self._start[0])
            self.waited.append(waited - self._start[1])
        self._start = now, waited
