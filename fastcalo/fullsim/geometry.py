# SPDX-License-Identifier: BSD-3-Clause
"""Geant4 volumes and scorers of a detector stack; imported in Geant4's own processes only."""

from __future__ import annotations

from typing import Any

import geant4_pybind as g4

from ..detector.description import Detector
from ..detector.section import Section
from ..errors import DetectorError
from .extent import MARGIN_MM, cells_across

WORLD_MATERIAL = "G4_AIR"
SCORER = "deposit"
CLOCK = "time"


class Clock(g4.G4VPrimitiveScorer):  # type: ignore[misc]
    """Times in each cell: sums of deposit times global time, before they are divided, and that of the first deposit.

    Geant4 calls it at every step in a sensor; absorbers, in which most steps are, cost nothing.

    Parameters
    ----------
    deposits : G4PSEnergyDeposit3D
        The scorer that numbers the cells.
    """

    def __init__(self, deposits: Any) -> None:
        super().__init__(CLOCK, 0)
        self.sums: dict[int, float] = {}
        self.firsts: dict[int, float] = {}
        self._deposits = deposits

    def ProcessHits(self, step: Any, _history: Any) -> bool:
        """Add one step."""
        deposit = step.GetTotalEnergyDeposit()
        if deposit > 0:
            cell = self._deposits.GetIndex(step)
            time = step.GetPreStepPoint().GetGlobalTime()
            self.sums[cell] = self.sums.get(cell, 0.0) + deposit * time
            self.firsts[cell] = min(time, self.firsts.get(cell, time))
        return True


class StackGeometry(g4.G4VUserDetectorConstruction):  # type: ignore[misc]
    """One module of a detector, without edges: absorbers and sensors one behind the other along z, face at z = 0.

    Parameters
    ----------
    detector : Detector
    times : bool
        Whether the time of each deposit is scored, too.

    Attributes
    ----------
    clocks : dict of str to Clock
        By section, if times are wanted.

    Raises
    ------
    DetectorError
        There are more cells than Geant4 can number.
    """

    def __init__(self, detector: Detector, *, times: bool = False) -> None:
        super().__init__()
        self.detector = detector
        self.clocks: dict[str, Clock] = {}
        self._times = times
        self.cells = {section.name: cells_across(detector, section) for section in detector.sections}
        # Geant4 does not own what Python has made: without a reference it would vanish
        self._kept: list[Any] = []

    def Construct(self) -> Any:
        """Place the volumes."""
        sections = self.detector.sections
        side = max(self.cells[s.name] * s.cell_mm for s in sections) + 2 * MARGIN_MM
        depth = 2 * (sections[-1].back_mm + MARGIN_MM)
        world = self._box("world", side, side, depth, WORLD_MATERIAL)
        top = self._place(world, 0.0, None, 0)
        for section in sections:
            self._build(section, world)
        return top

    def ConstructSDandField(self) -> None:
        """Let the deposits in every cell be summed."""
        for section in self.detector.sections:
            n = self.cells[section.name]
            detector = g4.G4MultiFunctionalDetector(section.name)
            # depths in the tree of volumes at which the numbers of column, row and layer stand
            scorer = g4.G4PSEnergyDeposit3D(SCORER, n, n, section.layers, 1, 0, 2)
            detector.RegisterPrimitive(scorer)
            g4.G4SDManager.GetSDMpointer().AddNewDetector(detector)
            self._kept += [detector, scorer]
            if self._times:
                self.clocks[section.name] = Clock(scorer)
                detector.RegisterPrimitive(self.clocks[section.name])
            for layer in range(section.layers):
                self.SetSensitiveDetector(f"{section.name}_cell{layer}", detector)

    def _build(self, section: Section, world: Any) -> None:
        n, cell, name = self.cells[section.name], section.cell_mm, section.name
        wide = n * cell
        for layer, thickness in enumerate(section.absorber_mm):
            middle = float(section.sensor_z[layer])
            front = middle - section.sensor_mm / 2
            absorber = self._box(f"{name}_absorber{layer}", wide, wide, thickness, section.absorber)
            self._place(absorber, front - thickness / 2, world, layer)
            sensor = self._box(f"{name}_sensor{layer}", wide, wide, section.sensor_mm, section.sensor)
            self._place(sensor, middle, world, layer)
            column = self._box(f"{name}_column{layer}", cell, wide, section.sensor_mm, section.sensor)
            self._kept.append(g4.G4PVReplica("column", column, sensor, g4.EAxis.kXAxis, n, cell))
            square = self._box(f"{name}_cell{layer}", cell, cell, section.sensor_mm, section.sensor)
            self._kept.append(g4.G4PVReplica("cell", square, column, g4.EAxis.kYAxis, n, cell))
            if section.gap_mm and section.gap != WORLD_MATERIAL:
                gap = self._box(f"{name}_gap{layer}", wide, wide, section.gap_mm, section.gap)
                self._place(gap, middle + (section.sensor_mm + section.gap_mm) / 2, world, layer)

    def _box(self, name: str, x: float, y: float, z: float, material: str) -> Any:
        found = g4.G4NistManager.Instance().FindOrBuildMaterial(material)
        if found is None:
            raise DetectorError(f"{self.detector.name}: Geant4 has no material {material!r}, which {name} is made of")
        volume = g4.G4LogicalVolume(g4.G4Box(name, x / 2, y / 2, z / 2), found, name)
        self._kept.append(volume)
        return volume

    def _place(self, volume: Any, z: float, mother: Any, copy: int) -> Any:
        at = g4.G4ThreeVector(0, 0, z)
        self._kept.append(g4.G4PVPlacement(None, at, volume, volume.GetName(), mother, False, copy))
        return self._kept[-1]
