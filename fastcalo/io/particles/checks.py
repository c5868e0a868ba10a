# SPDX-License-Identifier: BSD-3-Clause
"""What is looked at while particles are read: that some are final, that values are possible, and what to warn of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ... import particles
from ...errors import InputError
from ..event_streams.batches import FileEvents
from .candidates import plainly
from .columns import Column
from .layouts import NANOAOD
from .schemas import MOMENTUM_UNITS, VERTEX, Schema
from .tree import OpenTree
from .units import UnitSample, check_energies, is_assumed

# of the final-state particles of a whole collision more than half are hadrons
_FEW_HADRONS = 0.3
# codes that are listed in a message
_LISTED = 8
_FIRST_HADRON, _FIRST_NUCLEUS = 100, 1_000_000_000
# of the values that must show it; single wild values are counted where particles are simulated
_SHARE = 0.1
_TURN = 2 * np.pi * 1.001
# how far lengths of directions are from one, by what part energies may differ, and how many do
_UNIT, _DIFFER, _MOST = 1e-4, 0.1, 0.5
# what people write where there is nothing: -99, -999, -9999, ...
_NOTHING = -99.0
# spellings of a branch that counts particles, in lower case and without underscores
_COUNTS = ("n", "np", "npart", "nparticle", "nparticles", "nmc", "ngen", "ntracks", "ntrk", "mult", "multiplicity")


class FinalState:
    """Makes sure that a file has final-state particles.

    Parameters
    ----------
    schema : Schema
    where : str
        File and tree, for messages.
    """

    def __init__(self, schema: Schema, where: str) -> None:
        self._schema, self._where = schema, where
        self._codes: Counter[float] = Counter()
        self._found = False

    def add(self, events: FileEvents, status: Column | None) -> None:
        """Look at a part of the file."""
        self._found = self._found or status is None or bool(events.final.any())
        if self._found or status is None:
            return
        codes, counts = np.unique(status.values, return_counts=True)
        self._codes.update(dict(zip(codes.tolist(), counts.tolist(), strict=True)))

    def finish(self) -> None:
        """Raise `InputError` if there are particles, and none is final; its message counts their codes."""
        if self._found or not self._codes:
            return
        branch, wanted = self._schema.branches["status"], " or ".join(map(str, self._schema.final_status))
        most = [f"{code:g} ({count} particles)" for code, count in self._codes.most_common(_LISTED)]
        others = f" and {len(self._codes) - _LISTED} more" if len(self._codes) > _LISTED else ""
        example = ",".join(f"{code:g}" for code in sorted(self._codes)[-2:])
        raise InputError(
            f"{self._where}: no particle is final: none of {branch!r} is {wanted}. The codes are {', '.join(most)}"
            f"{others}. State which are final, for example --final-status {example}, or take all particles for final: "
            "--branch status=none"
        )


def checked_energies(parts: Iterable[FileEvents], schema: Schema, where: str) -> Iterator[FileEvents]:
    """Pass on events, having looked at the energies of their final-state particles; see `units.check_energies`."""
    for part in parts:
        if is_assumed(schema):
            with np.errstate(all="ignore"):
                energy = np.sqrt(np.einsum("ij,ij->i", part.momentum, part.momentum) + part.mass**2)

            def number(i: int, part: FileEvents = part) -> str:
                return f"event {part.event[i]} of run {part.run[i]}"

            check_energies(schema, energy[part.final], part.event_of_particle[part.final], number, where)
        yield part


def notes_on_sample(schema: Schema, columns: Mapping[str, Column], n_entries: int, of_entries: int) -> Schema:
    """Add to a schema what its first entries give cause to warn of.

    Parameters
    ----------
    schema : Schema
    columns : mapping of str to Column
        By role.
    n_entries, of_entries : int
        How many entries these are, and how many there are.
    """
    notes = list(schema.notes)
    pdg = np.abs(np.nan_to_num(columns["pdg"].values.astype(np.float64)))
    final = (
        np.isin(columns["status"].values, schema.final_status) if "status" in columns else np.ones(len(pdg), np.bool_)
    )
    if schema.name == NANOAOD and final.any():
        share = float(np.mean((pdg[final] > _FIRST_HADRON) & (pdg[final] < _FIRST_NUCLEUS)))
        if share < _FEW_HADRONS:
            which = "" if n_entries == of_entries else f" of the first {n_entries} events"
            notes.append(
                f"GenPart of NanoAOD holds a selection of the particles: {share:.1%} of the final ones{which} are "
                "hadrons, of a whole collision more than half. What is left out leaves no hits; full events are in "
                "GenCands of PFNano and BTVNano, HGCalGenPart, or before NanoAOD"
            )
    if "status" in columns and final.any() and schema.final_status == (1,):
        merged = _merged_codes(columns["status"].values)
        if merged:
            notes.append(
                f"codes {', '.join(map(str, merged))} of {schema.branches['status']!r} look like final particles of "
                "merged backgrounds, and are not simulated. To have them: --final-status "
                f"{','.join(map(str, (1, *merged)))}"
            )
    return replace(schema, notes=tuple(notes))


def _merged_codes(status: NDArray[np.generic]) -> list[int]:
    """Status codes of the form 1000 k + 1, by which merged events distinguish backgrounds."""
    codes = [int(code) for code in np.unique(status).tolist() if float(code).is_integer()]
    return [code for code in codes if code > 1000 and code % 1000 == 1]


def refuse_odd_values(schema: Schema, columns: Mapping[str, Column], sample: UnitSample, where: str) -> None:
    """Refuse values that are no momenta, whatever their unit.

    Parameters
    ----------
    schema : Schema
    columns : mapping of str to Column
        By role, of some entries.
    sample : UnitSample
        The same particles.
    where : str
        File and tree, for messages.

    Raises
    ------
    InputError
        Azimuths are in degrees, transverse momenta have a sign, or momenta are directions beside energies.
    """
    if "phi" in columns:
        phi, pt = _finite(columns["phi"].values), _finite(columns["pt"].values)
        if _often(np.abs(phi) > _TURN):
            raise InputError(
                f"{where}: {schema.branches['phi']!r} goes up to {np.abs(phi).max():.4g}; azimuths are needed in "
                "radians: convert them, or name branches of px, py and pz"
            )
        if _often(pt < 0):
            raise InputError(
                f"{where}: {schema.branches['pt']!r} is negative for {np.mean(pt < 0):.0%} of the particles, as if it "
                "had the sign of their charge: transverse momenta are needed without sign"
            )
    if "px" in columns and _are_directions(sample):
        names = ", ".join(schema.branches[role] for role in schema.momentum)
        raise InputError(f"{where}: {names} are directions, of length one, beside other energies: momenta are needed")


def _are_directions(sample: UnitSample) -> bool:
    """Whether momenta are of length one, and energies beside them those of other momenta, in any unit."""
    moving = sample.momentum > 0
    if sample.energy is None or not moving.any() or (np.abs(sample.momentum[moving] - 1) > _UNIT).any():
        return False
    energy, mass = sample.energy[moving], np.nan_to_num(particles.mass(sample.pdg[moving]))
    fits = [np.abs(energy * gev - np.hypot(gev, mass)) < _DIFFER * energy * gev for gev in MOMENTUM_UNITS.values()]
    return float(np.any(fits, axis=0).mean()) < 1 - _MOST


def with_odd_values(schema: Schema, columns: Mapping[str, Column], tree: OpenTree, entries: range) -> Schema:
    """Add notes on vertices that stand for none, and on arrays of fixed size that are not filled.

    Parameters
    ----------
    schema : Schema
    columns : mapping of str to Column
        By role, of some entries.
    tree : OpenTree
    entries : range
        Which entries these are.
    """
    notes = [*_notes_on_vertices(schema, tree, entries), *_notes_on_padding(columns, tree, entries)]
    return replace(schema, notes=(*schema.notes, *notes))


def _notes_on_vertices(schema: Schema, tree: OpenTree, entries: range) -> Iterator[str]:
    branches = [schema.branches[role] for role in VERTEX if role in schema.branches]
    if len(branches) < len(VERTEX):
        return
    columns = [tree.read(branch, entries).values for branch in branches]
    if len({len(values) for values in columns}) > 1:
        return
    x, y, z = columns
    nothing = (x == y) & (y == z) & (x <= _NOTHING)
    if nothing.any():
        yield (
            f"{nothing.sum()} of {len(x)} particles start at ({x[nothing][0]:g}, {y[nothing][0]:g}, {z[nothing][0]:g}) "
            f"by {', '.join(branches)}, which may stand for no vertex, and is taken for one. The origin for all: "
            + " ".join(f"--branch {role}=none" for role in VERTEX)
        )


def _notes_on_padding(columns: Mapping[str, Column], tree: OpenTree, entries: range) -> Iterator[str]:
    counts, codes = columns["pdg"].counts, columns["pdg"].values
    if counts is None or not len(counts) or counts.min() != counts.max():
        return
    for name in tree.names:
        if plainly(name) not in _COUNTS:
            continue
        number = tree.read(name, entries)
        if number.counts is not None or number.values.dtype.kind not in "iu":
            continue
        filled = number.values.astype(np.int64)
        place = np.tile(np.arange(counts[0]), len(counts))
        behind = (place >= np.repeat(filled, counts[0])) & (codes != 0)
        if (filled <= counts[0]).all() and (filled >= 0).all() and behind.any():
            yield (
                f"each entry has {counts[0]} particles, but {name!r} is less in {np.sum(filled < counts[0])} of "
                f"{len(counts)} entries: {behind.sum()} particles behind it may be left over from earlier events, and "
                "are taken. Write lists that are as long as that"
            )


def _finite(values: NDArray[np.generic]) -> NDArray[np.float64]:
    found = values.astype(np.float64)
    return found[np.isfinite(found)]


def _often(wrong: NDArray[np.bool_]) -> bool:
    return bool(len(wrong)) and float(wrong.mean()) > _SHARE
