# SPDX-License-Identifier: BSD-3-Clause
"""Metrics averaged over several messages."""

from __future__ import annotations

from collections import defaultdict

from ...architectures.base import Metrics
from .messages import Push


class MessageMetrics:
    """Numbers of the messages since they were last taken.

    Parameters
    ----------
    staleness : str
        What the messages' staleness is called.

    Attributes
    ----------
    messages, steps : int
        Number of messages, and of the steps that they report.
    """

    def __init__(self, staleness: str = "staleness") -> None:
        self._staleness = staleness
        self._values: dict[str, list[float]] = defaultdict(list)
        self.messages = self.steps = 0

    def add(self, push: Push, staleness: int) -> None:
        """Note a message."""
        stale = {self._staleness: float(staleness), f"{self._staleness}_max": float(staleness)}
        for name, value in {**push.metrics, **stale}.items():
            self._values[name].append(value)
        self.messages += 1
        self.steps += push.steps

    def take(self) -> Metrics:
        """Means, and of what ends in ``_max`` the largest; then start again."""
        metrics = {
            name: max(values) if name.endswith("_max") else sum(values) / len(values)
            for name, values in self._values.items()
        }
        self._values.clear()
        self.messages = self.steps = 0
        return metrics
