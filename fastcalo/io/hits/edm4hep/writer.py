# SPDX-License-Identifier: BSD-3-Clause
"""Writer of hits in EDM4hep files of podio's RNTuple layout, in bounded memory, with atomic rename."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ....detector.description import Detector
from ....errors import InputError
from ....event.events import Events, Reason
from ....event.hits import Hits, SectionHits
from ...atomic import output_errors, whole_file
from ...compression import Compression
from ...podio.data_types import CALORIMETER_HIT, CONTRIBUTION, EVENT_HEADER, MC_PARTICLE, DataType
from ...podio.frames import Collection, Parameter, PodioFile, References
from ...root_files import PROVENANCE
from ...truth.edm4hep_truth import WEIGHT_NAMES, Truth, TruthReader
from ..contribution_lists import RowsOf
from ..readouts import Readout, readouts_of
from ..writer import IDENTIFIERS, LUMINOSITY_BLOCK, REPEAT
from .particles import HEADER, PARTICLES, header_collection, particle_collection

EVENTS, RUNS, METADATA = "events", "runs", "metadata"
ENCODING = "__CellIDEncoding"
"""What the parameter with the cell encoding of a collection ends in: podio's ``FrameCategories.h``."""

COUNT = "particles_"
ROW = "fastcalo_row"
"""Parameter of events of particles that were refused before: places that these have among the particles of then."""

# hits and contributions of a cluster, and events that are held back to fill it; many small clusters read slowly
_CLUSTER_ROWS = 1 << 17
_CLUSTER_EVENTS = 1 << 14


