# SPDX-License-Identifier: BSD-3-Clause
"""Writers of ROOT files of hits and of particles that were not simulated."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..._version import __version__
from ...detector.description import Detector, DetectorLike, load_detector
from ...errors import InputError
from ...event.events import Events, Reason
from ...event.hits import Hits, SectionHits
from ...event.reasons import NEVER_REJECTED
from ..atomic import check_output
from ..compression import Compression
from .contribution_lists import CONTRIBUTION, CONTRIBUTION_UNITS, CONTRIBUTIONS, RowsOf, contribution_lists, with_rows
from .formats import HitsFormat
from .root_tree import Lists, open_tree

_HIT: dict[str, DTypeLike] = {
    "cell_id": np.uint64,
    "energy": np.float32,
    "x": np.float32,
    "y": np.float32,
    "z": np.float32,
    "layer": np.int16,
}
# of the branches of hits, by what their names end in
_UNITS = {"energy": "GeV", "x": "mm", "y": "mm", "z": "mm"}
_PARTICLE: dict[str, DTypeLike] = {
    "pdg": np.int32,
    "px": np.float64,
    "py": np.float64,
    "pz": np.float64,
    "mass": np.float64,
    "vx": np.float64,
    "vy": np.float64,
    "vz": np.float64,
    "reason": np.int16,
    "index": np.int32,
    "row": np.int32,
    "time": np.float64,
}

LUMINOSITY_BLOCK, REPEAT = "luminosityBlock", "fastcalo_repeat"
IDENTIFIERS: Mapping[str, DTypeLike] = {"run": np.int64, "event": np.int64}
"""Branches that events are known by, and their types, where there are no more."""


class _EventWriter:
    """A file of one tree with the identifiers of events; subclasses add what else is in it."""

    def __init__(
        self,
        path: str | Path,
        events: Mapping[str, DTypeLike],
        lists: Mapping[str, Mapping[str, DTypeLike]],
        *,
        bare: str | None = None,
        identifiers: Mapping[str, DTypeLike],
        overwrite: bool,
        form: HitsFormat = HitsFormat.TTREE,
        compression: Compression | None = None,
    ) -> None:
        self._identifiers = dict(identifiers)
        branches = self._identifiers | dict(events)
        self._opening = open_tree(
            path, branches, lists, bare=bare, overwrite=overwrite, form=form, compression=compression
        )

    def __enter__(self) -> Self:
        self._tree = self._opening.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opening.__exit__(kind, error, trace)

    @property
    def provenance(self) -> dict[str, Any]:
        """What JSON can hold, to be filled by the user; stored in the file at the end as ``fastcalo_provenance``."""
        return self._tree.provenance

    def _append(
        self,
        identifiers: Mapping[str, NDArray[Any] | None],
        columns: Mapping[str, NDArray[Any]],
        lists: Mapping[str, Lists],
    ) -> None:
        known: dict[str, NDArray[Any]] = {}
        for name, kind in self._identifiers.items():
            if (values := identifiers.get(name)) is None:
                raise InputError(f"the file is to hold {name!r}, but the events have none")
            known[name] = values.astype(kind, copy=False)
        self._tree.append(known | dict(columns), lists)


class HitsWriter(_EventWriter):
    """Hits of events, as a TTree ``Events`` in the manner of NanoAOD, or as RNTuple or Parquet.

    Per event its identifiers, such as ``run`` and ``event``, and ``particles_simulated``,
    ``particles_not_final_state``, … : how many of its particles were simulated, or were not for that reason. Per
    section S ``nS`` and the lists ``S_cell_id`` (uint64), ``S_energy`` (float32, GeV), ``S_x``, ``S_y``, ``S_z``
    (float32, centre of the cell, mm) and ``S_layer`` (int16).

    Use it as a context manager. The file appears under its name when the block ends well; otherwise nothing does.

    Parameters
    ----------
    path : str or Path
    sections : sequence of str
        The sections to write; one that an engine gives no hits for has empty lists.
    identifiers : mapping of str to dtype
        Branches that the events are known by: ``run`` and ``event``, perhaps ``luminosityBlock`` (where events have a
        luminosity block) and ``fastcalo_repeat`` (where they have `Events.repeat`). See `identifier_types`.
    overwrite : bool
        Whether a file of that name may be replaced.
    contributions : bool
        Whether to write what single particles made of each hit, too: per section S ``nSContribution`` and the lists
        ``SContribution_hit`` (place of the hit in its list), ``_particle``, ``_energy``, ``_time``, ``_mean_time`` and
        ``_step_length``, those of `Contributions`.
    rows : callable, optional
        Returns, for events that are written, the places by which contributions know their particles, int [n_particles];
        by default those in the events.
    form : HitsFormat
        TTree, RNTuple or Parquet: fields and columns have the names and types of the branches.
    compression : Compression, optional

    Raises
    ------
    OutputError
        The file cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        sections: Sequence[str],
        *,
        identifiers: Mapping[str, DTypeLike] = IDENTIFIERS,
        overwrite: bool = False,
        contributions: bool = False,
        rows: RowsOf | None = None,
        form: HitsFormat = HitsFormat.TTREE,
        compression: Compression | None = None,
    ) -> None:
        self._sections, self._contributions, self._rows = tuple(sections), contributions, rows
        made = {f"{name}{CONTRIBUTIONS}": CONTRIBUTION for name in self._sections if contributions}
        super().__init__(
            path,
            {f"particles_{reason.name.lower()}": np.int32 for reason in Reason},
            {**dict.fromkeys(self._sections, _HIT), **made},
            identifiers=identifiers,
            overwrite=overwrite,
            form=form,
            compression=compression,
        )

    def write(self, events: Events, hits: Hits) -> None:
        """Add what an engine made of events.

        Raises
        ------
        InputError
            The hits are not those of the events.
        OutputError
            The data cannot be written.
        """
        if hits.n_events != events.n_events or len(hits.reason) != events.n_particles:
            raise InputError(
                f"hits of {hits.n_events} events and {len(hits.reason)} particles don't belong to "
                f"{events.n_events} events with {events.n_particles} particles"
            )
        sections = hits.sections
        if self._rows is not None:
            rows = self._rows(events)
            sections = {name: with_rows(section, events.offsets, rows) for name, section in sections.items()}
        self.write_counted(_identifiers(events), hits.particles, sections)

    def write_counted(
        self,
        identifiers: Mapping[str, NDArray[Any] | None],
        counts: NDArray[np.int64],
        sections: Mapping[str, SectionHits],
    ) -> None:
        """Add hits of events whose particles are counted already.

        Parameters
        ----------
        identifiers : mapping of str to int [n_events]
        counts : int64 [n_events, number of reasons]
        sections : mapping of str to SectionHits

        Raises
        ------
        InputError
            An identifier is missing.
        OutputError
            The data cannot be written.
        """
        columns = {f"particles_{reason.name.lower()}": counts[:, reason].astype(np.int32) for reason in Reason}
        lists = {name: _hit_lists(sections.get(name), len(counts)) for name in self._sections}
        if self._contributions:
            for name in self._sections:
                lists[f"{name}{CONTRIBUTIONS}"] = contribution_lists(sections.get(name), len(counts))
        self._append(identifiers, columns, lists)


