# SPDX-License-Identifier: BSD-3-Clause
"""Tables of a detector's TOML file: what each key is, and what it may be."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from ..config.base import AtLeastOne, Model, Pair, Several, about
from ..config.validation import WrongValue, shown
from ..errors import DetectorError
from .cell_id import CellEncoding

_CELL_FIELDS = ("system", "module", "layer", "x", "y")
_FARTHEST_MM = 1e6
_MOST_LAYERS = 10_000
_STEEPEST = 89.99

_Cells = Annotated[int, Field(ge=1, le=9_999)]
_Energy = Annotated[float, Field(gt=0, le=1e9)]


class SolenoidTable(Model):
    """``[solenoid]``."""

    field_tesla: Annotated[
        float, about("Field along z, inside the faces of barrel and endcaps", unit="T", ge=-1_000, le=1_000)
    ]


class BarrelTable(Model):
    """``[barrel]``: flat staves around the beam."""

    staves: Annotated[int, about("Number of staves", ge=3, le=10_000)]
    inner_radius_mm: Annotated[
        float, about("Distance of every flat face from the beam", unit="mm", gt=0, le=_FARTHEST_MM)
    ]
    half_length_mm: Annotated[float, about("Half of the length along the beam", unit="mm", gt=0, le=_FARTHEST_MM)]


class EndcapTable(Model):
    """``[endcap]``: two rings that close the barrel."""

    front_mm: Annotated[
        float, about("Distance of both faces from the origin, at least the barrel's half_length_mm", unit="mm",
                     le=_FARTHEST_MM)
    ]  # fmt: skip
    inner_radius_mm: Annotated[float, about("Radius of the hole for the beam", unit="mm", ge=0, le=_FARTHEST_MM)]
    outer_radius_mm: Annotated[float, about("Outer radius, greater than inner_radius_mm", unit="mm", le=_FARTHEST_MM)]

    @model_validator(mode="after")
    def _is_a_ring(self) -> Self:
        if self.outer_radius_mm <= self.inner_radius_mm:
            raise WrongValue(
                f"must be greater than {self.inner_radius_mm:g}, but is {self.outer_radius_mm:g}", "outer_radius_mm"
            )
        return self


class LayersTable(Model):
    """One entry of ``layers``: layers with the same absorber."""

    count: Annotated[int, about("Number of layers", ge=1, le=_MOST_LAYERS)]
    absorber_mm: Annotated[float, about("Thickness of the absorber in each of them", unit="mm", gt=0, le=_FARTHEST_MM)]


class ReadoutTable(Model):
    """``[[section.NAME.readout]]``: a collection of the section's hits, for programs that know a detector of DD4hep."""

    collection: Annotated[
        str, about("Name of the collection, such as ECalBarrelCollection", pattern=r"^[A-Za-z][A-Za-z0-9_]{0,99}$")
    ]
    part: Annotated[Literal["barrel", "endcap", "all"], about("Modules whose hits stand in it")] = "all"
    encoding: Annotated[str, about("Fields of its cell IDs", source="DD4hep")]
    fields: Annotated[
        dict[str, int | str],
        about("Of every field a constant, or one of module, stave, side, layer, x and y, such as 'layer + 1' or '-x'"),
    ]

    @field_validator("encoding")
    @classmethod
    def _can_be_read(cls, text: str) -> str:
        try:
            CellEncoding.parse(text)
        except DetectorError as error:
            raise WrongValue(str(error)) from None
        return text


class SectionTable(Model):
    """``[section.NAME]``: layers of absorber, sensor and gap, in this order from the face."""

    front_mm: Annotated[
        float, about("Depth behind the face at which it begins; 0 for the first section", unit="mm", ge=0,
                     le=_FARTHEST_MM)
    ]  # fmt: skip
    absorber: Annotated[str, about("Material of the absorber", source="Geant4's NIST materials")]
    sensor: Annotated[str, about("Material of the sensor", source="Geant4's NIST materials")]
    gap: Annotated[str, about("Material of the gap", source="Geant4's NIST materials")]
    layers: Annotated[AtLeastOne[LayersTable], about("Layers from the face inwards, in runs with the same absorber")]
    sensor_mm: Annotated[float, about("Thickness of the sensor", unit="mm", gt=0, le=_FARTHEST_MM)]
    gap_mm: Annotated[float, about("Thickness of the gap", unit="mm", ge=0, le=_FARTHEST_MM)]
    cell_mm: Annotated[float, about("Side of the square cells", unit="mm", gt=0, le=_FARTHEST_MM)]
    window: Annotated[
        Pair[_Cells],
        about("Cells along x and y that a shower is given in every layer; both odd, so that one is in the middle",
              unit="cells"),
    ]  # fmt: skip
    threshold_gev: Annotated[float, about("Deposit above which a cell is a hit", unit="GeV", ge=0, le=1e6)]
    system: Annotated[int, about("Number that stands for the section in its cell IDs", ge=0, lt=1 << 63)]
    encoding: Annotated[
        str,
        about("Fields of its cell IDs: system, module, layer, x and y, the last two with a minus sign",
              source="DD4hep"),
    ]  # fmt: skip
    readout: Annotated[
        Several[ReadoutTable],
        about("Collections of its hits in EDM4hep; one of the section's name and encoding unless given"),
    ] = ()

    @field_validator("absorber", "sensor", "gap")
    @classmethod
    def _is_a_material(cls, name: str) -> str:
        if not re.fullmatch(r"G4_\w+", name):
            raise WrongValue(f"must be one of Geant4's NIST materials, such as 'G4_W', but is {shown(name)}")
        return name

    @field_validator("layers")
    @classmethod
    def _few_layers(cls, layers: tuple[LayersTable, ...]) -> tuple[LayersTable, ...]:
        if (total := sum(run.count for run in layers)) > _MOST_LAYERS:
            raise WrongValue(f"must be at most {_MOST_LAYERS} layers together, but are {total}")
        return layers

    @field_validator("window")
    @classmethod
    def _has_a_middle(cls, window: tuple[int, int]) -> tuple[int, int]:
        if not all(cells % 2 for cells in window):
            raise WrongValue(f"must be odd, so that a cell is in the middle, but is {list(window)}")
        return window

    @field_validator("encoding")
    @classmethod
    def _is_an_encoding(cls, text: str) -> str:
        try:
            encoding = CellEncoding.parse(text)
        except DetectorError as error:
            raise WrongValue(str(error)) from None
        if sorted(encoding.names) != sorted(_CELL_FIELDS):
            raise WrongValue(f"must have the fields {list(_CELL_FIELDS)}, but has {list(encoding.names)}")
        for name in ("x", "y"):
            if not encoding[name].signed:
                raise WrongValue(f"{name!r} counts from the middle of a module: write its width with a minus sign")
        return text


