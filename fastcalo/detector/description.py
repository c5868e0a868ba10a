# SPDX-License-Identifier: BSD-3-Clause
"""Calorimeter described by a TOML file: sections, modules, magnetic field, cell IDs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..config.toml import read_toml
from ..config.validation import validate
from ..display import html_table
from ..errors import DetectorError, InputError
from .geant4_settings import Geant4Settings
from .modules import Barrel, Endcap, FloatArray, Layout
from .section import Section
from .substitutes import Substitutes
from .tables import DetectorFile

DEFAULT_DETECTOR = "clic-like"

DetectorLike: TypeAlias = "Detector | str | Path"
"""A detector, the name of a shipped one, or the path of a TOML file."""

_SHIPPED = Path(__file__).parent


@dataclass(frozen=True, repr=False)
class Detector:
    """A calorimeter: sections stacked one behind the other, the same in every module, around a solenoid field.

    Attributes
    ----------
    name : str
    sections : tuple of Section
        From the face inwards.
    barrel : Barrel
    endcap : Endcap
    field_tesla : float
        Along z, inside the faces of barrel and endcaps.
    geant4 : Geant4Settings
        How full simulation is to go about it.
    substitutes : Substitutes
        What is simulated in place of particles that no model knows.
    """

    name: str
    sections: tuple[Section, ...]
    barrel: Barrel
    endcap: Endcap
    field_tesla: float
    geant4: Geant4Settings
    substitutes: Substitutes

    def section(self, name: str) -> Section:
        """Return the section of that name.

        Raises
        ------
        InputError
            There is none.
        """
        for section in self.sections:
            if section.name == name:
                return section
        raise InputError(f"{self.name} has no section {name!r}; it has {[s.name for s in self.sections]}")

    @cached_property
    def layout(self) -> Layout:
        """Frames of the modules."""
        return Layout.of(self.barrel, self.endcap)

    @cached_property
    def stack(self) -> dict[str, Any]:
        """What a shower depends on, as a dictionary that JSON can hold: the sections without their cell IDs."""
        return {"sections": [section.stack for section in self.sections]}

    @cached_property
    def stack_hash(self) -> str:
        """SHA-256 of the stack, hexadecimal: equal wherever the same shower model may be used."""
        return sha256_of(self.stack)

    @cached_property
    def description(self) -> dict[str, Any]:
        """The whole description, with the keys of the TOML file; `parse_detector` takes it back."""
        return {
            "name": self.name,
            "solenoid": {"field_tesla": self.field_tesla},
            "barrel": asdict(self.barrel),
            "endcap": asdict(self.endcap),
            "section": {s.name: s.description for s in self.sections},
            "geant4": self.geant4.description,
            "substitutes": self.substitutes.description,
        }

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the whole description, hexadecimal; comments and the order of keys in the file don't enter."""
        return sha256_of(self.description)

    def cell_centre(
        self, section_name: str, module: ArrayLike, ix: ArrayLike, iy: ArrayLike, layer: ArrayLike
    ) -> FloatArray:
        """Return where the centres of cells are.

        Parameters
        ----------
        section_name : str
        module, ix, iy, layer : int [h]
            Cell (0, 0) of a module is centred on the origin of its frame.

        Returns
        -------
        float64 [h, 3]
            Global coordinates, mm; half-way through the sensor.

        Raises
        ------
        InputError
            No such section, module or layer.
        """
        section = self.section(section_name)
        depth = section.sensor_z[section.checked_layer(layer)]
        local = np.broadcast_arrays(np.multiply(ix, section.cell_mm), np.multiply(iy, section.cell_mm), depth)
        return self.layout.to_global(module, np.stack(local, axis=-1))

    def encode(
        self, section_name: str, module: ArrayLike, ix: ArrayLike, iy: ArrayLike, layer: ArrayLike
    ) -> NDArray[np.uint64]:
        """Pack the numbers of cells into cell IDs.

        Parameters
        ----------
        section_name : str
        module, ix, iy, layer : int [h]

        Returns
        -------
        uint64 [h]

        Raises
        ------
        InputError
            No such section, module or layer, or a number that its field cannot hold.
        """
        section = self.section(section_name)
        return section.encoding.encode(
            system=section.system,
            module=self.layout.checked(module),
            layer=section.checked_layer(layer),
            x=ix,
            y=iy,
        )

    def decode(self, section_name: str, cell_id: ArrayLike) -> dict[str, NDArray[np.int64]]:
        """Take cell IDs apart.

        Parameters
        ----------
        section_name : str
        cell_id : uint64 [h]

        Returns
        -------
        dict of str to int64 [h]
            ``module``, ``layer``, ``x`` and ``y``.

        Raises
        ------
        InputError
            No such section, or a cell ID of another one.
        """
        section = self.section(section_name)
        values = section.encoding.decode(cell_id)
        foreign = values.pop("system")
        if (foreign != section.system).any():
            bad = foreign[foreign != section.system].flat[0]
            raise InputError(
                f"a cell ID of system {bad} is not one of {section_name}, which is system {section.system}"
            )
        return values

    def __repr__(self) -> str:
        sections = ", ".join(f"{s.name}: {len(s.absorber_mm)} layers" for s in self.sections)
        return f"<Detector {self.name!r}: {sections}>"

    def _repr_html_(self) -> str:
        return html_table(f"Detector {self.name}", (), self.describe())

    def describe(self) -> list[tuple[str, str]]:
        """Return what a person wants to know, as pairs of a label and a text."""
        last = len(self.layout) - 1
        rows = [
            ("name", self.name),
            ("field", f"{self.field_tesla:g} T along z"),
            ("barrel", f"modules 0-{last - 2}: {self.barrel.text}"),
            ("endcaps", f"modules {last - 1} (+z) and {last} (-z): {self.endcap.text}"),
        ]
        rows += [(s.name, s.text) for s in self.sections]
        rows.append(("Geant4", self.geant4.text))
        if self.substitutes.rows:
            rows.append(("substitutes", ", ".join(f"{row.species} as {row.pdg}" for row in self.substitutes.rows)))
        return [*rows, ("hash", self.hash), ("stack hash", self.stack_hash)]


