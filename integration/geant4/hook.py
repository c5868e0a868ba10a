# SPDX-License-Identifier: BSD-3-Clause
"""Hook for Geant4 event loops in Python: stops particles that enter a calorimeter, and simulates them by models."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeAlias

import geant4_pybind as g4
import numpy as np

from fastcalo.detector.description import DEFAULT_DETECTOR, DetectorLike
from fastcalo.errors import ConfigError
from fastcalo.event.events import Events, Reason
from fastcalo.event.hits import Hits
from fastcalo.model.shower_model import DEFAULT_MODELS
from fastcalo.simulation.fast import FastSimulation, ModelLike
from fastcalo.simulation.placing import Deposits, sum_deposits

from .statistics import HookStatistics

WORLD_REGION = "DefaultRegionForTheWorld"
"""Geant4's name of the region of all volumes that are given to no other."""

ReadDeposits: TypeAlias = Callable[[Any], Mapping[str, Deposits]]
"""Returns what Geant4 itself deposited in an event (a G4Event), by section; the deposits' event number is replaced."""


class FastSimulationHook:
    """Stops particles that enter a region of Geant4's geometry, and simulates an event's in one batch at its end.

    A particle outside the models' domain is tracked on by Geant4. What Geant4 deposits of it, and all else, is read at
    the end of the event, and summed with the models' deposits cell by cell.

    Parameters
    ----------
    detector : Detector, name or path
    models : ShowerModel, name or path, or several of them
    region : str
        The region of the calorimeter's volumes. Its outer surface should be the face of the detector, or lie in front
        of it: a particle that enters behind the face is tracked on.
    module : int, optional
        Geant4's volumes are this one module, in the module's frame. Unless given they are the whole detector, in global
        coordinates.
    deposits : callable, optional
        Reads what Geant4 deposited at the end of an event (`ReadDeposits`); hits are the models' only unless given.
    outside : sequence of str
        Regions that particles come from.
    seed : int
        Of the models' random numbers, which depend on nothing else but run, event, and the order of entries in it.
    run : int
        Number of the run in the hits. Events have Geant4's numbers.

    Attributes
    ----------
    statistics : HookStatistics

    Raises
    ------
    ConfigError
        The detector has no such module.
    ContractError
        A model was trained for other layers than the detector's.

    Notes
    -----
    Geant4 calls the stepping action for steps that begin outside of the region only, so that what is tracked on inside
    costs nothing. It has to be a run manager without threads: Python's user actions hang in one with threads.

    Examples
    --------
    >>> hook = FastSimulationHook("clic-like", region="calorimeter")  # doctest: +SKIP
    >>> manager.SetUserAction(hook.event_action)  # doctest: +SKIP
    >>> manager.Initialize()  # doctest: +SKIP
    >>> hook.attach()  # doctest: +SKIP
    >>> manager.BeamOn(100)  # doctest: +SKIP
    >>> hits = hook.take_hits()  # doctest: +SKIP
    """

    def __init__(
        self,
        detector: DetectorLike = DEFAULT_DETECTOR,
        models: ModelLike | Sequence[ModelLike] = DEFAULT_MODELS,
        *,
        region: str,
        module: int | None = None,
        deposits: ReadDeposits | None = None,
        outside: Sequence[str] = (WORLD_REGION,),
        seed: int = 0,
        run: int = 0,
    ) -> None:
        self.engine = FastSimulation(detector, models)
        self.detector = self.engine.detector
        self.region, self.outside, self.seed, self.run = region, tuple(outside), seed, run
        modules = len(self.detector.layout)
        if module is not None and not 0 <= module < modules:
            raise ConfigError(f"module: {module} is not one of 0 to {modules - 1}, the modules of {self.detector.name}")
        self._module = module
        self._read_deposits = deposits
        self.statistics = HookStatistics()
        # Geant4 does not own what Python has made: without a reference it would vanish
        self._stepping_action: Any = None
        self._attached = False
        self._entries: list[Events] = []
        self._finished: list[tuple[int, Hits | None, Mapping[str, Deposits]]] = []

    @cached_property
    def event_action(self) -> Any:
        """The G4UserEventAction to be given to Geant4; Geant4 wants the physics list to be set before it is made."""
        return _EventAction(self)

    def attach(self) -> None:
        """Begin to stop particles; to be called when Geant4's run manager is initialised.

        Raises
        ------
        ConfigError
            Geant4 has no such region.
        """
        self._stepping_action = self._stepping_action or _SteppingAction(self)
        self._set(self._stepping_action)

    def detach(self) -> None:
        """Stop no more particles: Geant4 tracks all of them. Deposits are still read."""
        self._set(None)

    def _set(self, action: Any) -> None:
        store = g4.G4RegionStore.GetInstance()
        for name in (self.region, *self.outside):
            if store.GetRegion(name, False) is None:
                raise ConfigError(f"FastSimulationHook: Geant4's geometry has no region {name!r}")
        for name in self.outside:
            store.GetRegion(name, False).SetRegionalSteppingAction(action)
        self._attached = action is not None

    def enter(self, track: Any) -> bool:
        """Decide about a G4Track that enters the region: whether it is to be stopped."""
        start = time.perf_counter()
        entry = self._particle(track)
        reason = int(self.engine.reasons(entry)[0])
        self._entries.append(entry)
        self.statistics.entries[reason] += 1
        self.statistics.kinetic_energy[reason] += track.GetKineticEnergy() / g4.GeV
        self.statistics.decision_seconds += time.perf_counter() - start
        return reason == Reason.SIMULATED

    def _particle(self, track: Any) -> Events:
        """One particle where it is now, in the detector's coordinates."""
        at, p = track.GetPosition() / g4.mm, track.GetMomentum() / g4.GeV
        vertex, momentum = np.array([[at.x, at.y, at.z]]), np.array([[p.x, p.y, p.z]])
        if self._module is not None:
            vertex = self.detector.layout.to_global([self._module], vertex)
            momentum = momentum @ self.detector.layout.axes[self._module]
        return Events(
            offsets=np.array([0, 1]),
            pdg=np.array([track.GetDefinition().GetPDGEncoding()], np.int32),
            momentum=momentum,
            mass=np.array([track.GetDynamicParticle().GetMass() / g4.GeV]),
            vertex=vertex,
            final=np.ones(1, np.bool_),
            run=np.zeros(1, np.int64),
            event=np.zeros(1, np.int64),
            time=np.array([track.GetGlobalTime() / g4.ns]),
        )

    def end_event(self, event: Any) -> None:
        """Simulate what was stopped in a G4Event, and read what Geant4 deposited."""
        start = time.perf_counter()
        number = event.GetEventID()
        hits = self.engine.run(self._batch(number), self.seed) if self._entries else None
        self._entries.clear()
        self.statistics.events += self._attached
        self.statistics.model_seconds += time.perf_counter() - start
        self._finished.append((number, hits, self._read_deposits(event) if self._read_deposits else {}))

    def _batch(self, number: int) -> Events:
        """All that entered in this event, whether stopped or refused, in the order of entry."""

        def column(name: str) -> Any:
            return np.concatenate([getattr(entry, name) for entry in self._entries])

        return Events(
            offsets=np.array([0, len(self._entries)]),
            pdg=column("pdg"),
            momentum=column("momentum"),
            mass=column("mass"),
            vertex=column("vertex"),
            final=column("final"),
            run=np.array([self.run]),
            event=np.array([number]),
            time=column("time"),
        )

    def take_hits(self) -> Hits:
        """Return the hits of all events that ended since it was called last.

        Returns
        -------
        Hits
            Deposits of the models and of Geant4, summed cell by cell, and the detector's thresholds applied. The
            particles, and the reasons, are those of what entered the region, in the order of entry.
        """
        finished, self._finished = self._finished, []
        n = len(finished)
        reasons = [np.zeros(0, np.int8) if hits is None else hits.reason for _, hits, _ in finished]
        sections = {}
        for section in self.detector.sections:
            parts = []
            for k, (_, hits, deposits) in enumerate(finished):
                parts += [] if hits is None else [self._decoded(section.name, hits, k)]
                parts += [_numbered(deposits[section.name], k)] if section.name in deposits else []
            sections[section.name] = sum_deposits(self.detector, section.name, parts, n, section.threshold)
        return Hits(
            sections,
            run=np.full(n, self.run, np.int64),
            event=np.array([number for number, *_ in finished], np.int64),
            reason=np.concatenate([np.zeros(0, np.int8), *reasons]),
            particle_offsets=np.cumsum([0, *map(len, reasons)]).astype(np.int64),
        )

    def _decoded(self, name: str, hits: Hits, event: int) -> Deposits:
        """The hits of one event as deposits, to be summed with others."""
        found = hits.sections[name]
        cell = self.detector.decode(name, found.cell_id)
        number = np.full(found.n_hits, event)
        return Deposits(number, cell["module"], cell["layer"], cell["x"], cell["y"], found.energy)


