# SPDX-License-Identifier: BSD-3-Clause
"""One module of a detector as Geant4 volumes in a region of their own, with its deposits in the form of the hook's."""

from __future__ import annotations

from typing import Any

import geant4_pybind as g4
import numpy as np

from fastcalo.detector.description import Detector
from fastcalo.fullsim.extent import MARGIN_MM, cells_across
from fastcalo.fullsim.geometry import SCORER, WORLD_MATERIAL, StackGeometry
from fastcalo.simulation.placing import Deposits


class ModuleStack(StackGeometry):
    """The volumes of full simulation (absorbers and sensors along z, face at z = 0) in one region.

    Parameters
    ----------
    detector : Detector
    region : str
        Name of the region.
    module : int
        The module that the cells are numbered as.
    """

    def __init__(self, detector: Detector, region: str = "calorimeter", module: int = 0) -> None:
        super().__init__(detector)
        self.region, self.module = region, module
        self._envelope: Any = None
        self._middle = 0.0

    def Construct(self) -> Any:
        """Place the volumes in an envelope, which makes them a region without holes."""
        sections = self.detector.sections
        side = max(self.cells[s.name] * s.cell_mm for s in sections)
        depth = sections[-1].back_mm
        world = self._box("world", side + 2 * MARGIN_MM, side + 2 * MARGIN_MM, 2 * (depth + MARGIN_MM), WORLD_MATERIAL)
        top = self._place(world, 0.0, None, 0)
        envelope = self._box("calorimeter", side, side, depth, WORLD_MATERIAL)
        self._place(envelope, depth / 2, world, 0)
        self._envelope, self._middle = envelope, depth / 2
        for section in sections:
            self._build(section, envelope)
        region = g4.G4Region(self.region)
        region.AddRootLogicalVolume(envelope)
        self._kept.append(region)
        return top

    def _place(self, volume: Any, z: float, mother: Any, copy: int) -> Any:
        inside = mother is not None and mother is self._envelope
        return super()._place(volume, z - self._middle if inside else z, mother, copy)

    def deposits(self, event: Any) -> dict[str, Deposits]:
        """Return what Geant4 deposited in the cells in a G4Event, by section; its event number is 0."""
        collections = event.GetHCofThisEvent()
        found = {}
        for section in self.detector.sections:
            number = g4.G4SDManager.GetSDMpointer().GetCollectionID(f"{section.name}/{SCORER}")
            pairs = np.array(list(collections.GetHC(number)), np.float64).reshape(-1, 2)
            index, zero = pairs[:, 0].astype(np.int64), np.zeros(len(pairs), np.int64)
            n = cells_across(self.detector, section)
            across, layer = index // section.layers, index % section.layers
            ix, iy = across // n - n // 2, across % n - n // 2
            found[section.name] = Deposits(zero, zero + self.module, layer, ix, iy, pairs[:, 1] / g4.GeV)
        return found
