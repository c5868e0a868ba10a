# SPDX-License-Identifier: BSD-3-Clause
"""Conversion of branches to `Events`: units, coordinates, masses, final state, identifiers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import particles
from ...errors import InputError
from ...event.events import Identifier
from ..event_streams.batches import FileEvents
from ..event_streams.identifiers import Identifiers
from .schemas import CARTESIAN, EVENT_ROLES, LENGTH_UNITS, MOMENTUM_UNITS, POLAR, VERTEX, Schema
from .units import UnitSample
from .vertices import of_hepmc3, of_indices

FloatArray = NDArray[np.float64]

_INT32 = np.iinfo(np.int32)


@dataclass(frozen=True)
class Column:
    """Values of one branch.

    Attributes
    ----------
    values : number [n]
    counts : int64 [n_entries] or None
        How many of them each entry has; None where each has one.
    """

    values: NDArray[Any]
    counts: NDArray[np.int64] | None = None


def to_column(array: Any, where: str) -> Column:
    """Take an awkward array of numbers, one or a list of them per entry, apart.

    Parameters
    ----------
    array : awkward.Array
    where : str
        Where it is from, for messages.

    Raises
    ------
    InputError
        It holds something else, or fewer values than its lists are long.
    """
    import awkward as ak

    problem = f"{where} holds {array.type.content}, but a number or a list of numbers per entry is needed"
    if array.fields or array.ndim > 2:
        raise InputError(problem)
    counts = None if array.ndim == 1 else ak.to_numpy(ak.num(array)).astype(np.int64)
    values = ak.to_numpy(array if counts is None else ak.flatten(array))
    if values.dtype.kind not in "iufb":
        raise InputError(problem)
    return check_lengths(Column(values, counts), len(array), where)


def check_lengths(column: Column, entries: int, where: str) -> Column:
    """Return what was read of so many entries, unless it is more or less than they state.

    Raises
    ------
    InputError
    """
    counts, values = column.counts, column.values
    if len(values if counts is None else counts) != entries:
        raise InputError(f"{where} has another number of entries than the tree; it may be cut short or damaged")
    if counts is not None and ((counts < 0).any() or counts.sum() != len(values)):
        raise InputError(
            f"{where} has lists of {counts.sum()} values together, but holds {len(values)}; it may be cut short or "
            "damaged"
        )
    return column


def assemble(
    columns: Mapping[str, Column],
    schema: Schema,
    entries: range,
    before: int,
    where: str,
    known: Identifiers | None = None,
) -> FileEvents:
    """Make events of the columns of a schema, one event of each entry.

    Parameters
    ----------
    columns : mapping of str to Column
        By role, and those that the schema links to by what they are.
    schema : Schema
    entries : range
        Numbers of the entries in their file.
    before : int
        How many entries the files before it have.
    where : str
        File and tree, for messages.
    known : Identifiers, optional
        What the events are known by, where that is known without the columns.

    Returns
    -------
    FileEvents
        The mass is the file's; the PDG's where the file has none or zero. Without either it follows from the energy,
        and else is zero.

    Raises
    ------
    InputError
        Lists of one entry differ in length, or an identifier is missing.
    """
    counts = columns["pdg"].counts
    if counts is None:
        counts = np.ones(len(entries), np.int64)
    taker = _ColumnReader(columns, {**schema.links, **schema.branches}, counts, entries, where)
    entry = before + np.arange(entries.start, entries.stop, dtype=np.int64)
    # wild numbers are kept: the engine counts them
    with np.errstate(all="ignore"):
        pdg, is_code = _codes(taker.particle("pdg"))
        unit = _factor(taker, "momentum_unit", _HEPMC3_MOMENTUM) * MOMENTUM_UNITS[schema.momentum_unit]
        momentum = _momentum(taker, schema) * unit[:, None]
        of_mass = unit / MOMENTUM_UNITS[schema.momentum_unit] * MOMENTUM_UNITS[schema.mass_unit or schema.momentum_unit]
        mass = np.where(is_code, _mass(taker, schema, pdg, momentum, of_mass), np.nan)
        length = _factor(taker, "length_unit", _HEPMC3_LENGTH) * LENGTH_UNITS[schema.length_unit]
        vertex = _vertex(taker, schema) * length[:, None]
    if "status" in columns:
        final = np.isin(taker.particle("status"), schema.final_status)
    else:
        final = np.ones(len(pdg), np.bool_)
    known = identifiers(columns, schema, entries, where) if known is None else known
    return FileEvents(
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        pdg=pdg,
        momentum=momentum,
        mass=mass,
        vertex=vertex,
        final=final,
        run=known.run,
        event=known.event if "event" in schema.branches else entry,
        entry=entry,
        luminosity_block=known.luminosity_block,
        repeat=known.repeat,
    )


def identifiers(columns: Mapping[str, Column], schema: Schema, entries: range, where: str) -> Identifiers:
    """What the events of some entries are known by; the number of the entry in its file where they have no number.

    Parameters are those of `assemble`; of the columns only those of `EVENT_ROLES` are needed.

    Raises
    ------
    InputError
        An identifier is missing.
    """
    reader = _ColumnReader(columns, schema.branches, np.ones(len(entries), np.int64), entries, where)
    found = {role: reader.event(role) for role in EVENT_ROLES if role in columns}
    return Identifiers(
        run=found.get("run", np.zeros(len(entries), np.int64)),
        event=found.get("event", np.arange(entries.start, entries.stop, dtype=np.int64)),
        luminosity_block=found.get("luminosity_block"),
        repeat=found["repeat"].astype(np.uint64) if "repeat" in found else None,
    )


@dataclass(frozen=True)
class _ColumnReader:
    """Columns by role, brought to one value per particle or per event."""

    columns: Mapping[str, Column]
    branches: Mapping[str, str]
    counts: NDArray[np.int64]
    entries: range
    where: str

    def particle(self, role: str) -> NDArray[Any]:
        column = self.columns[role]
        if column.counts is None:
            return np.repeat(column.values, self.counts)
        if (differ := column.counts != self.counts).any():
            i = int(np.argmax(differ))
            raise InputError(
                f"{self.where}, entry {self.entries[i]}: {self.branches[role]!r} has {column.counts[i]} values, but "
                f"{self.branches['pdg']!r} has {self.counts[i]}"
            )
        return column.values

    def event(self, role: str) -> Identifier:
        values = self.single(role)
        if values.dtype.kind == "f":
            values = self._whole(role, values)
        return values.astype(np.uint64) if values.dtype == np.uint64 else values.astype(np.int64)

    def single(self, role: str) -> NDArray[Any]:
        """One value per event, the first where it has a list."""
        values, counts = self.columns[role].values, self.columns[role].counts
        if counts is None:
            return values
        if (none := counts == 0).any():
            entry = self.entries[int(np.argmax(none))]
            raise InputError(f"{self.where}, entry {entry}: {self.branches[role]!r} has no value")
        first: NDArray[Any] = values[np.cumsum(counts) - counts]
        return first

    def _whole(self, role: str, values: NDArray[Any]) -> NDArray[Any]:
        """Floating-point numbers that must be whole."""
        last = 2.0 ** (np.finfo(values.dtype).nmant + 1)
        if ((np.abs(values) >= last) & (np.abs(values) < 2.0**63)).any():
            raise InputError(
                f"{self.where}: {self.branches[role]!r} goes beyond {last:.0f} in {values.dtype.name}, which does not "
                f"hold all whole numbers there: write integers, or leave it out with --branch {role}=none"
            )
        with np.errstate(invalid="ignore"):
            wrong = ~((values >= -(2.0**63)) & (values < 2.0**63) & (values == np.floor(values)))
        if wrong.any():
            i = int(np.argmax(wrong))
            raise InputError(
                f"{self.where}, entry {self.entries[i]}: {self.branches[role]!r} is {values[i]!s}, but the number of a "
                f"{role.replace('_', ' ')} must be whole; leave it out with --branch {role}=none"
            )
        return values

    def listed(self, role: str) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Values of a list of another length than the particles', and how many each event has."""
        column = self.columns[role]
        if column.counts is None:
            return column.values, np.ones(len(column.values), np.int64)
        return column.values, column.counts

    @property
    def event_of_particle(self) -> NDArray[np.int64]:
        return np.repeat(np.arange(len(self.counts)), self.counts)


