# SPDX-License-Identifier: BSD-3-Clause
"""Times of deposits in fast simulation: flight of the particle to the face, and light from there to the cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..detector.section import Section
from ..event.contributions import FAST_STEP_MM
from .placing import DepositSource
from .propagation import LIGHT_MM_PER_NS, flight_time

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Flight:
    """Particles on their way to the calorimeter's face.

    Attributes
    ----------
    particle : int64 [n]
        Place of each in its event.
    arrival : float64 [n]
        When it meets the face, ns since the event.
    entry : float64 [n, 2]
        Where, in the frame of the module, mm.
    """

    particle: NDArray[np.int64]
    arrival: FloatArray
    entry: FloatArray

    @classmethod
    def to_face(
        cls,
        particle: NDArray[np.int64],
        born: FloatArray,
        momentum: FloatArray,
        mass: FloatArray,
        length: FloatArray,
        entry: FloatArray,
    ) -> Flight:
        """Follow particles that were produced at `born` [n] (ns) along `length` [n] (mm) of track.

        Parameters
        ----------
        particle : int64 [n]
        born, momentum, mass, length : float64 [n]
            ns, GeV, GeV and mm.
        entry : float64 [n, 2]
        """
        return cls(particle, born + flight_time(length, momentum, mass), entry)

    def source(
        self,
        section: Section,
        row: NDArray[np.int64],
        ix: NDArray[np.int64],
        iy: NDArray[np.int64],
        layer: NDArray[np.int64],
    ) -> DepositSource:
        """What made deposits in cells of the particles' modules, and when.

        Parameters
        ----------
        section : Section
        row : int64 [h]
            Particle of each deposit.
        ix, iy, layer : int64 [h]
        """
        x = ix * section.cell_mm - self.entry[row, 0]
        y = iy * section.cell_mm - self.entry[row, 1]
        depth = np.sqrt(x * x + y * y + section.sensor_z[layer] ** 2)
        time = self.arrival[row] + depth / LIGHT_MM_PER_NS
        return DepositSource(self.particle[row], time, time, np.full(len(row), FAST_STEP_MM, np.float32))
