# SPDX-License-Identifier: BSD-3-Clause
"""Numbering of the layers of all sections, front to back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fastcalo.detector.description import Detector
from fastcalo.detector.section import Section
from fastcalo.errors import ConfigError


@dataclass(frozen=True, eq=False)
class LayerStack:
    """Layers counted through the sections.

    Attributes
    ----------
    sections : tuple of Section
    """

    sections: tuple[Section, ...]

    @classmethod
    def of(cls, detector: Detector, names: Sequence[str], layers: Sequence[int] = ()) -> LayerStack:
        """Some sections of a detector, or their first layers.

        Parameters
        ----------
        detector : Detector
        names : sequence of str
        layers : sequence of int
            Layers of each section from its front; all where empty.

        Raises
        ------
        InputError
            The detector has no such section.
        ConfigError
            None is named, they do not stand one behind the other, their windows differ, or one has fewer layers.
        """
        sections = tuple(detector.section(name) for name in names)
        if layers:
            sections = tuple(_front_of(section, n) for section, n in zip(sections, layers, strict=True))
        if not sections:
            raise ConfigError(f"sections must name at least one section of {detector.name!r}")
        windows = {section.window for section in sections}
        if len(windows) > 1:
            raise ConfigError(
                f"sections {list(names)} of {detector.name!r} have windows of {sorted(windows)} cells; a model draws "
                "sections with the same window only: give them one in the detector's description"
            )
        stack = cls(sections)
        if (np.diff(stack.sensor_z) <= 0).any():
            raise ConfigError(f"sections {list(names)} of {detector.name!r} must be named once each, front to back")
        return stack

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the sections."""
        return tuple(section.name for section in self.sections)

    @property
    def layers(self) -> int:
        """Number of layers."""
        return sum(section.layers for section in self.sections)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Cells along x, cells along y, layers."""
        return (*self.sections[0].window, self.layers)

    @property
    def sensor_z(self) -> NDArray[np.float64]:
        """Depth of the middle of every sensor behind the calorimeter's face, float64 [L], mm."""
        return np.concatenate([section.sensor_z for section in self.sections])

    @property
    def cell_mm(self) -> NDArray[np.float64]:
        """Width of the cells of every layer, float64 [L], mm."""
        return np.concatenate([np.full(section.layers, section.cell_mm) for section in self.sections])

    @property
    def threshold(self) -> NDArray[np.float64]:
        """Deposit above which a cell is a hit in every layer, float64 [L], GeV."""
        return np.concatenate([np.full(section.layers, section.threshold) for section in self.sections])

    def offsets(self, direction: NDArray[np.floating], entry: NDArray[np.floating]) -> NDArray[np.float64]:
        """Where flight lines cross sensors, from the centre of the cell crossed, float64 [B, L, 2] in cells.

        Parameters
        ----------
        direction : float [B, 3]
        entry : float [B, 2]
            mm.
        """
        slope = direction[:, None, :2].astype(np.float64) / direction[:, None, 2:]
        crossing = entry[:, None].astype(np.float64) + self.sensor_z[None, :, None] * slope
        crossing /= self.cell_mm[None, :, None]
        return np.asarray(crossing - np.floor(crossing + 0.5))


def _front_of(section: Section, layers: int) -> Section:
    if layers > section.layers:
        raise ConfigError(f"section {section.name!r} has {section.layers} layers, fewer than {layers}")
    return replace(section, absorber_mm=section.absorber_mm[:layers])
