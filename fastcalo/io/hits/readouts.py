# SPDX-License-Identifier: BSD-3-Clause
"""Readouts: which cells of a section stand in which collection of EDM4hep, and by what cell IDs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...detector.cell_id import CellEncoding
from ...detector.description import Detector
from ...detector.readout import DetectorReadout
from ...event.hits import SectionHits


@dataclass(frozen=True)
class Readout:
    """A collection of hits.

    Attributes
    ----------
    collection : str
    section : str
    encoding : CellEncoding or None
        None for a collection of others whose encoding is not known.
    own : DetectorReadout or None
        What the detector's description states of it; None where cell IDs are those of the section.
    """

    collection: str
    section: str
    encoding: CellEncoding | None
    own: DetectorReadout | None = None

    def chosen(self, detector: Detector, hits: SectionHits) -> SectionHits:
        """Those hits of the section that stand in the collection."""
        if self.own is None or self.own.part == "all":
            return hits
        module = detector.decode(self.section, hits.cell_id)["module"]
        modules = self.own.modules(detector.barrel.staves)
        mine = (module >= modules.start) & (module < modules.stop)
        made = None if hits.contributions is None else hits.contributions.take(mine)
        offsets = np.concatenate([[0], np.cumsum(mine)])[hits.offsets]
        return SectionHits(offsets, hits.cell_id[mine], hits.energy[mine], hits.position[mine], hits.layer[mine], made)

    def cell_ids(self, detector: Detector, hits: SectionHits) -> NDArray[np.uint64]:
        """Cell IDs of hits in the encoding of the readout, uint64 [h].

        Raises
        ------
        InputError
            The number of a cell does not fit its field.
        """
        if self.own is None:
            return hits.cell_id
        return self.own.encode(detector.decode(self.section, hits.cell_id), detector.barrel.staves)

    def section_ids(
        self, detector: Detector | None, cell_id: NDArray[np.uint64]
    ) -> tuple[NDArray[np.uint64], NDArray[np.int64] | None]:
        """Cell IDs in the encoding of the section, uint64 [h], and layers, int64 [h], where they are known.

        Raises
        ------
        InputError
            They are of another collection, or of cells that the detector does not have.
        """
        if self.own is not None and detector is not None:
            cells = self.own.decode(cell_id, detector.barrel.staves)
            ids = detector.encode(self.section, cells["module"], cells["x"], cells["y"], cells["layer"])
            return ids, cells["layer"]
        if self.encoding is None or "layer" not in self.encoding.names:
            return cell_id, None
        return cell_id, self.encoding["layer"].unpack(cell_id)


def readouts_of(detector: Detector) -> list[Readout]:
    """Readouts of a detector, section by section."""
    found = []
    for section in detector.sections:
        found += [Readout(own.collection, section.name, own.encoding, own) for own in section.readouts]
        if not section.readouts:
            found.append(Readout(section.name, section.name, section.encoding))
    return found
