# SPDX-License-Identifier: BSD-3-Clause
"""Full simulation with Geant4 behind the interface of the fast engine."""

from __future__ import annotations

import math
import threading
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..detector.description import DEFAULT_DETECTOR, DetectorLike, load_detector
from ..event.contributions import FULL_STEP_MM
from ..event.events import Events, Reason
from ..event.hits import Hits
from ..model.random_numbers import streams_of
from ..simulation.acceptance import first_reason, outside_range
from ..simulation.placing import Deposits, DepositSource, sum_deposits
from ..simulation.propagation import Arrival, flight_time, propagate
from .data import find_data
from .pool import Geant4Pool
from .shots import GUN_MM, Shots, seeds_from

# so few that processes finish together, so many that messages cost nothing
_BATCH = 4
# rounding of energies that are given by momentum and mass
_SLACK = 1e-6


class Geant4Simulation:
    """Simulates every particle that Geant4 knows, shower particle by shower particle.

    Parameters
    ----------
    detector : Detector, name or path
        Its table ``[geant4]`` states with which physics, and for which energies and angles.
    workers : int
        Processes of Geant4. What comes out does not depend on it.
    contributions : bool
        Whether hits state what each particle made of them, and when (`SectionHits.contributions`). A particle is one of
        the events', and stands for all that its shower deposits.

    Notes
    -----
    Geant4 starts when it is first needed, in processes of its own. They end with the engine, with `close`, or at the
    end of a ``with`` block. All cells are kept, not only those of a window; the threshold is applied to the sum of all
    particles of an event.

    Examples
    --------
    >>> from fastcalo import Geant4Simulation, open_events
    >>> events = next(open_events("examples/demo/events.root").iterate(step_size=3))
    >>> with Geant4Simulation("clic-like", workers=2) as engine:  # doctest: +SKIP
    ...     hits = engine.run(events, seed=1)
    """

    def __init__(
        self, detector: DetectorLike = DEFAULT_DETECTOR, workers: int = 1, *, contributions: bool = False
    ) -> None:
        self.detector = load_detector(detector)
        self.contributions = contributions
        self.geant4_seconds = 0.0
        self._pool = Geant4Pool(self.detector, workers, times=contributions)
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Geant4Simulation of {self.detector.name!r}>"

    def __getstate__(self) -> dict[str, Any]:
        return {
            "detector": self.detector,
            "contributions": self.contributions,
            "geant4_seconds": self.geant4_seconds,
            "_pool": self._pool,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def full_simulation(self) -> bool:
        """True: it follows every particle of a shower."""
        return True

    def close(self) -> None:
        """End Geant4's processes; they start again when they are needed."""
        self._pool.close()

    def provenance(self) -> dict[str, Any]:
        """Version of Geant4, physics and data sets, as JSON can hold it.

        Raises
        ------
        Geant4DataError, MissingDependencyError
            Geant4 or its physics data are missing.
        """
        with self._lock:
            return geant4_facts(self._pool)

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
        DetectorError
            Geant4 does not know a material or the physics list, or cannot number the cells.
        Geant4DataError, MissingDependencyError
            Geant4 or its physics data are missing.
        Geant4Error
            Geant4 died; the message names the particle.
        """
        with self._lock:
            codes, which = np.unique(events.pdg, return_inverse=True)
            known = np.array(self._pool.knows(codes.tolist()), bool)[which]
            reason = first_reason(events, known)
            rows = np.flatnonzero(reason == Reason.SIMULATED)
            arrival = propagate(self.detector, events.pdg[rows], events.momentum[rows], events.vertex[rows])
            reason[rows] = self._range(arrival, events.kinetic_energy[rows])
            arrived = reason[rows] == Reason.SIMULATED
            rows = rows[arrived]
            event = events.event_of_particle[rows]
            digest, index = events.random_keys
            random = streams_of(seed, digest[rows], index[rows])
            shots = Shots(
                number=rows,
                pdg=events.pdg[rows].astype(np.int64),
                kinetic_energy=events.kinetic_energy[rows],
                direction=arrival.direction[arrived],
                position=arrival.cell[arrived] * self.detector.sections[0].cell_mm + arrival.entry[arrived],
                seeds=seeds_from(random.words(0, 2)[:, :2]),
            )
            begin = self._begin(events, rows, arrival.length[arrived], shots) if self.contributions else None
            found = self._simulate(shots, event, arrival.module[arrived], events.index_in_event[rows], begin)
        sections = {
            s.name: sum_deposits(
                self.detector,
                s.name,
                found[s.name],
                events.n_events,
                s.threshold,
                contributions=found[s.name] if self.contributions else None,
            )
            for s in self.detector.sections
        }
        return Hits(sections, events.run, events.event, reason, events.offsets, events.luminosity_block, events.repeat)

    def _range(self, arrival: Arrival, energy: NDArray[np.float64]) -> NDArray[np.int8]:
        """Second part of the verdict, for particles of known species."""
        low, high = self.detector.geant4.kinetic_energy
        energy_ok = (energy >= low * (1 - _SLACK)) & (energy <= high * (1 + _SLACK))
        angle_ok = arrival.direction[:, 2] >= math.cos(self.detector.geant4.max_angle) - _SLACK
        reason = outside_range(energy, (low, high), energy_ok, angle_ok)
        return np.where(arrival.reason == Reason.SIMULATED, reason, arrival.reason)

    @staticmethod
    def _begin(
        events: Events, rows: NDArray[np.int64], length: NDArray[np.float64], shots: Shots
    ) -> NDArray[np.float64]:
        """When each shot begins, which is a bit in front of the face, ns since the event, float64 [n]."""
        born = np.zeros(len(rows)) if events.time is None else events.time[rows]
        momentum = np.linalg.norm(events.momentum[rows], axis=1)
        return born + flight_time(length - GUN_MM / shots.direction[:, 2], momentum, events.mass[rows])

    def _simulate(
        self,
        shots: Shots,
        event: NDArray[np.int64],
        module: NDArray[np.int16],
        particle: NDArray[np.int64],
        begin: NDArray[np.float64] | None,
    ) -> dict[str, list[Deposits]]:
        found: dict[str, list[Deposits]] = {s.name: [] for s in self.detector.sections}
        start = 0
        for showers in self._pool.run(shots.split(_BATCH)):
            self.geant4_seconds += showers.seconds
            for name, c in showers.sections.items():
                row = c.shot + start
                source = None
                if begin is not None and c.time is not None and c.first_time is not None:
                    step = np.full(len(row), FULL_STEP_MM, np.float32)
                    source = DepositSource(particle[row], begin[row] + c.first_time, begin[row] + c.time, step)
                found[name].append(Deposits(event[row], module[row], c.layer, c.ix, c.iy, c.deposit, source))
            start += len(showers.shots)
        return found


def geant4_facts(pool: Geant4Pool) -> dict[str, Any]:
    """With what a pool simulates, as JSON can hold it.

    Raises
    ------
    Geant4DataError, MissingDependencyError
        Geant4 or its physics data are missing.
    """
    settings = pool.detector.geant4
    data = find_data()
    return {
        "geant4": pool.version,
        "physics_list": settings.physics_list,
        "production_cut_mm": settings.production_cut_mm,
        "data_sets": {name: path.name for name, path in data.items() if name != "GEANT4_DATA_DIR"},
    }
