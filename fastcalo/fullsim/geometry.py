# SPDX-License-Identifier: BSD-3-Clause
"""Geant4 volumes and scorers of a detector stack; imported in Geant4's own processes only."""

from __future__ import annotations

import math
from typing import Any

import geant4_pybind as g4

from ..detector.description import Detector
from ..detector.section import Section
from ..errors import DetectorError

WORLD_MATERIAL = "G4_AIR"
SCORER = "deposit"

# space beside the layers that a shower needs around the steepest line of flight
_MARGIN_MM = 1000.0
_MOST_CELLS = 2**31 - 1


def cells_across(detector: Detector, section: Section) -> int:
    """Cells of a section along x and along y: an odd number, enough for every particle that is accepted.

    Raises
    ------
    DetectorError
        Geant4 cannot number so many.
    """
    reach = max(detector.barrel.half_length_mm, detector.barrel.half_width_mm, detector.endcap.outer_radius_mm)
    half = reach + section.back_mm * math.tan(detector.geant4.max_angle) + _MARGIN_MM
    cells = 2 * math.ceil(half / section.cell_mm) + 1
    if cells * cells * section.layers > _MOST_CELLS:
        raise DetectorError(
            f"{detector.name}: section.{section.name}: {cells} x {cells} cells in {section.layers} layers are more "
            f"than the {_MOST_CELLS} that Geant4 can number; make geant4.max_angle_degrees smaller, which is "
            f"{detector.geant4.max_angle_degrees:g}"
        )
    return cells


class StackGeometry(g4.G4VUserDetectorConstruction):  # type: ignore[misc]
    """One module of a detector, without edges: absorbers and sensors one behind the other along z, face at z = 0.

    Parameters
    ----------
    detector : Detector

    Raises
    ------
    DetectorError
        There are more cells than Geant4 can number.
    """

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector
        self.cells = {section.name: cells_across(detector, section) for section in detector.sections}
        # Geant4 does not own what Python has made: without a reference it would vanish
        self._kept: list[Any] = []

    def Construct(self) -> Any:
        """Place the volumes."""
        sections = self.detector.sections
        side = max(self.cells[s.name] * s.cell_mm for s in sections) + 2 * _MARGIN_MM
        depth = 2 * (sections[-1].back_mm + _MARGIN_MM)
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
