# SPDX-License-Identifier: BSD-3-Clause
"""Positions of the modules of a calorimeter: flat stacks, as staves around the beam and as two endcaps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Barrel:
    """Flat staves around the beam; the normal of stave k points to azimuth 2 pi k / staves.

    Attributes
    ----------
    staves : int
    inner_radius_mm : float
        Distance of every face from the beam.
    half_length_mm : float
    """

    staves: int
    inner_radius_mm: float
    half_length_mm: float

    @property
    def half_width_mm(self) -> float:
        """Half of a face's width, from the middle to the edge that it shares with its neighbour."""
        return self.inner_radius_mm * math.tan(math.pi / self.staves)

    @property
    def corner_radius_mm(self) -> float:
        """Distance of the staves' common edges from the beam."""
        return self.inner_radius_mm / math.cos(math.pi / self.staves)

    @property
    def text(self) -> str:
        """The barrel in words, on one line."""
        return f"{self.staves} flat staves {self.inner_radius_mm:g} mm from the beam, |z| <= {self.half_length_mm:g} mm"


@dataclass(frozen=True)
class Endcap:
    """Two rings that close the barrel, at +z and at -z.

    Attributes
    ----------
    front_mm : float
        Distance of both faces from the origin.
    inner_radius_mm, outer_radius_mm : float
    """

    front_mm: float
    inner_radius_mm: float
    outer_radius_mm: float

    @property
    def text(self) -> str:
        """The endcaps in words, on one line."""
        return f"|z| = {self.front_mm:g} mm, {self.inner_radius_mm:g} <= r <= {self.outer_radius_mm:g} mm"


@dataclass(frozen=True, eq=False)
class Layout:
    """Frames of all modules: the staves of the barrel, then the endcap at +z, then the one at -z.

    A module's frame is right-handed. Its z axis leads into the calorimeter along the normal of the face, and z = 0
    is the face; x = y = 0 is the middle of the stave, or the beam axis in an endcap. In a stave x points along
    increasing azimuth and y along the beam; in an endcap y is the global y.

    Attributes
    ----------
    origin : float64 [m, 3]
        Where the frames' origins stand, mm.
    axes : float64 [m, 3, 3]
        ``axes[i, j]`` is the global direction of axis j of module i.
    """

    origin: FloatArray
    axes: FloatArray

    @classmethod
    def of(cls, barrel: Barrel, endcap: Endcap) -> Layout:
        """Set up the modules of a barrel and its endcaps."""
        azimuth = 2 * np.pi / barrel.staves * np.arange(barrel.staves)
        cos, sin, zero = np.cos(azimuth), np.sin(azimuth), np.zeros(barrel.staves)
        normal = np.stack([cos, sin, zero], axis=1)
        tangent = np.stack([-sin, cos, zero], axis=1)
        along = np.tile([0.0, 0.0, 1.0], (barrel.staves, 1))
        staves = np.stack([tangent, along, normal], axis=1)
        ends = np.array([np.diag([1.0, 1.0, 1.0]), np.diag([-1.0, 1.0, -1.0])])
        return cls(
            origin=np.concatenate([barrel.inner_radius_mm * normal, endcap.front_mm * ends[:, 2]]),
            axes=np.concatenate([staves, ends]),
        )

    def __len__(self) -> int:
        return len(self.origin)

    def to_global(self, module: ArrayLike, local: FloatArray) -> FloatArray:
        """Turn points of modules' frames into global ones.

        Parameters
        ----------
        module : int [n]
        local : float64 [n, 3]
            mm.

        Returns
        -------
        float64 [n, 3]
            mm.
        """
        index = self.checked(module)
        x, y, z = np.moveaxis(local, -1, 0)
        # numbers gathered one component at a time: several times faster than gathered vectors
        return np.stack(
            [self.origin[:, i].take(index) + _combine(self.axes[:, :, i], index, x, y, z) for i in range(3)], axis=-1
        )

    def to_local(self, module: ArrayLike, position: FloatArray) -> FloatArray:
        """Turn global points into modules' frames.

        Parameters
        ----------
        module : int [n]
        position : float64 [n, 3]
            mm.

        Returns
        -------
        float64 [n, 3]
            mm.
        """
        return self.rotate_to_local(module, position - self.origin[self.checked(module)])

    def rotate_to_local(self, module: ArrayLike, vector: FloatArray) -> FloatArray:
        """Turn global directions into modules' frames.

        Parameters
        ----------
        module : int [n]
        vector : float64 [n, 3]

        Returns
        -------
        float64 [n, 3]
        """
        index = self.checked(module)
        x, y, z = np.moveaxis(vector, -1, 0)
        return np.stack([_combine(self.axes[:, j], index, x, y, z) for j in range(3)], axis=-1)

    def checked(self, module: ArrayLike) -> NDArray[np.int64]:
        """Return module numbers as an array, refusing those that do not exist.

        Raises
        ------
        InputError
            A number is outside 0 to the number of modules less one.
        """
        index = np.asarray(module, dtype=np.int64)
        if index.size and (index.min() < 0 or index.max() >= len(self)):
            raise InputError(f"modules are numbered 0 to {len(self) - 1}, but got {index.min()} to {index.max()}")
        return index


def _combine(weights: FloatArray, index: NDArray[np.int64], x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
    """Sum of x, y and z with the weights [m, 3] of the modules at index."""
    combined: FloatArray = x * weights[:, 0].take(index) + y * weights[:, 1].take(index) + z * weights[:, 2].take(index)
    return combined
