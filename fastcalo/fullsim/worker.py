# SPDX-License-Identifier: BSD-3-Clause
"""Geant4 worker process: ``python -m fastcalo.fullsim.worker FD`` simulates the particles sent over a socket.

It is started by `pool`, and holds one run manager, of which Geant4 allows one per process. Standard output and standard
error are Geant4's. It answers every message with one, ``(kind, content)``, and reports each shot before it starts, so
that its parent knows which one it died of. It ends when the socket is closed.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .shots import CellColumns, Shots, Showers

_LOOK_AFTER_PARENT_S = 2.0


class Simulator:
    """Geant4, initialised for a detector.

    Parameters
    ----------
    description : dict
        `Detector.description`.
    times : bool
        Whether the time of each deposit is scored, too.
    start_mm : float, optional
        Depth in front of the face at which shots begin, upstream along the line of flight; `shots.GUN_MM` unless given.

    Raises
    ------
    DetectorError
        A material or a physics list is not known.
    """

    def __init__(self, description: dict[str, Any], times: bool = False, start_mm: float | None = None) -> None:
        import geant4_pybind as g4

        from ..detector.description import parse_detector
        from .geometry import StackGeometry
        from .shots import GUN_MM

        self.detector = parse_detector(description, "detector")
        self._stack = StackGeometry(self.detector, times=times)
        g4.HepRandom.setTheEngine(g4.MixMaxRng())
        self._manager = g4.G4RunManagerFactory.CreateRunManager(g4.G4RunManagerType.SerialOnly)
        self._manager.SetUserInitialization(self._stack)
        self._physics = _physics_list(self.detector.geant4.physics_list)
        self._physics.SetDefaultCutValue(self.detector.geant4.production_cut_mm * g4.mm)
        self._physics.SetVerboseLevel(0)
        self._manager.SetUserInitialization(self._physics)
        self._actions = _actions(self._stack, GUN_MM if start_mm is None else start_mm)
        self._manager.SetUserInitialization(self._actions)
        for what in ("process", "process/em", "process/had", "run", "hits"):
            g4.G4UImanager.GetUIpointer().ApplyCommand(f"/{what}/verbose 0")
        self._manager.Initialize()
        # a run without events fills the tables, which would be counted among the time of the first shower
        self._manager.BeamOn(0)
        self.version = g4.G4Version.strip("$ ").removeprefix("Name: ")

    def knows(self, codes: list[int]) -> list[bool]:
        """Whether Geant4 can shoot particles of these PDG codes."""
        import geant4_pybind as g4

        found = [g4.G4ParticleTable.GetParticleTable().FindParticle(code) for code in codes]
        # quarks, diquarks and resonances are names to Geant4, not particles that it could track
        return [particle is not None and not particle.IsShortLived() for particle in found]

    def run(self, shots: Shots, begin: Any) -> Showers:
        """Simulate shots, one after the other; `begin` is called with the row of each."""
        from .shots import Showers

        seconds = 0.0
        for row in range(len(shots)):
            begin(row)
            self._actions.gun.load(shots, row)
            start = time.process_time()
            self._manager.BeamOn(1)
            seconds += time.process_time() - start
        cells = self._actions.collector.cells
        sections = {name: self._columns(name, found) for name, found in cells.items()}
        for found in cells.values():
            found.clear()
        return Showers(shots, sections, seconds)

    def _columns(self, name: str, found: list[Any]) -> CellColumns:
        import numpy as np

        from .shots import CellColumns

        shot = np.repeat(np.arange(len(found)), [len(index) for index, *_ in found])
        index = np.concatenate([np.zeros(0, np.int64), *(index for index, *_ in found)])
        deposit, time_sum, first = (np.concatenate([np.zeros(0), *(part[k] for part in found)]) for k in (1, 2, 3))
        times = (time_sum / np.where(deposit > 0, deposit, 1), first) if self._stack.clocks else (None, None)
        n, layers = self._stack.cells[name], self.detector.section(name).layers
        across = index // layers
        return CellColumns(shot, across // n - n // 2, across % n - n // 2, index % layers, deposit, *times)


def _physics_list(name: str) -> Any:
    import geant4_pybind as g4

    from ..errors import DetectorError

    found = getattr(g4, name, None)
    base = g4.G4VModularPhysicsList
    if isinstance(found, type) and issubclass(found, base) and found is not base:
        return found()
    known = [n for n in dir(g4) if isinstance(kind := getattr(g4, n), type) and issubclass(kind, base)]
    known.remove(base.__name__)
    raise DetectorError(f"geant4.physics_list: Geant4 has no physics list {name!r}; it has {', '.join(known)}")


def _actions(stack: Any, start_mm: float) -> Any:
    """What Geant4 calls back, as classes that can only be made once it is imported."""
    import geant4_pybind as g4
    import numpy as np

    from .geometry import SCORER

    class Gun(g4.G4VUserPrimaryGeneratorAction):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self._gun = g4.G4ParticleGun(1)
            self._seeds = [0, 0]

        def load(self, shots: Shots, row: int) -> None:
            x, y, z = shots.direction[row].tolist()
            px, py = shots.position[row].tolist()
            self._gun.SetParticleDefinition(g4.G4ParticleTable.GetParticleTable().FindParticle(int(shots.pdg[row])))
            self._gun.SetParticleEnergy(float(shots.kinetic_energy[row]) * g4.GeV)
            self._gun.SetParticleMomentumDirection(g4.G4ThreeVector(x, y, z))
            # in front of the face, upstream along the line of flight
            start = g4.G4ThreeVector(px - start_mm * x / z, py - start_mm * y / z, -start_mm)
            self._gun.SetParticlePosition(start)
            self._seeds = shots.seeds[row].tolist()

        def GeneratePrimaries(self, event: Any) -> None:
            g4.HepRandom.setTheSeeds([*self._seeds, 0])
            self._gun.GeneratePrimaryVertex(event)

    class Collector(g4.G4UserEventAction):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.cells: dict[str, list[Any]] = {name: [] for name in stack.cells}

        def EndOfEventAction(self, event: Any) -> None:
            collections = event.GetHCofThisEvent()
            for name, found in self.cells.items():
                number = g4.G4SDManager.GetSDMpointer().GetCollectionID(f"{name}/{SCORER}")
                pairs = np.array(list(collections.GetHC(number)), np.float64).reshape(-1, 2)
                index = pairs[:, 0].astype(np.int64)
                clock = stack.clocks.get(name)
                sums = np.array([clock.sums[i] for i in index.tolist()] if clock else [], np.float64)
                firsts = np.array([clock.firsts[i] for i in index.tolist()] if clock else [], np.float64)
                found.append((index, pairs[:, 1] / g4.GeV, sums / (g4.GeV * g4.ns), firsts / g4.ns))
                if clock:
                    clock.sums.clear()
                    clock.firsts.clear()

    class Actions(g4.G4VUserActionInitialization):  # type: ignore[misc]
        def Build(self) -> None:
            self.gun, self.collector = Gun(), Collector()
            self.SetUserAction(self.gun)
            self.SetUserAction(self.collector)

    return Actions()


def _serve(connection: Connection) -> None:
    """Answer messages until there are no more."""
    from ..errors import FastCaloError

    parent, simulator = os.getppid(), None

    def begin(row: int) -> None:
        # whoever is left without a parent works for no one
        if os.getppid() != parent:
            raise EOFError
        connection.send(("begin", row))

    while True:
        while not connection.poll(_LOOK_AFTER_PARENT_S):
            if os.getppid() != parent:
                raise EOFError
        kind, content = connection.recv()
        try:
            if kind == "start":
                simulator = Simulator(*content)
                answer: Any = simulator.version
            elif kind == "knows":
                assert simulator is not None
                answer = simulator.knows(content)
            else:
                assert simulator is not None
                answer = simulator.run(content, begin)
        except FastCaloError as error:
            connection.send(("error", error))
        else:
            connection.send((kind, answer))


def main() -> None:
    """Serve, then leave without the clean-up of interpreter and libraries, in which Geant4 may crash."""
    # a terminal and a batch system signal all processes to stop; the parent decides what to do about it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    status = 1
    try:
        _serve(Connection(int(sys.argv[1])))
    except (EOFError, ConnectionError):
        status = 0
    # whatever it is, the parent shows the end of what is printed here
    except Exception:
        import traceback

        traceback.print_exc()
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
