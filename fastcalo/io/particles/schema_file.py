# SPDX-License-Identifier: BSD-3-Clause
"""Table ``[schema]`` of a TOML file that names the branches of particles."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ...config.base import AtLeastOne, Model, about

_Branch = Annotated[str | None, Field(min_length=1)]
_INSTEAD = "; in place of px, py and pz"


class UnitsTable(Model):
    """``units`` of ``[schema]``."""

    momentum: Annotated[
        Literal["keV", "MeV", "GeV", "TeV"] | None, about("Unit of momenta, masses and energies; GeV if left out")
    ] = None
    length: Annotated[
        Literal["um", "mm", "cm", "m"] | None, about("Unit of vertices; that of the convention if left out")
    ] = None


class SchemaTable(Model):
    """``[schema]``: branches by what they hold; what is left out is looked for."""

    tree: Annotated[_Branch, about("Name of the TTree or RNTuple")] = None
    collection: Annotated[_Branch, about("Collection of particles, by its name; chosen by evidence if left out")] = None
    pdg: Annotated[_Branch, about("Branch of PDG codes")] = None
    px: Annotated[_Branch, about("Branch of the momentum along x")] = None
    py: Annotated[_Branch, about("Branch of the momentum along y")] = None
    pz: Annotated[_Branch, about("Branch of the momentum along z, the beam")] = None
    pt: Annotated[_Branch, about(f"Branch of the transverse momentum{_INSTEAD}, with eta and phi")] = None
    eta: Annotated[_Branch, about("Branch of the pseudorapidity")] = None
    phi: Annotated[_Branch, about("Branch of the azimuth", unit="rad")] = None
    mass: Annotated[_Branch, about("Branch of the mass")] = None
    energy: Annotated[_Branch, about("Branch of the energy, for the mass of what the PDG does not list")] = None
    vx: Annotated[_Branch, about("Branch of the x of the vertex")] = None
    vy: Annotated[_Branch, about("Branch of the y of the vertex")] = None
    vz: Annotated[_Branch, about("Branch of the z of the vertex")] = None
    status: Annotated[_Branch, about("Branch of the status of the particle")] = None
    run: Annotated[_Branch, about("Branch of the run number, of the event")] = None
    event: Annotated[_Branch, about("Branch of the event number, of the event")] = None
    luminosity_block: Annotated[_Branch, about("Branch of the luminosity block, of the event")] = None
    repeat: Annotated[_Branch, about("Branch of a number that distinguishes events whose others are equal")] = None
    units: Annotated[UnitsTable, about("Units of the branches")] = UnitsTable()
    final_status: Annotated[
        AtLeastOne[Annotated[int, Field(ge=-(1 << 31), lt=1 << 31)]] | None,
        about("Values of the status that mean a particle of the final state; 1 if left out"),
    ] = None


class SchemaFile(Model):
    """The whole file."""

    table: Annotated[SchemaTable, Field(alias="schema"), about("Where the particles of a file are")]
