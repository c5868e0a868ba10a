# SPDX-License-Identifier: BSD-3-Clause
"""Units of momenta and lengths, from what a file holds: its masses or energies, else the titles of its branches."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

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

# momenta over masses from which energies show the unit of momenta
_MOVING = 0.05
# final-state particles from which an event is a collision, not shot from a gun
_MANY = 10

HIGHEST_ENERGY, HIGHEST_SUM = 10e3, 200e3
"""GeV; the greatest energy of a final-state particle, and of an event, that no accelerator makes one ask about."""
SOFTEST_MEDIAN, HIGHEST_MEDIAN = 0.02, 100.0
"""GeV; medians of the kinetic energy of final-state particles that no collision has."""
HIGHEST_SHOT, HIGHEST_SHOT_WITH_MASS = 500.0, 2e3
"""GeV; medians that particles shot one by one hardly have, if they bring no masses, and if they do."""


@dataclass(frozen=True)
class UnitSample:
    """Some particles as they are in a file, by which its units are known.

    Attributes
    ----------
    pdg : int32 [n]
    momentum : float64 [n]
        Its magnitude.
    mass, energy : float64 [n] or None
    final : bool [n]
    events : int
        How many events these are.
    """

    pdg: NDArray[np.int32]
    momentum: FloatArray
    mass: FloatArray | None
    energy: FloatArray | None
    final: NDArray[np.bool_]
    events: int


def with_units(
    schema: Schema, overrides: SchemaOverrides, sample: UnitSample, title_of: Callable[[str], str], where: str
) -> Schema:
    """Find out in which units a file is.

    Parameters
    ----------
    schema : Schema
        With the units of its convention.
    overrides : SchemaOverrides
        Units that the user names stay.
    sample : UnitSample
    title_of : callable
        Returns the title of a branch.
    where : str
        File and tree, for messages.

    Returns
    -------
    Schema
        With its units, by what they are known, and a note where they are not those that one would have assumed. Masses
        have a unit of their own where they are those of the PDG in another one than momenta. Where they are those of
        the PDG in none, but energies fit the momenta, the PDG's are taken.

    Raises
    ------
    InputError
        Titles of momenta and masses contradict what masses are, or momenta are impossible in the unit of the masses, or
        in the one that is assumed: see `doubt_of`.
    """
    schema = _with_length(schema, overrides, title_of)
    if "momentum_unit" in schema.links:
        if overrides.momentum_unit is None:
            return replace(schema, momentum_unit="GeV", momentum_known="the file, event by event")
        return schema
    masses = None if sample.mass is None else unit_of_masses(sample.pdg, sample.mass)
    energies = None if sample.energy is None else _units_of_energies(sample.pdg, sample.momentum, sample.energy)
    unit, known = _momentum_unit(schema, overrides, masses, energies, title_of, where)
    notes = list(schema.notes)
    if overrides.momentum_unit is not None:
        shown, by = (energies[0], "energies and momenta") if energies is not None else (masses, "the masses")
        if shown not in (None, unit):
            notes.append(f"momenta are taken for {unit} as asked, but {by} are those of {shown}")
    else:
        if doubt := doubt_of(sample, unit, known, schema.momentum_unit):
            raise InputError(f"{where}: {doubt}")
        if unit != "GeV" or unit != schema.momentum_unit:
            times = f", {1 / MOMENTUM_UNITS[unit]:g} times those of the PDG in GeV" if known == "the masses" else ""
            notes.append(f"momenta are taken for {unit}: known by {known}{times}. --momentum-unit changes it")
    found = replace(schema, momentum_unit=unit, momentum_known=known, notes=tuple(notes))
    return _with_mass_unit(found, sample, masses, energies)


def _momentum_unit(
    schema: Schema,
    overrides: SchemaOverrides,
    masses: str | None,
    energies: tuple[str, str] | None,
    title_of: Callable[[str], str],
    where: str,
) -> tuple[str, str]:
    """The unit of momenta, and by what it is known."""
    titled = _titled(schema, schema.momentum, _MOMENTUM, MOMENTUM_UNITS, title_of)
    titled_mass = _titled(schema, ("mass", "energy"), _MOMENTUM, MOMENTUM_UNITS, title_of)
    if overrides.momentum_unit is not None:
        return overrides.momentum_unit, schema.momentum_known
    if energies is not None:
        return energies[0], "the masses" if energies[0] == masses else "energies and momenta"
    if titled is not None and masses not in (None, titled):
        # a title that is wrong of the masses may be so of the momenta
        if titled_mass not in (None, masses):
            raise InputError(
                f"{where}: titles or names of the branches state {titled}, but the masses are those of {masses}: name "
                f"the unit of the momenta, --momentum-unit {titled} or {masses}"
            )
        return titled, "titles or names of the branches"
    if masses is not None:
        return masses, "the masses"
    if titled is not None or titled_mass is not None:
        return titled or titled_mass or "", "titles or names of the branches"
    return schema.momentum_unit, schema.momentum_known


def _with_mass_unit(schema: Schema, sample: UnitSample, masses: str | None, energies: tuple[str, str] | None) -> Schema:
    """Add the unit of what masses come from, where it is another one than that of momenta."""
    notes, unit = list(schema.notes), schema.momentum_unit
    if "mass" not in schema.branches:
        own = energies[1] if energies is not None and "energy" in schema.branches else ""
        if own not in ("", unit):
            notes.append(f"energies are taken for {own}, momenta for {unit}: so they fit each other")
            return replace(schema, mass_unit=own, notes=tuple(notes))
        return schema
    if masses not in (None, unit):
        notes.append(f"masses are taken for {masses}, which they are those of the PDG in, momenta for {unit}")
        return replace(schema, mass_unit=masses or "", notes=tuple(notes))
    if masses is None and sample.mass is not None and _contradict(sample.pdg, sample.mass):
        branch = schema.branches["mass"]
        if energies is None:
            notes.append(
                f"{branch!r} holds other masses than the PDG's, in any unit, and is taken as it is, in {unit}; to take "
                "those of the PDG: --branch mass=none"
            )
            return replace(schema, notes=tuple(notes))
        notes.append(f"{branch!r} holds no masses: energies and momenta are those of the PDG's, which are taken")
        branches = {role: name for role, name in schema.branches.items() if role != "mass"}
        return replace(
            schema,
            branches=branches | {"energy": schema.energy_beside},
            mass_unit="" if energies[1] == unit else energies[1],
            notes=tuple(notes),
        )
    return schema


def _with_length(schema: Schema, overrides: SchemaOverrides, title_of: Callable[[str], str]) -> Schema:
    if overrides.length_unit is not None:
        return schema
    if "length_unit" in schema.links:
        return replace(schema, length_unit="mm", length_known="the file, event by event")
    titled = _titled(schema, VERTEX, _LENGTH, LENGTH_UNITS, title_of)
    if titled is None:
        return schema
    notes = list(schema.notes)
    if titled != schema.length_unit:
        notes.append(
            f"vertices are taken for {titled}, not {schema.length_unit}: known by titles or names of the branches. "
            "--length-unit states otherwise"
        )
    known = "titles or names of the branches"
    return replace(schema, length_unit=titled, length_known=known, notes=tuple(notes))


def unit_of_masses(pdg: NDArray[np.int32], mass: FloatArray) -> str | None:
    """Return the unit in which masses [n] are those of the PDG; None where they do not show it.

    Parameters
    ----------
    pdg : int32 [n]
    mass : float64 [n]
        As in the file; what is zero, negative or no number is passed over.
    """
    ratio = _ratios(pdg, mass)
    if not len(ratio):
        return None
    shares = {unit: float(np.mean(np.abs(ratio * gev - 1) < _NEAR)) for unit, gev in MOMENTUM_UNITS.items()}
    best = max(shares, key=lambda unit: shares[unit])
    return best if shares[best] >= _AGREE else None


def _ratios(pdg: NDArray[np.int32], mass: FloatArray) -> FloatArray:
    """Masses over those of the PDG, of the particles whose mass is sharp and not zero here."""
    listed = particles.mass(pdg)
    with np.errstate(invalid="ignore"):
        sharp = np.isin(np.abs(pdg.astype(np.int64)), _SHARP) & (listed > 0) & np.isfinite(mass) & (mass > 0)
    found: FloatArray = mass[sharp] / listed[sharp]
    return found


def _contradict(pdg: NDArray[np.int32], mass: FloatArray) -> bool:
    """Whether a branch has values where there are masses, but not those of the PDG in any unit."""
    return bool(len(_ratios(pdg, mass)))


def _units_of_energies(pdg: NDArray[np.int32], momentum: FloatArray, energy: FloatArray) -> tuple[str, str] | None:
    """Units of momenta and of energies in which E^2 - p^2 are the PDG's masses squared; None where nothing shows it."""
    same = unit_of_masses(pdg, _invariant(momentum, energy))
    if same is not None:
        return same, same
    for of_energy, gev in MOMENTUM_UNITS.items():
        for of_momentum, scale in MOMENTUM_UNITS.items():
            if of_energy == of_momentum:
                continue
            mass = _invariant(momentum * scale, energy * gev)
            # particles at rest have their mass for energy, whatever their momenta
            moving = momentum * scale > _MOVING * mass
            if moving.mean() >= _AGREE and unit_of_masses(pdg[moving], mass[moving]) == "GeV":
                return of_momentum, of_energy
    return None