def load_detector(name_or_path: DetectorLike = DEFAULT_DETECTOR) -> Detector:
    """Load a detector by the name of a shipped description, or from a TOML file.

    Parameters
    ----------
    name_or_path : str, Path or Detector
        ``"clic-like"``, or the path of a file; a detector is returned as it is.

    Raises
    ------
    DetectorError
        No such name or file, or a description that cannot be used; the message gives file and key.

    Examples
    --------
    >>> from fastcalo import load_detector
    >>> load_detector("clic-like")
    <Detector 'clic-like': ECAL: 25 layers, HCAL: 60 layers>
    """
    if isinstance(name_or_path, Detector):
        return name_or_path
    path = _SHIPPED / f"{name_or_path}.toml"
    try:
        path = path if path.is_file() else Path(name_or_path)
        table = read_toml(path, DetectorError)
    except (OSError, DetectorError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        if not isinstance(cause, OSError):
            raise
        shipped = sorted(p.stem for p in _SHIPPED.glob("*.toml"))
        problem = cause.strerror or cause
        raise DetectorError(f"{name_or_path}: {problem}; give a TOML file, or one of the names {shipped}") from error
    return parse_detector(table, source=str(path))


def parse_detector(description: Mapping[str, Any], source: str) -> Detector:
    """Make a detector of a description that has been read already.

    Parameters
    ----------
    description : mapping
        What the TOML file holds, or `Detector.description`.
    source : str
        Where it came from, for messages.

    Raises
    ------
    DetectorError
        A key is missing, unknown or has a value that cannot be; the message gives source and key.
    """
    file = validate(DetectorFile, description, source, DetectorError)
    sections = [Section.of(name, table) for name, table in file.section.items()]
    detector = Detector(
        name=file.name,
        sections=tuple(sorted(sections, key=lambda section: section.front_mm)),
        barrel=Barrel(**file.barrel.as_dict()),
        endcap=Endcap(**file.endcap.as_dict()),
        field_tesla=file.solenoid.field_tesla,
        geant4=Geant4Settings.of(file.geant4),
        substitutes=Substitutes.of(file.substitutes),
    )
    _check_together(detector, source)
    return detector


def _check_together(detector: Detector, source: str) -> None:
    """Refuse sections that overlap, leave the face bare, or have cell IDs too small for the modules."""
    back = 0.0
    reach = max(detector.barrel.half_length_mm, detector.barrel.half_width_mm, detector.endcap.outer_radius_mm)
    for section in detector.sections:
        where = f"{source}: section.{section.name}"
        if section is detector.sections[0] and section.front_mm != 0:
            raise DetectorError(
                f"{where}.front_mm: the first section begins at the face, at 0, but here at {section.front_mm:g}"
            )
        if section.front_mm < back - 1e-6:
            raise DetectorError(
                f"{where}.front_mm: begins at {section.front_mm:g}, but the section before it ends at {back:g}"
            )
        back = section.back_mm
        _check_readouts(section, detector.barrel.staves, where)
        cells = int(min(reach / section.cell_mm, float(1 << 62))) + 1 + max(section.window)
        largest = {
            "system": section.system, "module": len(detector.layout) - 1, "layer": section.layers - 1,
            "x": cells, "y": cells,
        }  # fmt: skip
        for field, value in largest.items():
            if value > section.encoding[field].highest:
                raise DetectorError(
                    f"{where}.encoding: {field!r} holds {section.encoding[field].highest} at most, but {value} is "
                    "needed: give it more bits"
                )


def _check_readouts(section: Section, staves: int, where: str) -> None:
    """Refuse readouts that do not take every module's hits, or take some twice, or by which no cell can be named."""
    taken: list[int] = []
    for k, readout in enumerate(section.readouts):
        try:
            readout.check(staves)
        except DetectorError as error:
            raise DetectorError(f"{where}.readout[{k}].{error}") from None
        taken += readout.modules(staves)
    if section.readouts and sorted(taken) != list(range(staves + 2)):
        raise DetectorError(f"{where}.readout: barrel and endcaps must each stand in one readout")


def sha256_of(description: Mapping[str, Any]) -> str:
    """SHA-256 of a description, hexadecimal; the order of its keys does not enter."""
    canonical = json.dumps(description, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
