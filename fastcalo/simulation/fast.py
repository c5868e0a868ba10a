# SPDX-License-Identifier: BSD-3-Clause
"""Fast simulation engine: `Events` to `Hits` through shower models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..detector.description import DEFAULT_DETECTOR, DetectorLike, load_detector
from ..errors import ConfigError
from ..event.events import Events, Reason
from ..event.hits import Hits
from ..model.random_numbers import streams_of
from ..model.shower_model import DEFAULT_MODELS, ShowerModel, load_model
from ..model.sparse_showers import SparseShowers
from .acceptance import first_reason, outside_range
from .flight import Flight
from .placing import Deposits, crossed_cells, sum_deposits
from .propagation import Arrival, propagate

ModelLike: TypeAlias = ShowerModel | str | Path
"""A model, the name of a shipped one, or the path of a file."""


class FastSimulation:
    """Simulates every particle for which one of its models is valid, and gives the reason of all others.

    Parameters
    ----------
    detector : Detector, name or path
    models : ShowerModel, name or path, or several of them
        The shipped ones, of electrons, photons and hadrons, unless given. A particle goes to the first that knows its
        species; if there is none, the detector's description may name another species that it is simulated as.
    threads : int, optional
        Threads of ONNX Runtime, for models given by name or path.
    backend : str
        What runs models given by name or path, see `load_model`.
    contributions : bool
        Whether hits state what each particle made of them, and when (`SectionHits.contributions`).

    Raises
    ------
    ContractError
        A model was trained for other layers than the detector's.

    Examples
    --------
    >>> from fastcalo import FastSimulation, open_events
    >>> engine = FastSimulation("clic-like", "em")
    >>> for events in open_events("examples/demo/events.root").iterate(step_size=150):
    ...     print(engine.run(events, seed=1).n_events)
    150
    150
    """

    def __init__(
        self,
        detector: DetectorLike = DEFAULT_DETECTOR,
        models: ModelLike | Sequence[ModelLike] = DEFAULT_MODELS,
        threads: int | None = None,
        backend: str = "auto",
        *,
        contributions: bool = False,
    ) -> None:
        self.contributions = contributions
        several = [models] if isinstance(models, ShowerModel | str | Path) else list(models)
        if not several:
            raise ConfigError("FastSimulation needs at least one model")
        self.detector = load_detector(detector)
        self.models = [m if isinstance(m, ShowerModel) else load_model(m, threads, backend) for m in several]
        for model in self.models:
            model.contract.check_detector(self.detector, str(model.path))
        self.substitutes = self.detector.substitutes.in_force([s for m in self.models for s in m.contract.species])

    @property
    def full_simulation(self) -> bool:
        """False: it does not follow the particles of a shower."""
        return False

    def __repr__(self) -> str:
        return f"<FastSimulation of {self.detector.name!r} by {', '.join(repr(m.name) for m in self.models)}>"

    @property
    def network_seconds(self) -> float:
        """Time spent in the models' backends so far."""
        return sum(m.network_seconds for m in self.models)

    def provenance(self) -> dict[str, Any]:
        """Models and their hashes, and what stands for species that they do not know, as JSON can hold it."""
        return {
            "substitutes": self.substitutes.description,
            "models": [
                {
                    "name": m.name,
                    "file": m.path.name,
                    "sha256": m.file_hash,
                    "stack_hash": m.contract.stack_hash,
                    "data_hash": m.contract.data_hash,
                    "code_version": m.contract.code_version,
                }
                for m in self.models
            ],
        }

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
            Deposits of all particles of an event, summed per cell; the `Reason` of every particle.

        Raises
        ------
        InputError
            Too many events at a time, or the seed does not fit 64 bits.
        """
        pdg, kinetic_energy = self.substitutes.apply(events.pdg, events.kinetic_energy)
        reason, model_of, candidates, arrival = self._verdict(events, pdg, kinetic_energy)
        energy = kinetic_energy[candidates]
        event = events.event_of_particle[candidates]
        digest, index = events.random_keys
        random = streams_of(seed, digest[candidates], index[candidates])
        found: dict[str, list[Deposits]] = {s.name: [] for s in self.detector.sections}
        for k, model in enumerate(self.models):
            mine = np.flatnonzero((reason[candidates] == Reason.SIMULATED) & (model_of[candidates] == k))
            direction = arrival.direction[mine].astype(np.float32)
            point, cell = arrival.entry[mine], arrival.cell[mine]
            flight = self._flight(events, candidates[mine], arrival, mine) if self.contributions else None
            if model.contract.whole:
                point, cell = point + cell * self.detector.sections[0].cell_mm, np.zeros_like(cell)
            entry = point.astype(np.float32)
            showers = model.sample(
                pdg[candidates][mine],
                energy[mine].astype(np.float32),
                direction,
                entry,
                random.take(mine),
            )
            for section, sparse in showers.items():
                found[section].append(
                    self._place(section, sparse, event[mine], arrival.module[mine], cell, direction, entry, flight)
                )
        sections = {
            name: sum_deposits(
                self.detector, name, parts, events.n_events, contributions=parts if self.contributions else None
            )
            for name, parts in found.items()
        }
        return Hits(sections, events.run, events.event, reason, events.offsets, events.luminosity_block, events.repeat)

    def reasons(self, events: Events) -> NDArray[np.int8]:
        """Return the `Reason` that `run` would give every particle, int8 [n], without a simulation.

        Parameters
        ----------
        events : Events
        """
        return self._verdict(events, *self.substitutes.apply(events.pdg, events.kinetic_energy))[0]

    def _verdict(
        self, events: Events, pdg: NDArray[np.int64], kinetic_energy: NDArray[np.float64]
    ) -> tuple[NDArray[np.int8], NDArray[np.int64], NDArray[np.int64], Arrival]:
        """Reasons and models of all particles; rows of those of known species, and where these arrive."""
        reason, model_of = self._species(events, pdg)
        candidates = np.flatnonzero(reason == Reason.SIMULATED)
        arrival = propagate(
            self.detector, events.pdg[candidates], events.momentum[candidates], events.vertex[candidates]
        )
        reason[candidates] = self._validity(arrival, kinetic_energy[candidates], model_of[candidates])
        return reason, model_of, candidates, arrival

    def _species(self, events: Events, pdg: NDArray[np.int64]) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
        """First part of the verdict, and the model that knows what each particle is simulated as (-1 for none)."""
        model_of = np.full(events.n_particles, -1)
        for k, model in reversed(list(enumerate(self.models))):
            model_of[np.isin(pdg, model.contract.species)] = k
        return first_reason(events, model_of >= 0), model_of

    def _validity(self, arrival: Arrival, energy: NDArray[np.float64], model_of: NDArray[np.int64]) -> NDArray[np.int8]:
        """Second part of the verdict, for particles of known species."""
        reason = arrival.reason.copy()
        for k, model in enumerate(self.models):
            mine = (model_of == k) & (reason == Reason.SIMULATED)
            reason[mine] = outside_range(
                energy[mine],
                model.contract.kinetic_energy,
                model.energy_ok(energy[mine]),
                model.angle_ok(arrival.direction[mine, 2]),
            )
        return reason

    def _place(
        self,
        name: str,
        showers: SparseShowers,
        event: NDArray[np.int64],
        module: NDArray[np.int16],
        cell: NDArray[np.int64],
        direction: NDArray[np.float32],
        entry: NDArray[np.float32],
        flight: Flight | None,
    ) -> Deposits:
        """Cells of the detector: a shift by whole cells, layer by layer."""
        section, first = self.detector.section(name), self.detector.sections[0]
        shift = crossed_cells(section, entry, direction)
        shift += np.floor(cell * (first.cell_mm / section.cell_mm) + 0.5).astype(np.int64)[:, None]
        row, layer = showers.shower, showers.layer
        moved = shift[row, layer]
        ix, iy = moved[:, 0] + showers.x, moved[:, 1] + showers.y
        source = None if flight is None else flight.source(section, row, ix, iy, layer)
        return Deposits(event[row], module[row], layer, ix, iy, showers.deposit, source)

    def _flight(self, events: Events, rows: NDArray[np.int64], arrival: Arrival, mine: NDArray[np.int64]) -> Flight:
        """Flight of particles to the face: their rows in the events, and in what arrives."""
        return Flight.to_face(
            particle=events.index_in_event[rows],
            born=np.zeros(len(rows)) if events.time is None else events.time[rows],
            momentum=np.linalg.norm(events.momentum[rows], axis=1),
            mass=events.mass[rows],
            length=arrival.length[mine],
            entry=arrival.cell[mine] * self.detector.sections[0].cell_mm + arrival.entry[mine],
        )
