# SPDX-License-Identifier: BSD-3-Clause
"""What a conversion asks of an engine, and what an engine may state beyond that."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from ..detector.description import Detector
from ..event.events import Events
from ..event.hits import Hits


class Engine(Protocol):
    """What turns particles into hits: fast simulation, or full simulation behind the same interface.

    To go to worker processes it must be picklable. It may report more: see `TimedEngine` and `TracedEngine`.
    """

    @property
    def detector(self) -> Detector:
        """The calorimeter."""
        ...

    def run(self, events: Events, seed: int = 0) -> Hits:
        """Simulate all particles of the events. What comes out must depend on the seed and the event only."""
        ...


@runtime_checkable
class TimedEngine(Engine, Protocol):
    """An engine that takes the time of its networks."""

    @property
    def network_seconds(self) -> float:
        """Time spent in networks since the engine was made."""
        ...


@runtime_checkable
class TracedEngine(Engine, Protocol):
    """An engine that reports what it is made of."""

    def provenance(self) -> dict[str, Any]:
        """Return models, their hashes and the like, as JSON can hold it."""
        ...


@runtime_checkable
class ContributingEngine(Engine, Protocol):
    """An engine that can state what single particles made of each hit, and when."""

    @property
    def contributions(self) -> bool:
        """Whether it does."""
        ...

    @property
    def full_simulation(self) -> bool:
        """Whether it follows every particle of a shower."""
        ...
