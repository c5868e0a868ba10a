# SPDX-License-Identifier: BSD-3-Clause
"""One engine of two: fast simulation where models are valid, and full simulation of the particles that they refuse."""

from __future__ import annotations

from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import numpy as np

from ..detector.description import Detector
from ..errors import ConfigError
from ..event.events import Events, Reason
from ..event.hits import Hits, SectionHits
from ..event.reasons import NEVER_REJECTED
from ..simulation.fast import FastSimulation
from ..simulation.placing import deposits_of_hits, sum_deposits, with_source
from .engine import Geant4Simulation


class CombinedSimulation:
    """Simulates by models where they are valid, and by Geant4 where they are not.

    Parameters
    ----------
    fast : FastSimulation
    full : Geant4Simulation
        In the same detector, but for its settings of Geant4: see `with_widest_range`. Both give contributions, or
        neither does. It ends with this engine.

    Raises
    ------
    ConfigError
        They are of different detectors, or only one gives contributions.

    Notes
    -----
    Each engine applies the thresholds to what it makes; a cell that both have is then one hit with the sum, as if
    `merge` had put two files together. A particle that neither simulates has the reason that full simulation gives.

    Examples
    --------
    >>> from fastcalo import FastSimulation, Geant4Simulation, convert
    >>> with CombinedSimulation(FastSimulation(), Geant4Simulation(workers=2)) as engine:  # doctest: +SKIP
    ...     summary = convert("examples/demo/events.root", "hits.root", engine, seed=1)
    """

    def __init__(self, fast: FastSimulation, full: Geant4Simulation) -> None:
        # settings of Geant4 may differ
        if replace(full.detector, geant4=fast.detector.geant4).hash != fast.detector.hash:
            raise ConfigError(
                f"the engines are of different detectors: {fast.detector.name!r} and {full.detector.name!r}"
            )
        if fast.contributions != full.contributions:
            raise ConfigError("contributions: make both engines with contributions=True, or neither")
        self.fast, self.full = fast, full

    def __repr__(self) -> str:
        return f"<CombinedSimulation of {self.fast!r} and {self.full!r}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End Geant4's processes; they start again when they are needed."""
        self.full.close()

    @property
    def detector(self) -> Detector:
        """The calorimeter."""
        return self.fast.detector

    @property
    def contributions(self) -> bool:
        """Whether hits state what each particle made of them."""
        return self.fast.contributions

    @property
    def full_simulation(self) -> bool:
        """False: not of all particles. `Hits.fully` states of which."""
        return False

    @property
    def network_seconds(self) -> float:
        """Time spent in the models' backends so far."""
        return self.fast.network_seconds

    def provenance(self) -> dict[str, Any]:
        """Models, Geant4 and its data, as JSON can hold it.

        Raises
        ------
        Geant4DataError, MissingDependencyError
            Geant4 or its physics data are missing.
        """
        settings = self.full.detector.geant4.description
        return {**self.fast.provenance(), "full": {**self.full.provenance(), **settings}}

    def run(self, events: Events, seed: int = 0) -> Hits:
        """Simulate events.

        Parameters
        ----------
        events : Events
        seed : int
            What a particle draws depends on the seed, its event's identifiers, and its index in the event, only.

        Returns
        -------
        Hits
            Of both engines; the `Reason` of every particle.

        Raises
        ------
        FastCaloError
            See `FastSimulation.run` and `Geant4Simulation.run`.
        """
        hits = self.fast.run(events, seed)
        refused = ~np.isin(hits.reason, NEVER_REJECTED)
        if not refused.any():
            return replace(hits, fully=np.zeros(events.n_particles, np.bool_))
        rest = self.full.run(replace(events, final=events.final & refused), seed)
        reason = np.where(refused, rest.reason, hits.reason)
        sections = {
            name: self._sum(name, (section, rest.sections[name]), events.n_events)
            for name, section in hits.sections.items()
        }
        return replace(hits, sections=sections, reason=reason, fully=refused & (reason == Reason.SIMULATED))

    def _sum(self, name: str, both: tuple[SectionHits, SectionHits], n_events: int) -> SectionHits:
        parts = [
            deposits_of_hits(
                self.detector, name, np.repeat(np.arange(n_events), np.diff(hits.offsets)), hits.cell_id, hits.energy
            )
            for hits in both
        ]
        made = [hits.contributions for hits in both]
        single = [with_source(part, found) for part, found in zip(parts, made, strict=True) if found is not None]
        return sum_deposits(self.detector, name, parts, n_events, contributions=single if self.contributions else None)
