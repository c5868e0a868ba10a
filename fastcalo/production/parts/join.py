# SPDX-License-Identifier: BSD-3-Clause
"""One file of hits of the files that a conversion in parts has made, in the order of the parts."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...detector.description import Detector, DetectorLike, load_detector
from ...errors import InputError, OutputError
from ...event.hits import Hits
from ...io.atomic import check_output
from ...io.hits.any_format.stream import HitsReader
from ...io.hits.edm4hep.particles import PARTICLES
from ...io.hits.edm4hep.reader import Edm4hepFile
from ...io.hits.edm4hep.writer import ROW, Edm4hepWriter
from ...io.hits.reader import HitFile
from ...io.hits.writer import LUMINOSITY_BLOCK, REPEAT, HitsWriter, file_provenance
from ...io.podio.frames import Parameter
from ...io.truth.edm4hep_truth import read_truth
from ..convert import Progress
from ..merged_file import edm4hep_writer_like, have_contributions, hits_writer_like, write_with_truth
from ..summary import Summary
from .manifest import accounts_path, read_accounts
from .status import production_status, ranges

_MEMORY = "16 MB"


def join_parts(
    where: str | Path,
    output: str | Path,
    *,
    detector: DetectorLike | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Summary:
    """Write the hits of all parts of a conversion to one file: that which it would have been without parts.

    Parameters
    ----------
    where : path
        Folder of the parts, or one of the manifests in it.
    output : path
        The file to write, in the format of the parts.
    detector : Detector, name or path, optional
        In which they were made; needed only where the files don't name a shipped one.
    overwrite : bool
        Whether a file of that name may be replaced.
    progress : callable, optional
        Called with the events done and all events.

    Returns
    -------
    Summary
        Of all parts.

    Raises
    ------
    InputError
        Parts are missing or damaged, by the manifest and its digests.
    OutputError
        The output exists already, is a part, or cannot be written.
    """
    begin = time.perf_counter()
    check_output(output, overwrite=overwrite)
    status = production_status(where, check=True)
    for text in status.damaged.values():
        raise InputError(f"{text}; make it again (fastcalo convert ... --resume)")
    if not status.complete:
        raise InputError(
            f"{where}: {len(status.missing)} of {status.parts} parts are not there: {ranges(status.missing)}; make "
            "them (fastcalo convert ... --resume)"
        )
    paths = status.files()
    if Path(output).resolve() in {path.resolve() for path in paths}:
        raise OutputError(f"{output}: cannot be written, for it is a part; give another name")
    summary: Summary | None = None
    for manifest in status.manifests:
        stated = read_accounts(manifest.path, manifest.done)
        if len(stated) < len(manifest.done):
            raise InputError(
                f"{accounts_path(manifest.path)}: has no accounts of some parts; make them again (fastcalo convert ... "
                "--resume)"
            )
        for accounts in stated.values():
            found = Summary.of_accounts(accounts)
            if summary is None:
                summary = found
            else:
                summary.include(found)
    assert summary is not None
    given = None if detector is None else load_detector(detector)
    done = 0
    with ExitStack() as exits:
        writer: _Joined | None = None
        for path in paths:
            with HitsReader(path, given) as reader:
                if writer is None:
                    writer = exits.enter_context(_Joined(output, reader, overwrite=overwrite))
                for events in writer.add(reader):
                    done += events
                    if progress is not None:
                        progress(done, status.events)
        assert writer is not None
        writer.provenance["accounts"] = summary.accounts()
        writer.provenance["parts"] = len(paths)
    summary.wall_seconds = time.perf_counter() - begin
    return summary


class _Joined(AbstractContextManager["_Joined"]):
    """A file of hits that files of hits of the same format are added to."""

    def __init__(self, path: str | Path, first: HitsReader, *, overwrite: bool) -> None:
        file, tree = first.file, first.tree
        self._writer: HitsWriter | Edm4hepWriter
        if isinstance(file, Edm4hepFile):
            self._writer = edm4hep_writer_like(path, file, tree, _detector(first), overwrite=overwrite)
        else:
            contributions = have_contributions(file, tree, first.sections[:1])
            self._writer = hits_writer_like(
                path, file, tree, first.sections, contributions=contributions, overwrite=overwrite
            )
        common = {key: value for key, value in first.provenance.items() if key not in ("entries", "accounts")}
        self._common = common | {"created": file_provenance(None)["created"]}

    @property
    def provenance(self) -> dict[str, Any]:
        """What the file states of itself."""
        return self._writer.provenance

    def __enter__(self) -> _Joined:
        self._writer.__enter__()
        self.provenance.update(self._common)
        return self

    def __exit__(self, *error: Any) -> None:
        self._writer.__exit__(*error)

    def add(self, reader: HitsReader) -> Any:
        """Add all events of a file; yields how many after each step."""
        start = 0
        for hits in reader.iterate(_MEMORY, contributions=True):
            entries = range(start, start + hits.n_events)
            if isinstance(self._writer, HitsWriter):
                self._writer.write_counted(_identifiers(hits), hits.particles, hits.sections)
            else:
                self._add_edm4hep(self._writer, reader.file, hits, entries)
            start = entries.stop
            yield hits.n_events

    @staticmethod
    def _add_edm4hep(writer: Edm4hepWriter, file: HitFile, hits: Hits, entries: range) -> None:
        if not isinstance(file, Edm4hepFile):
            raise InputError(f"{file.path}: is no EDM4hep, as the parts before it are")
        truth = read_truth(file.events, PARTICLES, entries)
        more: dict[str, Parameter] = {}
        if (rows := file.parameter(ROW, entries)) is not None and rows.counts is not None:
            more[ROW] = (np.concatenate([[0], np.cumsum(rows.counts)]), rows.values)
        write_with_truth(writer, _identifiers(hits), hits.particles, hits.sections, truth, more)


def _detector(first: HitsReader) -> Detector:
    if first.detector is None:
        raise InputError(f"{first.path}: the detector it was made in is not at hand; name it (--detector)")
    return first.detector


def _identifiers(hits: Hits) -> dict[str, NDArray[Any] | None]:
    return {"run": hits.run, LUMINOSITY_BLOCK: hits.luminosity_block, "event": hits.event, REPEAT: hits.repeat}