def _numbered(deposits: Deposits, event: int) -> Deposits:
    d = deposits
    return Deposits(np.full(len(d.deposit), event), d.module, d.layer, d.ix, d.iy, d.deposit)


class _SteppingAction(g4.G4UserSteppingAction):  # type: ignore[misc]
    """Looks for steps that end where the region begins."""

    def __init__(self, hook: FastSimulationHook) -> None:
        super().__init__()
        self._hook = hook

    def UserSteppingAction(self, step: Any) -> None:
        """Stop what enters, if a model is valid for it."""
        if step.GetPostStepPoint().GetStepStatus() != g4.G4StepStatus.fGeomBoundary:
            return
        track = step.GetTrack()
        volume = track.GetNextVolume()
        # the region is asked for, not a volume: an envelope is never the next one if a daughter begins at its face
        if volume is None or volume.GetLogicalVolume().GetRegion().GetName() != self._hook.region:
            return
        if track.GetTrackStatus() == g4.G4TrackStatus.fAlive and self._hook.enter(track):
            track.SetTrackStatus(g4.G4TrackStatus.fStopAndKill)


class _EventAction(g4.G4UserEventAction):  # type: ignore[misc]
    """Notifies the hook that an event ends."""

    def __init__(self, hook: FastSimulationHook) -> None:
        super().__init__()
        self._hook = hook

    def EndOfEventAction(self, event: Any) -> None:
        """Simulate what was stopped."""
        self._hook.end_event(event)
