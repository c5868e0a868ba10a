# SPDX-License-Identifier: BSD-3-Clause
"""Positions of voxels, for regular windows and for irregular layers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Voxels:
    """Voxels of one section, about the line of flight.

    Attributes
    ----------
    layer : int64 [v]
        Layer that each voxel belongs to, counted from 0.
    x, y : float64 [v]
        Centre, mm from the axis of the shower; 0 for a voxel that goes all around it.
    radius : float64 [v]
        Distance of the centre from the axis, mm; for a voxel that goes all around, half-way between its edges.
    layers : int
        Number of layers.
    window : (int, int, int), optional
        Cells along x, cells along y and layers of a regular window in C order; None of irregular layers.
    """

    layer: NDArray[np.int64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    radius: NDArray[np.float64]
    layers: int
    window: tuple[int, int, int] | None = None

    def __len__(self) -> int:
        return len(self.layer)

    @classmethod
    def of_window(cls, shape: tuple[int, int, int], cell_mm: tuple[float, float]) -> Voxels:
        """Voxels of a regular window, in C order.

        Parameters
        ----------
        shape : (int, int, int)
            Cells along x, cells along y, layers.
        cell_mm : (float, float)
            Sides of a cell along x and y.
        """
        nx, ny, layers = shape
        ix, iy, layer = (a.ravel() for a in np.indices(shape))
        x, y = (ix - (nx - 1) / 2) * cell_mm[0], (iy - (ny - 1) / 2) * cell_mm[1]
        return cls(layer.astype(np.int64), x, y, np.hypot(x, y), layers, (nx, ny, layers))
