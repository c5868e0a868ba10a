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
# all energies, up to which physics lists of Geant4 are meant to hold, and angles to try
_LOWEST_GEV, _HIGHEST_GEV = 1e-12, 100_000.0
_LARGEST_DEGREES = (89.99, 87.0, 85.0, 83.0)
# lines of flight that are still more inclined may leave the layers at their sides, tens of metres away
_WIDEST_DEGREES = 88.0


def cells_across(detector: Detector, section: Section) -> int:
    """Cells of a section along x and along y: an odd number, enough for every particle that is accepted.

    Raises
    ------
    DetectorError
        Geant4 cannot number so many.
    """
    reach = max(detector.barrel.half_length_mm, detector.barrel.half_width_mm, detector.endcap.outer_radius_mm)
    half = reach + section.back_mm * math.tan(min(detector.geant4.max_angle, math.radians(_WIDEST_DEGREES))) + MARGIN_MM
    cells = 2 * math.ceil(half / section.cell_mm) + 1
    if cells * cells * section.layers > _MOST_CELLS:
        raise DetectorError(
            f"{detector.name}: section.{section.name}: {cells} x {cells} cells in {section.layers} layers are more "
            f"than the {_MOST_CELLS} that Geant4 can number; make geant4.max_angle_degrees smaller, which is "
            f"{detector.geant4.max_angle_degrees:g}"
        )
    return cells


def with_widest_range(detector: Detector) -> Detector:
    """The detector, with full simulation that takes particles of any energy, and of angles as large as can be numbered.

    Its table ``[geant4]`` states what is simulated where showers are made to learn from, or to compare with. Where
    nothing is to be left out, that is no limit: lines of flight of very inclined particles are long, and no more.

    Parameters
    ----------
    detector : Detector
    """
    settings = replace(
        detector.geant4, kinetic_energy=(_LOWEST_GEV, max(_HIGHEST_GEV, detector.geant4.kinetic_energy[1]))
    )
    for angle in _LARGEST_DEGREES:
        wide = replace(detector, geant4=replace(settings, max_angle_degrees=angle))
        if angle > settings.max_angle_degrees and all(_numbered(wide, section) for section in detector.sections):
            return wide
    return replace(detector, geant4=settings)


def _numbered(detector: Detector, section: Section) -> bool:
    try:
        cells_across(detector, section)
    except DetectorError:
        return False
    return True


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
