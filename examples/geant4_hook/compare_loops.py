# SPDX-License-Identifier: BSD-3-Clause
"""A Geant4 event loop with and without fast simulation: times, energies, and what became of the particles.

    python examples/geant4_hook/compare_loops.py --events 5 --write . && fastcalo compare without.root with.root

The geometry is one module of the default detector, as in full simulation. The particles are those of the demo's events
that meet a stave of the barrel, up to `--most-gev` each; all of an event enter the same stave.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import fastcalo
from fastcalo.detector.description import load_detector
from fastcalo.fullsim.data import find_data
from fastcalo.fullsim.shots import GUN_MM
from fastcalo.model.shower_model import DEFAULT_MODELS
from fastcalo.simulation.propagation import propagate

# before Geant4 is imported: it would ask for data that it does not find
os.environ.update({name: str(path) for name, path in find_data().items()})

import geant4_pybind as g4

from fastcalo.integration.geant4 import FastSimulationHook, ModuleStack

DEMO = Path(__file__).parents[1] / "demo" / "events.root"
Particle = tuple[int, float, tuple[float, float, float], tuple[float, float]]
"""PDG code, kinetic energy (GeV), direction and point on the face (mm) in the module's frame."""


class Gun(g4.G4VUserPrimaryGeneratorAction):  # type: ignore[misc]
    """Shoots the particles of one event after the other, each from just in front of the face."""

    def __init__(self, events: list[list[Particle]]) -> None:
        super().__init__()
        self._gun, self._events = g4.G4ParticleGun(1), events

    def GeneratePrimaries(self, event: Any) -> None:
        """Shoot all particles of an event; its number gives Geant4's random numbers."""
        number = event.GetEventID()
        g4.HepRandom.setTheSeeds([number + 1, 1, 0])
        for pdg, energy, (x, y, z), (px, py) in self._events[number]:
            self._gun.SetParticleDefinition(g4.G4ParticleTable.GetParticleTable().FindParticle(pdg))
            self._gun.SetParticleEnergy(energy * g4.GeV)
            self._gun.SetParticleMomentumDirection(g4.G4ThreeVector(x, y, z))
            self._gun.SetParticlePosition(g4.G4ThreeVector(px - GUN_MM * x / z, py - GUN_MM * y / z, -GUN_MM))
            self._gun.GeneratePrimaryVertex(event)


class Actions(g4.G4VUserActionInitialization):  # type: ignore[misc]
    """The gun, and the hook's action at the end of events."""

    def __init__(self, gun: Gun, hook: FastSimulationHook) -> None:
        super().__init__()
        self._gun, self._hook = gun, hook

    def Build(self) -> None:
        """Give them to Geant4."""
        self.SetUserAction(self._gun)
        self.SetUserAction(self._hook.event_action)


class EventLoop:
    """Geant4 with one module of a detector in the region ``calorimeter``.

    Parameters
    ----------
    events : list of list of Particle
    detector : str or path
    models : str or path, or several
    seed : int
        Of the models.
    """

    def __init__(self, events: list[list[Particle]], detector: str, models: Any, seed: int = 1) -> None:
        self.events = events
        self._stack = ModuleStack(load_detector(detector), region="calorimeter", module=0)
        self.hook = FastSimulationHook(
            self._stack.detector, models, region="calorimeter", module=0, deposits=self._stack.deposits, seed=seed
        )
        g4.HepRandom.setTheEngine(g4.MixMaxRng())
        self._manager = g4.G4RunManagerFactory.CreateRunManager(g4.G4RunManagerType.SerialOnly)
        self._manager.SetUserInitialization(self._stack)
        settings = self._stack.detector.geant4
        self._physics = getattr(g4, settings.physics_list)()
        self._physics.SetDefaultCutValue(settings.production_cut_mm * g4.mm)
        self._physics.SetVerboseLevel(0)
        self._manager.SetUserInitialization(self._physics)
        self._actions = Actions(Gun(events), self.hook)
        self._manager.SetUserInitialization(self._actions)
        for what in ("process", "process/em", "process/had", "run", "hits"):
            g4.G4UImanager.GetUIpointer().ApplyCommand(f"/{what}/verbose 0")
        self._manager.Initialize()
        # a run without events fills the tables, which would be counted among the time of the first event
        self._manager.BeamOn(0)

    def run(self, *, fast: bool) -> tuple[fastcalo.Hits, float]:
        """All events with or without fast simulation: hits, and processor time in s."""
        if fast:
            self.hook.attach()
        else:
            self.hook.detach()
        start = time.process_time()
        self._manager.BeamOn(len(self.events))
        return self.hook.take_hits(), time.process_time() - start


def demo_particles(n_events: int, most_gev: float) -> list[list[Particle]]:
    """Particles of the demo's first events where they meet the barrel's staves."""
    detector = load_detector()
    events = next(fastcalo.open_events(DEMO).iterate(step_size=n_events))
    arrival = propagate(detector, events.pdg, events.momentum, events.vertex)
    energy = events.kinetic_energy
    good = events.final & (arrival.module >= 0) & (arrival.module < detector.barrel.staves) & (energy <= most_gev)
    good &= ~np.isin(np.abs(events.pdg), (12, 14, 16))
    point = arrival.cell * detector.sections[0].cell_mm + arrival.entry
    shots: list[list[Particle]] = [[] for _ in range(events.n_events)]
    for k in np.flatnonzero(good).tolist():
        particle = (
            int(events.pdg[k]),
            float(energy[k]),
            tuple(arrival.direction[k].tolist()),
            tuple(point[k].tolist()),
        )
        shots[events.event_of_particle[k]].append(particle)
    return shots


def energies(hits: fastcalo.Hits) -> str:
    """Sum of the hits' energies by section."""
    return ", ".join(f"{name} {s.total_energy:.4f} GeV in {s.n_hits} hits" for name, s in hits.sections.items())


def main() -> None:
    """Run both loops, and print what they did."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=5)
    parser.add_argument("--most-gev", type=float, default=20.0)
    parser.add_argument("--models", nargs="+", default=DEFAULT_MODELS)
    parser.add_argument("--write", type=Path, help="folder for files of hits, with.root and without.root")
    options = parser.parse_args()
    shots = demo_particles(options.events, options.most_gev)
    n, energy = sum(map(len, shots)), sum(particle[1] for event in shots for particle in event)
    loop = EventLoop(shots, "clic-like", options.models)
    print(f"{len(shots)} events, {n} particles with {energy:.2f} GeV")
    seconds = {}
    for fast in (False, True):
        hits, seconds[fast] = loop.run(fast=fast)
        each = 1000 * seconds[fast] / len(shots)
        print(f"{'with' if fast else 'without'} fast simulation: {each:.1f} ms of processor time per event")
        print(f"  {energies(hits)}")
        if options.write:
            name = "with.root" if fast else "without.root"
            fastcalo.write_hits(options.write / name, [hits], detector="clic-like", overwrite=True)
    print(f"ratio of times: {seconds[False] / seconds[True]:.1f}")
    print(loop.hook.statistics)


if __name__ == "__main__":
    main()
    # Geant4 may crash in the clean-up of interpreter and libraries
    sys.stdout.flush()
    os._exit(0)
