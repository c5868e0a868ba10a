# SPDX-License-Identifier: BSD-3-Clause
"""Common interface of all shower files: `open_showers`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import InputError
from .calochallenge import CaloChallengeFile
from .calogan import LAYERS, CaloGanFile
from .dense_arrays import DenseShowers
from .hdf5_file import open_hdf5, reading
from .lcd import LcdFile
from .native import ShowerFile

if TYPE_CHECKING:
    import h5py


def open_showers(
    path: str | Path,
    *,
    binning: str | Path | None = None,
    pdg: int | None = None,
    deposit_scale: float | None = None,
) -> ShowerFile | DenseShowers:
    """Open a file of showers, whoever wrote it; its format is known by its datasets.

    Parameters
    ----------
    path : str or Path
        The native format, LCD (3DGAN), CaloChallenge or CaloGAN; all HDF5.
    binning : str or Path, optional
        CaloChallenge: the binning XML, unless exactly one beside the file fits.
    pdg : int, optional
        Formats of others: the species, if file and name don't state it.
    deposit_scale : float, optional
        LCD: GeV per unit of the deposits, if it is not that of the file's generation.

    Raises
    ------
    InputError
        The file cannot be read, its format is not known, or an option is missing or has no use.

    Examples
    --------
    >>> from fastcalo import open_showers
    >>> with open_showers("examples/data/em_geant4.h5") as file:
    ...     print(file.sections)
    ...     for showers in file.iterate(step_size=500):
    ...         print(len(showers), showers.sections["ECAL"])
    ('ECAL', 'HCAL')
    500 <SectionDeposits: 500 showers, ... deposits>
    ...
    """
    path = Path(path)
    options = {"binning": binning, "pdg": pdg, "deposit_scale": deposit_scale}
    given = {name: value for name, value in options.items() if value is not None}
    file = open_hdf5(path)
    try:
        kind, reader, useful = _format(path, file)
        if useless := sorted(given.keys() - useful):
            raise InputError(f"{path}: is a file of {kind}: the option {useless[0]!r} has no use here")
        return reader(path, file=file, **given)
    except BaseException:
        file.close()
        raise


def _format(path: Path, file: h5py.File) -> tuple[str, Callable[..., ShowerFile | DenseShowers], set[str]]:
    """Name of a file's format, its reader, and the options that this takes."""
    with reading(path, "its structure"):
        names = set(file)
        native = "sections" in file.attrs or any(name.endswith("_offsets") for name in names)
    if native:
        return "showers in the native format", ShowerFile, set()
    if names >= {"incident_energies", "showers"}:
        return "the CaloChallenge", CaloChallengeFile, {"binning", "pdg"}
    if names >= {*LAYERS, "energy"}:
        return "CaloGAN", CaloGanFile, {"pdg"}
    if "ECAL" in names and names & {"energy", "target"}:
        return "LCD (3DGAN)", LcdFile, {"pdg", "deposit_scale"}
    raise InputError(
        f"{path}: is in no known format of showers: neither native (attribute 'sections', dataset 'ECAL_offsets'), nor "
        "CaloChallenge ('incident_energies', 'showers'), CaloGAN ('layer_0' to 'layer_2', 'energy') or "
        f"LCD ('ECAL', 'energy' or 'target'); it has {sorted(names)}"
    )
