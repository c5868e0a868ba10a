# SPDX-License-Identifier: BSD-3-Clause
"""How wide Geant4's sensors are, and windows that hold all of a shower."""

from __future__ import annotations

import math
from dataclasses import replace

from ..detector.description import Detector
from ..detector.section import Section
from ..errors import ConfigError, DetectorError

MARGIN_MM = 1000.0
"""Space beside the layers that a shower needs around the steepest line of flight, mm."""
_MOST_CELLS = 2**31 - 1


def cells_across(detector: Detector, section: Section) -> int:
    """Cells of a section along x and along y: an odd number, enough for every particle that is accepted.

    Raises
    ------
    DetectorError
        Geant4 cannot number so many.
    """
    reach = max(detector.barrel.half_length_mm, detector.barrel.half_width_mm, detector.endcap.outer_radius_mm)
    half = reach + section.back_mm * math.tan(detector.geant4.max_angle) + MARGIN_MM
    cells = 2 * math.ceil(half / section.cell_mm) + 1
    if cells * cells * section.layers > _MOST_CELLS:
        raise DetectorError(
            f"{detector.name}: section.{section.name}: {cells} x {cells} cells in {section.layers} layers are more "
            f"than the {_MOST_CELLS} that Geant4 can number; make geant4.max_angle_degrees smaller, which is "
            f"{detector.geant4.max_angle_degrees:g}"
        )
    return cells


def with_window(detector: Detector, cells: int | None) -> Detector:
    """The detector with another window in all of its sections.

    Parameters
    ----------
    detector : Detector
    cells : int, optional
        Cells along x and along y around the line of flight, an odd number; 0 stands for all that a shower may reach,
        and none leaves the windows as they are.

    Raises
    ------
    ConfigError
        The number is even, or the cells of such windows cannot be numbered.
    """
    if cells is None:
        return detector
    if cells < 0 or (cells and not cells % 2):
        raise ConfigError(f"window: {cells} is neither an odd number of cells nor 0, which keeps all")
    sections = []
    for section in detector.sections:
        # the line of flight may cross a cell at one end while the shower reaches the other
        wide = cells or 2 * cells_across(detector, section) - 1
        if wide * wide * section.layers > _MOST_CELLS:
            raise ConfigError(
                f"window: {wide} x {wide} cells in {section.layers} layers of {section.name} are more than "
                f"{_MOST_CELLS}; ask for fewer"
            )
        sections.append(replace(section, window=(wide, wide)))
    return replace(detector, sections=tuple(sections))
