# SPDX-License-Identifier: BSD-3-Clause
"""Particle gun: kinematics from counter-based random numbers, and showers cut to windows."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..detector.description import Detector
from ..errors import ConfigError
from ..model.random_numbers import random_streams, uniform
from ..simulation.placing import crossed_cells
from .shots import Shots, Showers, seeds_from

_DROPPED_BITS = 23 - 13
"""Bits of the mantissa of a stored deposit that are zero: its relative error is 2**-14, and it packs the better."""

Columns = dict[str, NDArray[Any]]
Hits = dict[str, tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]]


@dataclass(frozen=True, eq=False)
class Windows:
    """Deposits around the lines of flight.

    Attributes
    ----------
    hits : dict
        By section: offsets int64 [n + 1], cell int64 [h] in the window (C order: ix, iy, layer; rising within a
        shower) and deposit float32 [h], GeV, rounded to 13 bits of the mantissa.
    totals : dict
        By section: deposits in the window and beyond, float32 [n], GeV.
    times : dict
        By section, where they are known: energy-weighted mean time of each deposit, float32 [h], ns, rounded as the
        deposits.
    """

    hits: Hits
    totals: dict[str, NDArray[np.float32]]
    times: dict[str, NDArray[np.float32]]


class Spectrum(StrEnum):
    """How kinetic energies are spread: evenly in their logarithm, or evenly."""

    LOG = "log"
    FLAT = "flat"


@dataclass(frozen=True)
class Gun:
    """What is shot.

    Attributes
    ----------
    species : tuple of int
        PDG codes, each as likely as another.
    energy : (float, float)
        Smallest and largest kinetic energy, GeV.
    spectrum : Spectrum
    cone_degrees : float
        Directions are isotropic up to this angle to the layers' normal.
    seed : int
    entry_spread_mm : float, optional
        Entry points are spread evenly over a square whose sides lie this far from the frame's origin, which is a
        cell's centre in every section; over the cell of the first section unless given.
    """

    species: tuple[int, ...] = (11, -11, 22)
    energy: tuple[float, float] = (0.1, 100.0)
    spectrum: Spectrum = Spectrum.LOG
    cone_degrees: float = 56.0
    seed: int = 0
    entry_spread_mm: float | None = None

    def check(self, detector: Detector) -> None:
        """Refuse what cannot be, or is more than the detector's full simulation accepts.

        Raises
        ------
        ConfigError
            The message names the option.
        """
        limits = detector.geant4
        (low, high), (lowest, highest) = self.energy, limits.kinetic_energy
        if not self.species:
            raise ConfigError("species: at least one is needed")
        if not lowest <= low <= high <= highest:
            raise ConfigError(
                f"energy: {low:g} to {high:g} GeV is not a range within {lowest:g} to {highest:g} GeV, "
                f"geant4.kinetic_energy_gev of {detector.name}"
            )
        if not 0 <= self.cone_degrees <= limits.max_angle_degrees:
            raise ConfigError(
                f"cone: {self.cone_degrees:g} degrees is not within 0 to {limits.max_angle_degrees:g}, "
                f"geant4.max_angle_degrees of {detector.name}"
            )
        reach = min(detector.barrel.half_length_mm, detector.barrel.half_width_mm)
        if self.entry_spread_mm is not None and not 0 <= self.entry_spread_mm <= reach:
            raise ConfigError(f"entry-spread: {self.entry_spread_mm:g} mm is not within 0 to {reach:g}, the barrel's")

    def conditions(self, detector: Detector, start: int, stop: int) -> Columns:
        """Conditions of the showers `start` to `stop`, as they are stored.

        Those of shower i depend on the gun, its seed and i only, so that the work may be cut up at will.

        Returns
        -------
        dict
            ``pdg`` int32 [n], ``kinetic_energy`` float32 [n] (GeV), ``direction`` float32 [n, 3], ``entry`` float32
            [n, 2] (mm) and ``seeds`` int64 [n, 2].
        """
        index = np.arange(start, stop, dtype=np.int64)
        zero = np.zeros_like(index)
        words = random_streams(self.seed, zero, index, zero).words(0, 8)
        u = uniform(words[:, :6]).astype(np.float64)
        low, high = self.energy
        energy = low * (high / low) ** u[:, 1] if self.spectrum is Spectrum.LOG else low + (high - low) * u[:, 1]
        cosine = 1 - (1 - math.cos(math.radians(self.cone_degrees))) * u[:, 2]
        sine, azimuth = np.sqrt(1 - cosine**2), np.pi * (2 * u[:, 3] - 1)
        direction = np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), cosine], axis=1)
        side = detector.sections[0].cell_mm if self.entry_spread_mm is None else 2 * self.entry_spread_mm
        chosen = np.minimum((u[:, 0] * len(self.species)).astype(np.int64), len(self.species) - 1)
        return {
            "pdg": np.array(self.species, np.int32)[chosen],
            "kinetic_energy": energy.astype(np.float32),
            "direction": direction.astype(np.float32),
            "entry": ((u[:, 4:6] - 0.5) * side).astype(np.float32),
            "seeds": seeds_from(words[:, 6:8]),
        }

    def facts(self) -> dict[str, str | int | float]:
        """The gun, as attributes of a file."""
        spread = {} if self.entry_spread_mm is None else {"entry_spread_mm": self.entry_spread_mm}
        return {
            "species": json.dumps(list(self.species)),
            "kinetic_energy_gev": json.dumps(list(self.energy)),
            "spectrum": self.spectrum.value,
            "cone_degrees": self.cone_degrees,
            "seed": self.seed,
            **spread,
        }


def shots_of(conditions: Columns, first: int = 0) -> Shots:
    """What Geant4 is asked for: exactly the stored conditions, in single precision as they are."""
    return Shots(
        number=first + np.arange(len(conditions["pdg"])),
        pdg=conditions["pdg"].astype(np.int64),
        kinetic_energy=conditions["kinetic_energy"].astype(np.float64),
        direction=conditions["direction"].astype(np.float64),
        position=conditions["entry"].astype(np.float64),
        seeds=conditions["seeds"],
    )


def cut_to_windows(detector: Detector, parts: Sequence[Showers]) -> Windows:
    """Keep the deposits around the lines of flight.

    Parameters
    ----------
    detector : Detector
        Its windows state how far.
    parts : sequence of Showers
        At least one; they are joined.
    """
    direction = np.concatenate([p.shots.direction for p in parts]).astype(np.float32)
    entry = np.concatenate([p.shots.position for p in parts]).astype(np.float32)
    n = len(entry)
    before = np.concatenate([[0], np.cumsum([len(p.shots) for p in parts])])
    out = Windows({}, {}, {})
    for section in detector.sections:
        found = [p.sections[section.name] for p in parts]
        shot = np.concatenate([c.shot + b for c, b in zip(found, before, strict=False)])
        ix, iy, layer, deposit = (
            np.concatenate([getattr(c, name) for c in found]) for name in ("ix", "iy", "layer", "deposit")
        )
        out.totals[section.name] = np.bincount(shot, deposit, minlength=n).astype(np.float32)
        nx, ny, layers = section.shape
        centre = crossed_cells(section, entry, direction)[shot, layer]
        jx, jy = ix - centre[:, 0] + nx // 2, iy - centre[:, 1] + ny // 2
        inside = (jx >= 0) & (jx < nx) & (jy >= 0) & (jy < ny)
        cell, row = ((jx * ny + jy) * layers + layer)[inside], shot[inside]
        order = np.lexsort([cell, row])
        offsets = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=n))])
        out.hits[section.name] = (offsets, cell[order], rounded(deposit[inside][order].astype(np.float32)))
        times = [c.time for c in found if c.time is not None]
        if len(times) == len(found):
            out.times[section.name] = rounded(np.concatenate(times)[inside][order].astype(np.float32))
    return out


def rounded(deposit: NDArray[np.float32]) -> NDArray[np.float32]:
    """Numbers rounded to 13 bits of the mantissa, ties away from zero."""
    half, mask = np.uint32(1 << (_DROPPED_BITS - 1)), np.uint32(0xFFFFFFFF << _DROPPED_BITS & 0xFFFFFFFF)
    return ((np.ascontiguousarray(deposit).view(np.uint32) + half) & mask).view(np.float32)
