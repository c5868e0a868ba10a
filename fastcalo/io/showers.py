"""Files of showers, whoever wrote them, read through one face."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from ..voxels import Voxels
from .hdf5 import ShowerFile


class ShowerSource(Protocol):
    """Showers that can be read slice by slice: `ShowerFile`, or a reader of someone else's format.

    Attributes
    ----------
    path : Path
    sections : tuple of str
    attributes : dict
        What else the file says of itself.
    """

    path: Path
    sections: tuple[str, ...]
    attributes: dict[str, Any]

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def __len__(self) -> int: ...

    def voxels(self, section: str) -> Voxels:
        """Where the voxels are that `hits` counts."""
        ...

    def pdg(self, start: int = 0, stop: int | None = None) -> NDArray[np.int32]:
        """PDG codes, int32 [n]."""
        ...

    def kinetic_energy(self, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Kinetic energies, float32 [n], GeV."""
        ...

    def direction(self, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Directions of flight, float32 [n, 3], z > 0."""
        ...

    def entry(self, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Entry points from the centre of the cell that is hit, float32 [n, 2], mm."""
        ...

    def total(self, section: str, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Energies deposited in a section, float32 [n], GeV."""
        ...

    def hits(
        self, section: str, start: int = 0, stop: int | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
        """Offsets int64 [n + 1], voxel int32 [h] and deposit float32 [h] (GeV) of the showers `start` to `stop`."""
        ...


def open_showers(path: str | Path) -> ShowerSource:
    """Open a file of showers.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    InputError
        The file cannot be read.
    """
    return ShowerFile(path)
