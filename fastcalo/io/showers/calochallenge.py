# SPDX-License-Identifier: BSD-3-Clause
"""Reader of CaloChallenge showers (arXiv:2410.21611), data sets 1 to 3.

``incident_energies`` [N, 1] and ``showers`` [N, voxels], both in MeV, in HDF5; a binning XML holds the voxels.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import InputError
from .binning import Binning, read_binnings
from .dense_arrays import ANY, DenseShowers

if TYPE_CHECKING:
    import h5py

SECTION = "CALO"


class CaloChallengeFile(DenseShowers):
    """A file of the CaloChallenge.

    Particles fly along the axis of the cylinders. Layers without voxels are left out of the count; the attribute
    ``layer_ids`` has their numbers in the XML.

    Parameters
    ----------
    path : str or Path
    binning : str or Path, optional
        The XML; the only one beside the file that fits, unless given.
    pdg : int, optional
        Which of several particles in the XML, or the code of one that it does not state.
    file : h5py.File, optional

    Raises
    ------
    InputError
        It is not HDF5 or cut short, a dataset is missing or of the wrong shape, or not exactly one binning fits.
    """

    def __init__(
        self,
        path: str | Path,
        binning: str | Path | None = None,
        pdg: int | None = None,
        file: h5py.File | None = None,
    ) -> None:
        self._xml, self._given = None if binning is None else Path(binning), pdg
        super().__init__(path, file)

    def _check(self) -> None:
        self._numbers("incident_energies", (1,), ())
        _, count = self._numbers("showers", (ANY,))
        self._count("showers", "incident_energies")
        xml, binning = self._find(count)
        species = binning.pdg if self._given is None else self._given
        if species is None:
            raise InputError(f"{xml}: the particle {binning.name!r} is not known: give its code by the option 'pdg'")
        self._species, self._voxels = species, {SECTION: binning.voxels}
        self.sections, self._arrays = (SECTION,), {SECTION: ("showers",)}
        self._energy, self._energy_unit, self._deposit_unit = "incident_energies", 1e-3, 1e-3
        self.attributes |= {
            "format": "CaloChallenge",
            "binning": str(xml),
            "layer_ids": ", ".join(map(str, binning.layer_ids)),
        }

    def _find(self, count: int) -> tuple[Path, Binning]:
        """Return the binning that fits, and where it stands."""
        if self._xml is None:
            found = [(xml, b) for xml in sorted(self.path.parent.glob("*.xml")) for b in _binnings_if_any(xml)]
        else:
            found = [(self._xml, b) for b in read_binnings(self._xml)]
        codes = (self._given, None)
        fitting = [(xml, b) for xml, b in found if len(b.voxels) == count and (self._given is None or b.pdg in codes)]
        if len(fitting) == 1:
            return fitting[0]
        wanted = f"{count} voxels" if self._given is None else f"{count} voxels of particles with code {self._given}"
        there = "; ".join(f"{xml}: {len(b.voxels)} of {b.name!r} (code {b.pdg})" for xml, b in fitting or found)
        if fitting:
            raise InputError(
                f"{self.path}: more than one binning fits {wanted} ({there}): choose by the options 'binning' and 'pdg'"
            )
        if self._xml is None:
            raise InputError(
                f"{self.path}: no XML beside it describes {wanted} ({there or 'none is a binning'}): "
                "give its own by the option 'binning'"
            )
        raise InputError(f"{self.path}: has {wanted}, but {self._xml} does not describe such ({there})")


def _binnings_if_any(xml: Path) -> list[Binning]:
    """Binnings of an XML file that may be about something else."""
    try:
        return read_binnings(xml)
    except InputError:
        return []
