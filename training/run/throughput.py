# SPDX-License-Identifier: BSD-3-Clause
"""Throughput of a training, and share of time spent waiting for communication."""

from __future__ import annotations

import time

from ..architectures.base import Metrics
from ..exchange import Exchange

TIMINGS = ("seconds", "showers_per_second", "communication_share", "communication_share_max")
"""Names in ``metrics.jsonl`` of speed, not of quality."""


class Throughput:
    """Steps, time and waiting since the last look. Evaluations and checkpoints count: ranks wait for them.

    Parameters
    ----------
    exchange : Exchange
    step : int
        Where the training stands.
    """

    def __init__(self, exchange: Exchange, step: int) -> None:
        self._exchange, self._step = exchange, step
        self._time, self._waited = time.perf_counter(), exchange.waited

    def look(self, step: int, batch: int) -> Metrics:
        """Showers per second of all ranks together, and the mean and largest share of waiting of a rank.

        All ranks must ask at the same point.

        Parameters
        ----------
        step : int
            Where the training stands now.
        batch : int
            Showers of the global batch.
        """
        now, waited = time.perf_counter(), self._exchange.waited
        share = (waited - self._waited) / (now - self._time)
        rate = batch * (step - self._step) / (now - self._time)
        self._step, self._time, self._waited = step, now, waited
        mean = self._exchange.mean({"share": share}, 1 / self._exchange.size)["share"]
        return {
            "showers_per_second": round(rate, 3),
            "communication_share": round(mean, 4),
            "communication_share_max": round(self._exchange.highest(share), 4),
        }