class RejectedWriter(_EventWriter):
    """Final-state particles that were not simulated, for full simulation to take over.

    A TTree ``Events`` that `open_events` reads back, with an entry for every event of the input, also for those without
    such a particle. Per event its identifiers, such as ``run`` and ``event``; per particle ``pdg``, ``px``, ``py``,
    ``pz``, ``mass`` (GeV), ``vx``, ``vy``, ``vz`` (mm), ``reason`` (the number of a `Reason`), ``index`` (its place in
    the input's event; of the daughter of a particle that decayed, that particle's), ``row`` (its place where daughters
    of decays are counted behind the particles of the input) and ``time`` (of its production, ns).

    Use it as a context manager. The file appears under its name when the block ends well; otherwise nothing does.

    Parameters
    ----------
    path : str or Path
    identifiers : mapping of str to dtype
        Branches that the events are known by: ``run`` and ``event``, perhaps ``luminosityBlock`` (where events have a
        luminosity block) and ``fastcalo_repeat`` (where they have `Events.repeat`). See `identifier_types`.
    overwrite : bool
        Whether a file of that name may be replaced.

    Raises
    ------
    OutputError
        The file cannot be written.
    """

    def __init__(
        self, path: str | Path, *, identifiers: Mapping[str, DTypeLike] = IDENTIFIERS, overwrite: bool = False
    ) -> None:
        super().__init__(
            path,
            {},
            {"particle": _PARTICLE},
            bare="particle",
            identifiers=identifiers,
            overwrite=overwrite,
        )

    def write(self, events: Events, reason: NDArray[np.int8]) -> None:
        """Add those of the events' particles that were rejected.

        Parameters
        ----------
        events : Events
        reason : int8 [n_particles]
            `Reason` of every particle.

        Raises
        ------
        OutputError
            The data cannot be written.
        """
        rejected = ~np.isin(reason, NEVER_REJECTED)
        counts = np.bincount(events.event_of_particle[rejected], minlength=events.n_events)
        columns = {
            "pdg": events.pdg,
            **dict(zip(("px", "py", "pz"), events.momentum.T, strict=True)),
            "mass": events.mass,
            **dict(zip(("vx", "vy", "vz"), events.vertex.T, strict=True)),
            "reason": reason,
            "index": events.index_in_event if events.lineage is None else events.lineage.origin,
            "row": events.index_in_event,
            "time": np.zeros(events.n_particles) if events.time is None else events.time,
        }
        chosen = {name: column[rejected].astype(_PARTICLE[name], copy=False) for name, column in columns.items()}
        rows = Lists(np.concatenate([[0], np.cumsum(counts)]), chosen)
        self._append(_identifiers(events), {}, {"particle": rows})


