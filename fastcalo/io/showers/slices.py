# SPDX-License-Identifier: BSD-3-Clause
"""Interface of files of showers, `ShowerSource`, and the slices of them that `iterate` yields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from ...display import html_table
from ...errors import ConfigError

if TYPE_CHECKING:
    import awkward as ak

    from ...detector.description import Detector
    from ...detector.voxels import Voxels


@dataclass(frozen=True, repr=False)
class SectionDeposits:
    """Deposits of showers in one section, as flat arrays cut by offsets.

    Attributes
    ----------
    offsets : int64 [n_showers + 1]
        Shower ``i`` holds the deposits ``offsets[i]:offsets[i + 1]``.
    cell : int32 [h]
        Index of the voxel; in the native format that into the window, in C order of x, y and layer.
    deposit : float32 [h]
        GeV.
    total : float32 [n_showers]
        Energy deposited in the section, GeV; in the native format that beyond the window too.
    """

    offsets: NDArray[np.int64]
    cell: NDArray[np.int32]
    deposit: NDArray[np.float32]
    total: NDArray[np.float32]

    def __repr__(self) -> str:
        return f"<SectionDeposits: {len(self.total)} showers, {len(self.cell)} deposits>"


@dataclass(frozen=True, repr=False)
class ShowerSlice:
    """Consecutive showers of a file.

    Attributes
    ----------
    start : int
        Number of the first one in the file.
    pdg : int32 [n]
    kinetic_energy : float32 [n]
        GeV.
    direction : float32 [n, 3]
        Unit vectors, z > 0 along the normal of the layers.
    entry : float32 [n, 2]
        Entry point from the centre of the cell that is hit, mm.
    sections : dict of str to SectionDeposits
    """

    start: int
    pdg: NDArray[np.int32]
    kinetic_energy: NDArray[np.float32]
    direction: NDArray[np.float32]
    entry: NDArray[np.float32]
    sections: dict[str, SectionDeposits]

    def __len__(self) -> int:
        return len(self.pdg)

    def to_awkward(self) -> ak.Array:
        """Return one record per shower: its conditions, and for each section a list of records of cell and deposit."""
        import awkward as ak

        columns = {
            name: ak.from_numpy(getattr(self, name), regulararray=True).layout
            for name in ("pdg", "kinetic_energy", "direction", "entry")
        }
        for name, found in self.sections.items():
            cells = ak.contents.RecordArray(
                [ak.to_layout(found.cell), ak.to_layout(found.deposit)], ["cell", "deposit"], length=len(found.cell)
            )
            columns[name] = ak.contents.ListOffsetArray(ak.index.Index64(found.offsets), cells)
        return ak.Array(ak.contents.RecordArray(list(columns.values()), list(columns), length=len(self)))

    def __repr__(self) -> str:
        return f"<ShowerSlice: showers {self.start} to {self.start + len(self)}, {', '.join(self.sections)}>"

    def _repr_html_(self) -> str:
        rows = [(n, f"{len(s.cell)}", f"{s.total.sum(dtype=np.float64):.4g}") for n, s in self.sections.items()]
        title = f"Showers {self.start} to {self.start + len(self)}"
        return html_table(title, ("section", "deposits", "visible energy [GeV]"), rows)


class ShowerSource(Protocol):
    """Showers that can be read slice by slice: `ShowerFile`, or a reader of someone else's format.

    Attributes
    ----------
    path : Path
    sections : tuple of str
    attributes : dict
        What else the file states of itself.
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

    def iterate(self, step_size: int = 1000) -> Iterator[ShowerSlice]:
        """All showers in order, `step_size` at a time."""
        ...

    def check_detector(
        self, detector: Detector, sections: tuple[str, ...] | None = None, *, windows: bool = True
    ) -> None:
        """Refuse a detector that is not the one the showers are from."""
        ...


def iterate_showers(source: ShowerSource, step_size: int) -> Iterator[ShowerSlice]:
    """Read all showers in order, `step_size` at a time.

    Raises
    ------
    InputError
        A value cannot be, or the file is damaged.
    ConfigError
        `step_size` is less than one shower.
    """
    if step_size < 1:
        raise ConfigError(f"step_size must be at least one shower, but is {step_size}")
    for start in range(0, len(source), step_size):
        stop = min(start + step_size, len(source))
        yield ShowerSlice(
            start=start,
            pdg=source.pdg(start, stop),
            kinetic_energy=source.kinetic_energy(start, stop),
            direction=source.direction(start, stop),
            entry=source.entry(start, stop),
            sections={
                name: SectionDeposits(*source.hits(name, start, stop), source.total(name, start, stop))
                for name in source.sections
            },
        )
