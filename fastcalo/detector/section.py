# SPDX-License-Identifier: BSD-3-Clause
"""Section of a calorimeter: a stack of layers of absorber and sensor, cut into square cells."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .cell_id import CellEncoding
from .readout import DetectorReadout
from .tables import SectionTable

_MATERIALS = ("absorber", "sensor", "gap")
_SIZES = ("sensor_mm", "gap_mm", "cell_mm", "front_mm")


@dataclass(frozen=True)
class Section:
    """A part of the calorimeter with layers of one make: absorber, sensor and gap, in this order from the face.

    Attributes
    ----------
    name : str
    absorber, sensor, gap : str
        Names of Geant4's NIST materials.
    absorber_mm : tuple of float
        Thickness of the absorber, layer by layer.
    sensor_mm, gap_mm : float
        Thickness of sensor and gap, the same in every layer.
    cell_mm : float
        Side of the square cells.
    window : (int, int)
        Cells along x and y that a shower is given in every layer; both odd, so that one is in the middle.
    front_mm : float
        Depth behind the calorimeter's face at which the section begins.
    threshold : float
        Deposit above which a cell is a hit, GeV.
    system : int
        The number that stands for the section in its cell IDs.
    encoding : CellEncoding
        Layout of its cell IDs.
    readouts : tuple of DetectorReadout
        Collections of its hits in EDM4hep, where they are not those of the section's own name and encoding.
    """

    name: str
    absorber: str
    sensor: str
    gap: str
    absorber_mm: tuple[float, ...]
    sensor_mm: float
    gap_mm: float
    cell_mm: float
    window: tuple[int, int]
    front_mm: float
    threshold: float
    system: int
    encoding: CellEncoding
    readouts: tuple[DetectorReadout, ...] = ()

    @property
    def layers(self) -> int:
        """Number of layers."""
        return len(self.absorber_mm)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of a shower's window: cells along x, cells along y, layers."""
        return (*self.window, self.layers)

    @property
    def back_mm(self) -> float:
        """Depth behind the calorimeter's face at which the section ends."""
        return self.front_mm + math.fsum(self.absorber_mm) + self.layers * (self.sensor_mm + self.gap_mm)

    @cached_property
    def sensor_z(self) -> NDArray[np.float64]:
        """Depth of the middle of every sensor behind the calorimeter's face, float64 [layers], mm."""
        absorbers = np.cumsum(self.absorber_mm)
        return self.front_mm + absorbers + np.arange(self.layers) * (self.sensor_mm + self.gap_mm) + self.sensor_mm / 2

    @property
    def stack(self) -> dict[str, Any]:
        """What a shower depends on, as a dictionary that JSON can hold."""
        return {
            "name": self.name,
            **{key: getattr(self, key) for key in _MATERIALS + _SIZES},
            "absorber_mm": list(self.absorber_mm),
            "window": list(self.window),
            "threshold_gev": self.threshold,
        }

    @property
    def description(self) -> dict[str, Any]:
        """The section with the keys of the TOML file."""
        runs = [(mm, len(list(run))) for mm, run in groupby(self.absorber_mm)]
        return {
            **{key: getattr(self, key) for key in _MATERIALS + _SIZES},
            "layers": [{"count": count, "absorber_mm": mm} for mm, count in runs],
            "window": list(self.window),
            "threshold_gev": self.threshold,
            "system": self.system,
            "encoding": self.encoding.text,
            # left out where there are none, so that hashes of descriptions without them stay
            **({"readout": [dict(readout.description) for readout in self.readouts]} if self.readouts else {}),
        }

    @property
    def text(self) -> str:
        """The section in words, on one line."""
        runs = " + ".join(f"{run['count']} x {run['absorber_mm']:g} mm" for run in self.description["layers"])
        return (
            f"{self.layers} layers of {self.absorber} ({runs}), {self.sensor} {self.sensor_mm:g} mm, "
            f"{self.gap} {self.gap_mm:g} mm; cells of {self.cell_mm:g} mm, window {self.window[0]} x {self.window[1]}; "
            f"depth {self.front_mm:g} to {self.back_mm:g} mm; hits above {self.threshold * 1e3:g} MeV"
        )

    def checked_layer(self, layer: ArrayLike) -> NDArray[np.int64]:
        """Return layer numbers as an array, refusing those that do not exist.

        Raises
        ------
        InputError
            A number is outside 0 to the number of layers less one.
        """
        index = np.asarray(layer, dtype=np.int64)
        if index.size and (index.min() < 0 or index.max() >= self.layers):
            raise InputError(
                f"layers of {self.name} are numbered 0 to {self.layers - 1}, but got {index.min()} to {index.max()}"
            )
        return index

    @classmethod
    def of(cls, name: str, table: SectionTable) -> Section:
        """Make a section of its table in a description."""
        return cls(
            name=name,
            **{key: getattr(table, key) for key in _MATERIALS + _SIZES},
            absorber_mm=tuple(run.absorber_mm for run in table.layers for _ in range(run.count)),
            window=table.window,
            threshold=table.threshold_gev,
            system=table.system,
            encoding=CellEncoding.parse(table.encoding),
            readouts=tuple(DetectorReadout.of(readout) for readout in table.readout),
        )