def write_hits(
    path: str | Path,
    hits: Hits | Iterable[Hits],
    *,
    detector: DetectorLike | None = None,
    overwrite: bool = False,
) -> None:
    """Write hits to a file that `open_hits` reads back.

    Parameters
    ----------
    path : str or Path
        The ROOT file to write; see `HitsWriter`. It appears under its name when it is whole.
    hits : Hits, or iterable of them
        Several are written one after the other, in bounded memory if they are made one by one. All have the sections of
        the first.
    detector : Detector, name or path, optional
        The calorimeter that they are of, for the file to state: `compare` needs it.
    overwrite : bool
        Whether a file of that name may be replaced.

    Raises
    ------
    InputError
        There are none, or they differ in their sections or in whether they have luminosity blocks.
    OutputError
        The file exists already, or cannot be written.

    Examples
    --------
    >>> from fastcalo import Events, FastSimulation, open_hits, write_hits
    >>> photon = Events.from_arrays(pdg=[[22]], momentum=[[[0.0, 20.0, 0.0]]])
    >>> write_hits("photon.root", FastSimulation().run(photon, seed=1), detector="clic-like")
    >>> open_hits("photon.root").n_events
    1
    """
    parts = iter([hits] if isinstance(hits, Hits) else hits)
    first = next(parts, None)
    if first is None:
        raise InputError(f"{path}: there are no hits to write")
    check_output(path, overwrite=overwrite)
    sections = tuple(first.sections)
    kinds = {name: column.dtype for name, column in _identifiers(first).items() if column is not None}
    with HitsWriter(path, sections, identifiers=kinds, overwrite=overwrite) as writer:
        for part in chain([first], parts):
            known = {name: column for name, column in _identifiers(part).items() if column is not None}
            if tuple(part.sections) != sections or known.keys() != kinds.keys():
                raise InputError(
                    f"{path}: all hits must have the sections {list(sections)}, and all luminosity blocks or none"
                )
            writer.write_counted(known, part.particles, part.sections)
        writer.provenance.update(file_provenance(None if detector is None else load_detector(detector)))


def file_provenance(detector: Detector | None, *, contributions: bool = False) -> dict[str, Any]:
    """Return what every file of hits states of itself, as JSON can hold it: who wrote it, units and calorimeter."""
    stated: dict[str, Any] = {
        "fastcalo": __version__,
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "units": {**_UNITS, **(CONTRIBUTION_UNITS if contributions else {})},
    }
    if detector is not None:
        stated["detector"] = {
            "name": detector.name,
            "hash": detector.hash,
            "stack_hash": detector.stack_hash,
            "sections": {
                s.name: {"encoding": s.encoding.text, "system": s.system, "threshold_gev": s.threshold}
                for s in detector.sections
            },
        }
    return stated


def identifier_types(types: Mapping[str, DTypeLike], repeat: bool) -> dict[str, DTypeLike]:
    """Branches that events are known by, and their types.

    Parameters
    ----------
    types : mapping of str to dtype
        Of ``run``, ``event`` and ``luminosity_block``, where there is one; int64 where the types are not given.
    repeat : bool
        Whether `Events.repeat` distinguishes events.
    """
    block = {LUMINOSITY_BLOCK: types["luminosity_block"]} if "luminosity_block" in types else {}
    more = {REPEAT: np.uint64} if repeat else {}
    return {"run": types.get("run", np.int64), **block, "event": types.get("event", np.int64), **more}


def _identifiers(events: Events | Hits) -> dict[str, NDArray[Any] | None]:
    return {
        "run": events.run,
        LUMINOSITY_BLOCK: events.luminosity_block,
        "event": events.event,
        REPEAT: events.repeat,
    }


def _hit_lists(hits: SectionHits | None, n_events: int) -> Lists:
    if hits is None:
        return Lists(np.zeros(n_events + 1, np.int64), {name: np.empty(0, kind) for name, kind in _HIT.items()})
    x, y, z = hits.position.T
    return Lists(
        hits.offsets,
        {"cell_id": hits.cell_id, "energy": hits.energy, "x": x, "y": y, "z": z, "layer": hits.layer},
    )
