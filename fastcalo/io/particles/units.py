# SPDX-License-Identifier: BSD-3-Clause
"""Units of momenta and lengths, from what a file holds: its masses or energies, else the titles of its branches."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ... import particles
from ...errors import InputError
from .layouts import UNIT_SUFFIXES
from .schemas import LENGTH_UNITS, MOMENTUM_UNITS, VERTEX, Schema, SchemaOverrides

FloatArray = NDArray[np.float64]

# particles whose mass is sharp, by PDG code: what lives long enough, and the light mesons that generators give a mass
_LEPTONS_AND_BOSONS = (11, 13, 15, 23, 24, 25)
_MESONS = (111, 211, 221, 130, 310, 311, 321, 411, 421, 431, 443, 511, 521, 531, 541)
_BARYONS = (2112, 2212, 3112, 3122, 3212, 3222, 3312, 3322, 3334, 4122, 5122)
_SHARP = (*_LEPTONS_AND_BOSONS, *_MESONS, *_BARYONS)
# how near the ratio to the PDG's mass must be, and how many particles must agree
_NEAR, _AGREE = 0.06, 0.6
_MOMENTUM = re.compile(r"(?<![A-Za-z])([kMGT]eV)(?![A-Za-z])")
_LENGTH = re.compile(r"(?:[\[(]|\bin |, )(um|mm|cm|m)(?:[\])]|$|\W)")

HIGHEST_ENERGY, HIGHEST_SUM = 10e3, 200e3
"""GeV; the greatest energy of a final-state particle, and of an event, that no accelerator makes one ask about."""


def with_units(
    schema: Schema,
    overrides: SchemaOverrides,
    sample: tuple[NDArray[np.int32], FloatArray, FloatArray | None, FloatArray | None],
    title_of: Callable[[str], str],
) -> Schema:
    """Find out in which units a file is.

    Parameters
    ----------
    schema : Schema
        With the units of its convention.
    overrides : SchemaOverrides
        Units that the user names stay.
    sample : tuple
        PDG codes [n], momenta [n], masses [n] and energies [n] of some particles, as they are in the file. The last
        two may be None.
    title_of : callable
        Returns the title of a branch.

    Returns
    -------
    Schema
        With its units, by what they are known, and a note where they are not those that one would have assumed.
    """
    pdg, momentum, mass, energy = sample
    shown = unit_of_masses(pdg, mass) if mass is not None else None
    by = "the masses"
    if shown is None and energy is not None:
        shown, by = unit_of_masses(pdg, _invariant(momentum, energy)), "energies and momenta"
    titled = _titled(schema, (*schema.momentum, "mass", "energy"), _MOMENTUM, MOMENTUM_UNITS, title_of)
    per_event = "momentum_unit" in schema.links
    notes = list(schema.notes)
    unit, known = schema.momentum_unit, schema.momentum_known
    if per_event and overrides.momentum_unit is None:
        unit, known = "GeV", "the file, event by event"
    elif overrides.momentum_unit is not None:
        if shown not in (None, unit):
            notes.append(f"momenta are taken for {unit} as asked, but {by} are those of {shown}")
    elif shown is not None:
        if titled not in (None, shown):
            notes.append(f"titles or names of the branches say {titled}, but {by} are those of {shown}, which is taken")
        unit, known = shown, by
    elif titled is not None:
        unit, known = titled, "titles or names of the branches"
    if overrides.momentum_unit is None and not per_event and (unit != "GeV" or unit != schema.momentum_unit):
        notes.append(
            f"momenta, masses and energies are taken for {unit}: known by {known}"
            + (f", {_times(unit)} times those of the PDG in GeV" if known == "the masses" else "")
            + ". --momentum-unit changes it"
        )
    length, length_known = schema.length_unit, schema.length_known
    if overrides.length_unit is None:
        titled = _titled(schema, VERTEX, _LENGTH, LENGTH_UNITS, title_of)
        if "length_unit" in schema.links:
            length, length_known = "mm", "the file, event by event"
        elif titled is not None:
            if titled != length:
                notes.append(
                    f"vertices are taken for {titled}, not {length}: known by titles or names of the branches. "
                    "--length-unit says otherwise"
                )
            length, length_known = titled, "titles or names of the branches"
    return replace(
        schema,
        momentum_unit=unit,
        momentum_known=known,
        length_unit=length,
        length_known=length_known,
        notes=tuple(notes),
    )


def unit_of_masses(pdg: NDArray[np.int32], mass: FloatArray) -> str | None:
    """Return the unit in which masses [n] are those of the PDG; None where they do not show it.

    Parameters
    ----------
    pdg : int32 [n]
    mass : float64 [n]
        As in the file; what is zero, negative or no number is passed over.
    """
    listed = particles.mass(pdg)
    with np.errstate(invalid="ignore"):
        sharp = np.isin(np.abs(pdg.astype(np.int64)), _SHARP) & (listed > 0) & np.isfinite(mass) & (mass > 0)
    if not sharp.any():
        return None
    ratio = mass[sharp] / listed[sharp]
    shares = {unit: float(np.mean(np.abs(ratio * gev - 1) < _NEAR)) for unit, gev in MOMENTUM_UNITS.items()}
    best = max(shares, key=lambda unit: shares[unit])
    return best if shares[best] >= _AGREE else None


def check_energies(
    schema: Schema, energy: FloatArray, event: NDArray[np.int64], number: Callable[[int], str], where: str
) -> None:
    """Refuse energies that no accelerator gives, where nothing states in which unit they are.

    Parameters
    ----------
    schema : Schema
    energy : float64 [n]
        Of the final-state particles, GeV.
    event : int64 [n]
        Index of their event.
    number : callable
        Names an event by its index, for the message.
    where : str

    Raises
    ------
    InputError
        The unit is not known and a particle is above `HIGHEST_ENERGY`, or an event above `HIGHEST_SUM`.
    """
    if not is_assumed(schema) or not len(energy):
        return
    energy = np.where(np.isfinite(energy), energy, 0)
    sums = np.bincount(event, energy)
    if (high := int(energy.argmax())) >= 0 and energy[high] > HIGHEST_ENERGY:
        what, at = f"a final-state particle of {energy[high]:.3g} GeV", int(event[high])
    elif sums.max() > HIGHEST_SUM:
        at = int(sums.argmax())
        what = f"final-state particles of {sums[at]:.3g} GeV together"
    else:
        return
    raise InputError(
        f"{where}: {number(at)} has {what}, if momenta are in {schema.momentum_unit}, which no file states: "
        f'name their unit, --momentum-unit MeV (or keV, GeV, TeV; in a schema units = {{ momentum = "MeV" }})'
    )


def is_assumed(schema: Schema) -> bool:
    """Whether the unit of momenta is known neither by the user nor by the file itself."""
    return schema.momentum_known == "" or schema.momentum_known.startswith("the convention")


def _invariant(momentum: FloatArray, energy: FloatArray) -> FloatArray:
    """Masses [n] of energies and momenta; NaN where rounding leaves nothing of them."""
    with np.errstate(all="ignore"):
        squared = (energy - momentum) * (energy + momentum)
        return np.where(squared > 1e-4 * energy**2, np.sqrt(np.maximum(squared, 0)), np.nan)


def _titled(
    schema: Schema,
    roles: tuple[str, ...],
    pattern: re.Pattern[str],
    known: dict[str, float],
    title_of: Callable[[str], str],
) -> str | None:
    """The unit that titles of branches name, if they agree."""
    found = set()
    for role in roles:
        if (branch := schema.branches.get(role)) is not None:
            text = f"{title_of(branch)} {_unit_of_name(branch)}"
            found |= {unit for unit in pattern.findall(text) if unit in known}
    return found.pop() if len(found) == 1 else None


def _unit_of_name(branch: str) -> str:
    """``[cm]`` for a name such as ``vx_cm``; nothing for others."""
    last = re.split(r"[_.:]", branch)[-1].lower()
    return f"[{UNIT_SUFFIXES[last]}]" if last in UNIT_SUFFIXES else ""


def _times(unit: str) -> str:
    return f"{1 / MOMENTUM_UNITS[unit]:g}"