def doubt_of(sample: UnitSample, unit: str, known: str, usual: str) -> str:
    """Return why a unit of momenta is to be doubted, and what to type; nothing where it is not.

    Parameters
    ----------
    sample : UnitSample
    unit, known : str
        The unit, and by what it is known; only masses, conventions and what is assumed are doubted.
    usual : str
        What the convention has, or one would assume.

    Notes
    -----
    Masses may be in another unit than momenta. In collisions at all accelerators half of the final-state particles have
    more than `SOFTEST_MEDIAN`, and half less than `HIGHEST_MEDIAN`; particles shot one by one may have more.
    """
    seen = sample.final & ~particles.is_invisible(sample.pdg) & np.isfinite(sample.momentum) & (sample.momentum > 0)
    if not seen.any() or not (known in ("", "the masses") or known.startswith("the convention")):
        return ""
    momentum, mass = sample.momentum[seen] * MOMENTUM_UNITS[unit], np.nan_to_num(particles.mass(sample.pdg[seen]))
    if known != "the masses" and (momentum.max() > HIGHEST_ENERGY or momentum.sum() > HIGHEST_SUM * sample.events):
        # refused where they are read, with the event's number
        return ""
    median = float(np.median(np.hypot(momentum, mass) - mass))
    collisions = seen.sum() >= _MANY * sample.events
    highest = HIGHEST_MEDIAN if collisions else HIGHEST_SHOT_WITH_MASS if known == "the masses" else HIGHEST_SHOT
    other = next((u for u in ("GeV", "MeV", "keV") if u != unit), "GeV")
    if known == "the masses" and unit != usual and median < SOFTEST_MEDIAN:
        other = usual
    elif median <= highest or (known.startswith("the convention") and not collisions):
        return ""
    elif unit == "GeV":
        other = "MeV"
    by = f"the unit of the masses, {unit}" if known == "the masses" else f"{unit}, which no branch states"
    return (
        f"half of the final-state particles have more, half less than {median:.3g} GeV, if momenta are in {by}. "
        f"Name the unit of the momenta, --momentum-unit {unit} or --momentum-unit {other}"
    )


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
