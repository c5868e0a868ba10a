# SPDX-License-Identifier: BSD-3-Clause
"""Work of one worker: a part of the input becomes files, under names that nobody trusts yet."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...io.particles.reader import EventReader
from ..convert import convert
from ..engines import Engine
from .manifest import digest_of
from .plan import Part, part_path


@dataclass(frozen=True)
class Job:
    """A conversion in parts, as workers know it.

    Attributes
    ----------
    reader : EventReader
    engine : Engine
    patterns : mapping of str to Path
        Names of files by their kind; see `part_path`.
    token : str
        Eight hexadecimal digits that the names of unfinished files bear.
    options : mapping
        Further arguments of `convert`.
    """

    reader: EventReader
    engine: Engine
    patterns: Mapping[str, Path]
    token: str
    options: Mapping[str, Any]

    def paths(self, part: int) -> dict[str, Path]:
        """Final names of the files of a part, by their kind."""
        return {kind: part_path(pattern, part) for kind, pattern in self.patterns.items()}

    def unfinished(self, path: Path) -> Path:
        """Name of a file until it is in the manifest."""
        return path.with_name(f".{path.stem}.{self.token}{path.suffix}")


@dataclass(frozen=True)
class Made:
    """What a worker has made of a part.

    Attributes
    ----------
    part : Part
    files : list of dict
        ``kind``, ``bytes`` and ``digest`` of each.
    accounts : dict
        Of `Summary.accounts`.
    seconds : float
        Of wall time; ``network_seconds`` of that in networks, where the engine measures it.
    worker : str
        Machine and process.
    """

    part: Part
    files: list[dict[str, Any]]
    accounts: dict[str, Any]
    seconds: float
    network_seconds: float | None
    worker: str
    notes: list[str] = field(default_factory=list)


def make_part(job: Job, part: Part) -> Made:
    """Convert a part.

    Raises
    ------
    FastCaloError
        See `convert`.
    """
    begin = time.perf_counter()
    paths = {kind: job.unfinished(path) for kind, path in job.paths(part.number).items()}
    summary = convert(
        job.reader.part(part.entries),
        paths["output"],
        job.engine,
        rejected=paths.get("rejected"),
        report=paths.get("report"),
        overwrite=True,
        **job.options,
    )
    files = [
        {"kind": kind, "bytes": path.stat().st_size, "digest": digest_of(path)} for kind, path in paths.items()
    ]  # fmt: skip
    return Made(
        part=part,
        files=files,
        accounts=summary.accounts(),
        seconds=time.perf_counter() - begin,
        network_seconds=summary.network_seconds,
        worker=f"{socket.gethostname()}:{os.getpid()}",
        notes=summary.notes,
    )


def remove_unfinished(paths: Iterable[Path]) -> None:
    """Remove what processes that were killed have left of files of these names.

    Parameters
    ----------
    paths : iterable of Path
        Final names.
    """
    names: dict[Path, set[str]] = {}
    for path in paths:
        names.setdefault(path.parent, set()).add(path.name)
    for folder, wanted in names.items():
        for entry in os.scandir(folder):
            # those of workers, and the temporary names under which they write them
            found = re.fullmatch(r"\.{1,2}(.+?)\.[0-9a-f]{8}(\.[^.]*)?(?:\.[0-9a-f]{8}\.part)?", entry.name)
            if found and found[1] + (found[2] or "") in wanted:
                Path(entry.path).unlink(missing_ok=True)
