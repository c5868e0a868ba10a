# SPDX-License-Identifier: BSD-3-Clause
"""What is looked at while particles are read: that some are final, that energies are possible, and what to warn of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..event_streams.batches import FileEvents
from .columns import Column
from .layouts import NANOAOD
from .schemas import Schema
from .units import check_energies, is_assumed

# of the final-state particles of a whole collision more than half are hadrons
_FEW_HADRONS = 0.3
# codes that are listed in a message
_LISTED = 8
_FIRST_HADRON, _FIRST_NUCLEUS = 100, 1_000_000_000


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
            f"{others}. Say which are final, for example --final-status {example}, or take all particles for final: "
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