class Geant4Table(Model):
    """``[geant4]``: how full simulation is done."""

    physics_list: Annotated[
        str, about("Name of a reference physics list of Geant4", source="Geant4 Physics List Guide", min_length=1)
    ] = "FTFP_BERT"
    production_cut_mm: Annotated[
        float, about("Range below which no secondary particle is made", unit="mm", gt=0, le=_FARTHEST_MM)
    ] = 0.1
    kinetic_energy_gev: Annotated[
        Pair[_Energy], about("Smallest and largest kinetic energy that is accepted", unit="GeV")
    ] = (0.001, 1000.0)
    max_angle_degrees: Annotated[
        float, about("Largest angle to the layers' normal that is accepted", unit="degrees", ge=0, le=_STEEPEST)
    ] = 80.0

    @field_validator("kinetic_energy_gev")
    @classmethod
    def _rises(cls, ends: tuple[float, float]) -> tuple[float, float]:
        if ends[0] >= ends[1]:
            raise WrongValue(f"the first must be smaller than the second, but is {list(ends)}")
        return ends


class SubstituteTable(Model):
    """An entry of ``[substitutes]``, under the PDG code of the particle that no model knows."""

    pdg: Annotated[int, about("Particle that is simulated in its place", unit="PDG code", gt=-(1 << 31), lt=1 << 31)]
    add_gev: Annotated[
        float,
        about("Energy that is added to the kinetic one: what its mass sets free beyond that of the substitute",
              unit="GeV", ge=0, le=1e6),
    ] = 0.0  # fmt: skip


class DetectorFile(Model):
    """The whole file."""

    name: Annotated[str, about("Name of the detector", min_length=1)]
    solenoid: Annotated[SolenoidTable, about("Magnetic field")]
    barrel: Annotated[BarrelTable, about("Flat staves around the beam")]
    endcap: Annotated[EndcapTable, about("Two rings that close the barrel")]
    section: Annotated[
        dict[str, SectionTable],
        about("Sections by their names, which become names of branches: a letter, then letters, digits and _"),
    ]
    geant4: Annotated[Geant4Table, about("How full simulation is done")] = Geant4Table()
    substitutes: Annotated[
        dict[str, SubstituteTable], about("What is simulated in place of particles that no model knows, by PDG codes")
    ] = Field(default_factory=dict)

    @field_validator("section")
    @classmethod
    def _named_sections(cls, sections: dict[str, SectionTable]) -> dict[str, SectionTable]:
        if not sections:
            raise WrongValue("must hold at least one section, such as section.ECAL")
        return sections

    @field_validator("section", mode="before")
    @classmethod
    def _names_of_branches(cls, sections: object) -> object:
        for name in sections if isinstance(sections, dict) else ():
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,99}", str(name)):
                raise WrongValue(
                    "a section's name becomes a branch's: begin with a letter, then letters, digits and _", str(name)
                )
        return sections

    @field_validator("substitutes")
    @classmethod
    def _have_none_themselves(cls, table: dict[str, SubstituteTable]) -> dict[str, SubstituteTable]:
        for key in table:
            if not re.fullmatch(r"-?[0-9]{1,10}", key):
                raise WrongValue("must be a PDG code, such as 321", key)
        for key, entry in table.items():
            if entry.pdg in {int(other) for other in table}:
                raise WrongValue(f"{entry.pdg} has a substitute itself: name that one", key)
        return table

    @model_validator(mode="after")
    def _endcap_fits(self) -> Self:
        if self.endcap.front_mm < self.barrel.half_length_mm:
            raise WrongValue(
                f"must be at least {self.barrel.half_length_mm:g}, but is {self.endcap.front_mm:g}",
                "endcap", "front_mm",
            )  # fmt: skip
        return self