class Edm4hepWriter:
    """Hits of events, as EDM4hep.

    For each collection R of the detector's readout (those of a section unless given otherwise): ``R``
    (``edm4hep::SimCalorimeterHit``) and ``RContributions`` (``edm4hep::CaloHitContribution``), ``MCParticles`` and
    ``EventHeader``; numbers of particles by reason as integer parameters of the event.

    Use it as a context manager. The file appears under its name when the block ends well; otherwise nothing does.

    Parameters
    ----------
    path : str or Path
    detector : Detector
    truth : TruthReader, optional
        Where the input is EDM4hep: what is carried over from there.
    fast : bool
        Whether fast simulation makes the hits.
    overwrite : bool
    rows : callable, optional
        Where the input holds particles that were refused before: returns their places among the particles of then.
    weight_names : sequence of str
        Names of the events' weights, where there are several.
    identifiers : mapping of str to dtype
        What the events are known by, for the file to state their types; see `HitsWriter`.
    compression : Compression, optional

    Raises
    ------
    OutputError
        The file cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        detector: Detector,
        truth: TruthReader | None = None,
        *,
        fast: bool = True,
        overwrite: bool = False,
        rows: RowsOf | None = None,
        weight_names: Sequence[str] = (),
        identifiers: Mapping[str, DTypeLike] = IDENTIFIERS,
        compression: Compression | None = None,
    ) -> None:
        self._compression = compression or Compression()
        self._rows, self._weight_names = rows, list(weight_names)
        self.path = Path(path)
        self.provenance: dict[str, Any] = {
            "identifiers": {name: np.dtype(kind).name for name, kind in identifiers.items()}
        }
        self._detector, self._truth, self._fast, self._overwrite = detector, truth, fast, overwrite
        self._readouts = readouts_of(detector)
        self._held: list[tuple[int, dict[str, Collection], dict[str, dict[str, Parameter]]]] = []
        self._held_rows = self._held_events = 0
        self._runs: set[int] = set()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            temporary = stack.enter_context(whole_file(self.path, overwrite=self._overwrite))
            with output_errors(self.path):
                self._file = temporary.open("x+b")
                stack.callback(self._close)
                self._podio = PodioFile(self._file, self._compression.of_root())
                self._podio.add(EVENTS, collection_types([r.collection for r in self._readouts]))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        except BaseException as failed:
            self._stack.__exit__(type(failed), failed, failed.__traceback__)
            raise
        self._stack.__exit__(kind, error, trace)

    def write(self, events: Events, hits: Hits) -> None:
        """Add what an engine made of events.

        Raises
        ------
        InputError
            The hits are not those of the events, or have no contributions.
        OutputError
            The data cannot be written, or the number of a run does not fit EDM4hep.
        """
        if hits.n_events != events.n_events or len(hits.reason) != events.n_particles:
            raise InputError(
                f"hits of {hits.n_events} events and {len(hits.reason)} particles don't belong to "
                f"{events.n_events} events with {events.n_particles} particles"
            )
        entry = getattr(events, "entry", None)
        truth = None if self._truth is None or entry is None else self._truth.read(entry)
        collections = self.hit_collections(hits.sections, events.pdg, events.offsets)
        fast = self._fast if hits.fully is None else ~hits.fully
        collections[PARTICLES] = particle_collection(events, hits.reason, truth, fast=fast)
        more: dict[str, Parameter] = {} if self._rows is None else {ROW: (events.offsets, self._rows(events))}
        self.write_collections(_identifiers(hits), hits.particles, collections, truth, parameters=more)

    def write_collections(
        self,
        identifiers: Mapping[str, NDArray[Any] | None],
        counts: NDArray[np.int64],
        collections: Mapping[str, Collection],
        truth: Truth | None,
        header: Collection | None = None,
        parameters: Mapping[str, Parameter] | None = None,
    ) -> None:
        """Add events whose collections are made already.

        Parameters
        ----------
        identifiers : mapping of str to int [n_events]
        counts : int64 [n_events, number of reasons]
            Particles by what became of them.
        collections : mapping of str to Collection
            All but the header.
        truth : Truth or None
            Where the header is from.
        header : Collection, optional
            The header itself, instead.
        parameters : mapping of str to Parameter, optional
            Further integers of the events.
        """
        known = {name: values for name, values in identifiers.items() if values is not None}
        every = {**collections, HEADER: header or header_collection(known, truth)}
        numbers: dict[str, Parameter] = {
            f"{COUNT}{reason.name.lower()}": counts[:, reason].astype(np.int32) for reason in Reason
        }
        numbers |= parameters or {}
        more = {name: known[name] for name in known if name not in ("run", "event")}
        texts: dict[str, Parameter] = {name: [[str(v)] for v in values.tolist()] for name, values in more.items()}
        self._runs.update(np.unique(known["run"]).tolist())
        self._held.append((len(counts), every, {"Int": numbers, "String": texts}))
        self._held_events += len(counts)
        self._held_rows += sum(int(c.offsets[-1]) for c in every.values())
        if self._held_rows >= _CLUSTER_ROWS or self._held_events >= _CLUSTER_EVENTS:
            self._write_held()

    def hit_collections(
        self, sections: Mapping[str, SectionHits], pdg: NDArray[np.int32], particle_offsets: NDArray[np.int64]
    ) -> dict[str, Collection]:
        """Collections of hits and contributions of all readouts.

        Parameters
        ----------
        sections : mapping of str to SectionHits
            With contributions.
        pdg : int32 [n]
            Of all particles.
        particle_offsets : int64 [n_events + 1]

        Raises
        ------
        InputError
            The hits have no contributions.
        """
        n_events = len(particle_offsets) - 1
        found: dict[str, Collection] = {}
        for readout in self._readouts:
            section = sections.get(readout.section)
            if section is None:
                section = SectionHits.none(n_events)
            chosen = readout.chosen(self._detector, section)
            cells = readout.cell_ids(self._detector, chosen)
            found |= _hit_collections(readout, chosen, cells, pdg, particle_offsets)
        return found

    def _write_held(self) -> None:
        if not self._held:
            return
        parts, self._held = self._held, []
        self._held_rows = self._held_events = 0
        with output_errors(self.path):
            n = sum(n for n, _, _ in parts)
            collections = {name: joined([part[name] for _, part, _ in parts]) for name in parts[0][1]}
            parameters: dict[str, dict[str, Parameter]] = {}
            for kind in parts[0][2]:
                names = parts[0][2][kind]
                parameters[kind] = {name: joined_parameter([part[kind][name] for *_, part in parts]) for name in names}
            self._podio.write(EVENTS, n, collections, parameters)

    def _finish(self) -> None:
        self._write_held()
        text = json.dumps(self.provenance)
        with output_errors(self.path):
            self._podio.add(METADATA, {})
            metadata: dict[str, Parameter] = {
                f"{r.collection}{ENCODING}": [[r.encoding.text]] for r in self._readouts if r.encoding
            }
            if self._weight_names:
                metadata[WEIGHT_NAMES] = [self._weight_names]
            self._podio.write(METADATA, 1, {}, {"String": metadata})
            self._podio.add(RUNS, {})
            runs = np.array(sorted(self._runs), np.int64)
            texts: dict[str, Parameter] = {
                "detectorName": [[self._detector.name]] * len(runs),
                "fastcalo": [[str(self.provenance.get("fastcalo", ""))]] * len(runs),
            }
            if len(runs):
                # podio has parameters of 32 bits with a sign only
                number = runs.astype(np.uint32).view(np.int32)
                self._podio.write(RUNS, len(runs), {}, {"Int": {"runNumber": number}, "String": texts})
            self._podio.root[PROVENANCE] = text
            self._podio.finish()

    def _close(self) -> None:
        # what cannot be flushed now is of no use: either all was written before, or the file goes
        with suppress(OSError):
            self._file.close()


def collection_types(hits: Sequence[str]) -> dict[str, DataType]:
    """Collections of an event, and their types."""
    return {
        HEADER: EVENT_HEADER,
        PARTICLES: MC_PARTICLE,
        **dict.fromkeys(hits, CALORIMETER_HIT),
        **{f"{name}Contributions": CONTRIBUTION for name in hits},
    }


def _hit_collections(
    readout: Readout,
    hits: SectionHits,
    cell_id: NDArray[np.uint64],
    pdg: NDArray[np.int32],
    particle_offsets: NDArray[np.int64],
) -> dict[str, Collection]:
    """Hits and contributions of one readout.

    Parameters
    ----------
    readout : Readout
    hits : SectionHits
        With contributions.
    cell_id : uint64 [h]
        In the encoding of the readout.
    pdg : int32 [n]
        Of all particles.
    particle_offsets : int64 [n_events + 1]

    Raises
    ------
    InputError
        The hits have no contributions.
    """
    made = hits.contributions
    if made is None:
        raise InputError("EDM4hep needs contributions to hits: make the engine with contributions=True")
    counts = np.diff(made.offsets)
    offsets = made.offsets[hits.offsets]
    event = np.repeat(np.arange(len(hits.offsets) - 1), np.diff(offsets))
    contributions = Collection(
        CONTRIBUTION,
        offsets,
        {
            "PDG": pdg[particle_offsets[event] + made.particle],
            "energy": made.energy,
            "time": made.time,
            "stepPosition": np.repeat(hits.position, counts, axis=0),
            "stepLength": made.step_length,
        },
        {"particle": References(PARTICLES, made.particle)},
    )
    name = f"{readout.collection}Contributions"
    index = np.arange(len(made.energy)) - np.repeat(offsets[:-1], np.diff(offsets))
    found = Collection(
        CALORIMETER_HIT,
        hits.offsets,
        {"cellID": cell_id, "energy": hits.energy, "position": hits.position},
        {"contributions": References(name, index, counts)},
    )
    return {readout.collection: found, name: contributions}


def joined(parts: Sequence[Collection]) -> Collection:
    """Return collections of one kind one after the other; at least one is needed."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    references = {}
    for name, one in first.references.items():
        index = np.concatenate([part.references[name].index for part in parts])
        counts = [part.references[name].counts for part in parts]
        known = [c for c in counts if c is not None]
        references[name] = References(one.collection, index, np.concatenate(known) if known else None)
    return Collection(
        first.kind,
        _joined_offsets([part.offsets for part in parts]),
        {name: np.concatenate([part.columns[name] for part in parts]) for name in first.columns},
        references,
        {
            name: (
                np.concatenate([part.vectors[name][0] for part in parts]),
                np.concatenate([part.vectors[name][1] for part in parts]),
            )
            for name in first.vectors
        },
    )


def joined_parameter(parts: Sequence[Parameter]) -> Parameter:
    """Return values of a parameter one after the other."""
    first = parts[0]
    if isinstance(first, tuple):
        pairs = [part for part in parts if isinstance(part, tuple)]
        return _joined_offsets([o for o, _ in pairs]), np.concatenate([v for _, v in pairs])
    if isinstance(first, np.ndarray):
        return np.concatenate([np.asarray(part) for part in parts])
    return [texts for part in parts if not isinstance(part, np.ndarray | tuple) for texts in part]


def _joined_offsets(offsets: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(np.concatenate([np.diff(o) for o in offsets]))]).astype(np.int64)


def _identifiers(hits: Hits) -> dict[str, NDArray[Any] | None]:
    return {"run": hits.run, LUMINOSITY_BLOCK: hits.luminosity_block, "event": hits.event, REPEAT: hits.repeat}
