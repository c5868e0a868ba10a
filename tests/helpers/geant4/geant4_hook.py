# SPDX-License-Identifier: BSD-3-Clause
"""Geant4 programs with the hook: ``python geant4_hook.py module|detector OUTPUT`` writes what tests look at."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3] / "examples" / "geant4_hook"))

# sets the paths of Geant4's data: before Geant4 is imported
from compare_loops import Actions, EventLoop, Gun  # noqa: I001

import geant4_pybind as g4

from fastcalo.errors import ConfigError
from fastcalo.integration.geant4 import FastSimulationHook

OBLIQUE = (0.36, -0.48, 0.8)
PHOTON = (22, 2.0, OBLIQUE, (40.3, -12.7))
SOFT = (22, 0.019, (0.0, 0.0, 1.0), (-30.0, 200.0))
PROTON = (2212, 0.3, (0.0, 0.0, 1.0), (100.0, 0.0))
EVENTS = [[PHOTON], [SOFT], [PHOTON, SOFT, PROTON], []]
"""One that the model knows, one below its range, both beside a species that it does not know, and none."""


def module_program() -> dict[str, Any]:
    """The project's stack with and without fast simulation."""
    loop = EventLoop(EVENTS, "clic-like", ["em"], seed=5)
    refusals = []
    for wrong in ({"region": "tracker"}, {"region": "calorimeter", "module": 14}):
        try:
            FastSimulationHook("clic-like", "em", **wrong).attach()
        except ConfigError as error:
            refusals.append(str(error))
    without, _ = loop.run(fast=False)
    untouched = loop.hook.statistics.events, loop.hook.statistics.stopped
    hits, _ = loop.run(fast=True)
    return {
        "without": without,
        "with": hits,
        "statistics": loop.hook.statistics,
        "refusals": refusals,
        "before": untouched,
    }


class Block(g4.G4VUserDetectorConstruction):  # type: ignore[misc]
    """A block of tungsten where the detector's endcap stands, in global coordinates, with nothing that measures."""

    def Construct(self) -> Any:
        """Place it."""
        air, tungsten = (g4.G4NistManager.Instance().FindOrBuildMaterial(name) for name in ("G4_Galactic", "G4_W"))
        world = g4.G4LogicalVolume(g4.G4Box("world", 4000, 4000, 4000), air, "world")
        block = g4.G4LogicalVolume(g4.G4Box("block", 3000, 3000, 100), tungsten, "block")
        region = g4.G4Region("endcap")
        region.AddRootLogicalVolume(block)
        top = g4.G4PVPlacement(None, g4.G4ThreeVector(), world, "world", None, False, 0)
        placed = g4.G4PVPlacement(None, g4.G4ThreeVector(0, 0, 2100), block, "block", world, False, 0)
        self.kept = [world, block, region, top, placed]
        return top


def detector_program() -> dict[str, Any]:
    """A photon from near the origin to the endcap, in another geometry than full simulation's."""
    hook = FastSimulationHook("clic-like", "em", region="endcap", seed=5)
    g4.HepRandom.setTheEngine(g4.MixMaxRng())
    manager = g4.G4RunManagerFactory.CreateRunManager(g4.G4RunManagerType.SerialOnly)
    block, physics = Block(), g4.FTFP_BERT()
    manager.SetUserInitialization(block)
    manager.SetUserInitialization(physics)
    actions = Actions(Gun([[(22, 2.0, (2 / 7, -3 / 7, 6 / 7), PHOTON[3])]]), hook)
    manager.SetUserInitialization(actions)
    manager.Initialize()
    hook.attach()
    manager.BeamOn(1)
    return {"with": hook.take_hits(), "statistics": hook.statistics}


if __name__ == "__main__":
    found = {"module": module_program, "detector": detector_program}[sys.argv[1]]()
    Path(sys.argv[2]).write_bytes(pickle.dumps(found))
    # Geant4 may crash in the clean-up of interpreter and libraries
    os._exit(0)