def _codes(values: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """PDG codes, and whether they are any; code 0 stands for what is none."""
    if values.dtype.kind == "u":
        # codes of antiparticles that went through an unsigned type
        values = values.view(f"i{values.dtype.itemsize}")
    # some files hold codes as floating-point numbers
    good = np.isfinite(values) & (values >= _INT32.min) & (values <= _INT32.max)
    if values.dtype.kind == "f":
        good &= values == np.floor(values)
    return np.where(good, values, 0).astype(np.int32), good


# HepMC3's Units::MomentumUnit {MEV, GEV} in GeV and Units::LengthUnit {MM, CM} in mm
_HEPMC3_MOMENTUM, _HEPMC3_LENGTH = (1e-3, 1.0), (1.0, 10.0)


def _factor(taker: _ColumnReader, role: str, units: tuple[float, float]) -> FloatArray:
    """Factor [n] to our units that each event brings with it; 1 where it brings none."""
    if role not in taker.columns:
        return np.ones(int(taker.counts.sum()))
    number = taker.single(role).astype(np.int64)
    if (wrong := (number < 0) | (number >= len(units))).any():
        i = int(np.argmax(wrong))
        raise InputError(
            f"{taker.where}, entry {taker.entries[i]}: {taker.branches[role]!r} is {number[i]}, not 0 or 1"
        )
    return np.repeat(np.array(units)[number], taker.counts)


def _vertex(taker: _ColumnReader, schema: Schema) -> FloatArray:
    """Production vertices [n, 3] in the file's unit."""
    n = int(taker.counts.sum())
    if "vertex_x" not in taker.columns:
        vertex = [taker.particle(role) if role in taker.columns else np.zeros(n) for role in VERTEX]
        return np.stack(vertex, axis=1).astype(np.float64)
    columns = [taker.listed(f"vertex_{axis}") for axis in "xyz"]
    at, counts = np.stack([values for values, _ in columns], axis=1).astype(np.float64), columns[0][1]
    if "links1" in schema.links:
        (first, link_counts), (second, _) = taker.listed("links1"), taker.listed("links2")
        origin = np.stack([taker.single(f"origin_{axis}") for axis in "xyz"], axis=1).astype(np.float64)
        return of_hepmc3((first, second, link_counts), taker.counts, counts, at, origin, taker.where)
    index, key = taker.particle("vertex_index"), taker.particle("vertex_key")
    return of_indices(index, key, taker.event_of_particle, counts, at)


def sample_of(columns: Mapping[str, Column], schema: Schema, entries: int) -> UnitSample:
    """Some particles as they are in the file, of so many entries, for `units.with_units`.

    Parameters
    ----------
    columns : mapping of str to Column
        By role, and ``energy`` also where energies stand beside masses; all as long as the codes but that of events.
    """
    pdg, _ = _codes(columns["pdg"].values)
    with np.errstate(all="ignore"):
        if schema.momentum == CARTESIAN:
            parts = [columns[role].values.astype(np.float64) for role in CARTESIAN]
            momentum = np.sqrt(sum(part**2 for part in parts))
        else:
            momentum = columns["pt"].values.astype(np.float64) * np.cosh(columns["eta"].values.astype(np.float64))
    mass, energy = (columns[role].values.astype(np.float64) if role in columns else None for role in ("mass", "energy"))
    if "status" in columns:
        final = np.isin(columns["status"].values, schema.final_status)
    else:
        final = np.ones(len(pdg), np.bool_)
    if columns["pdg"].counts is None and "event" in columns:
        entries = len(np.unique(columns["event"].values))
    return UnitSample(pdg, momentum, mass, energy, final, entries)


def _momentum(taker: _ColumnReader, schema: Schema) -> FloatArray:
    if schema.momentum == CARTESIAN:
        return np.stack([taker.particle(role).astype(np.float64) for role in CARTESIAN], axis=1)
    pt, eta, phi = (taker.particle(role).astype(np.float64) for role in POLAR)
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=1)


# m^2 = E^2 - p^2 in single precision leaves light particles with a mass, of either sign, of this much of their momentum
_ROUNDED_MASS = 1e-3


def _mass(
    taker: _ColumnReader, schema: Schema, pdg: NDArray[np.int32], momentum: FloatArray, unit: FloatArray
) -> FloatArray:
    listed = particles.mass(pdg)
    if "mass" in schema.branches:
        mass = taker.particle("mass").astype(np.float64) * unit
        with np.errstate(over="ignore", invalid="ignore"):
            p = np.sqrt(np.einsum("ij,ij->i", momentum, momentum))
            none = (mass <= 0) & (mass >= -_ROUNDED_MASS * p)
        return np.where(none & np.isfinite(listed), listed, mass)
    if "energy" not in schema.branches:
        return np.nan_to_num(listed, nan=0.0)
    energy = taker.particle("energy").astype(np.float64) * unit
    squared = energy**2 - np.einsum("ij,ij->i", momentum, momentum)
    # np.maximum keeps NaN; in single precision the difference cannot show an electron's mass
    return np.where(np.isfinite(listed) & np.isfinite(energy), listed, np.sqrt(np.maximum(squared, 0)))
