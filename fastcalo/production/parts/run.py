# SPDX-License-Identifier: BSD-3-Clause
"""Conversion in parts on any executor; goes on after whatever has ended it before."""

from __future__ import annotations

import json
import logging
import os
import secrets
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from ..._version import __version__
from ...errors import InputError, OutputError
from ...io.atomic import check_output
from ...io.hits.formats import HitsFormat
from ...io.particles.reader import EventReader
from ..convert import Engine, Progress, engine_facts, log_input
from ..summary import Summary
from .making import PartsRun, WorkerPools
from .manifest import (
    KIND,
    VERSION,
    Manifest,
    damage_of,
    locked,
    open_manifest,
    read_accounts,
    read_manifest,
)
from .plan import PathLike, Plan, Share, manifest_path
from .work import Job, remove_unfinished

logger = logging.getLogger(__name__)

_LISTED = 3


def convert_in_parts(
    reader: EventReader,
    output: PathLike,
    engine: Engine,
    *,
    events_per_file: int,
    workers: int = 1,
    executor: Executor | None = None,
    share: Share | None = None,
    resume: bool = False,
    rejected: PathLike | None = None,
    report: PathLike | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> Summary:
    """Convert to as many files as it takes. The events and hits in them are those that one file would have.

    Each part of the input goes to a worker, which reads it, simulates it and writes its files. When a part is whole its
    files get their names, and the manifest a line with their digests. What comes out does not depend on the executor.

    Parameters
    ----------
    reader : EventReader
    output : path
        Pattern of the files' names; see `part_path`. The manifest lies beside them; see `manifest_path`.
    engine : Engine
        Must be picklable unless it all happens in this process.
    events_per_file : int
        The last file may have fewer.
    workers : int
        Processes that make parts. With 1 all happens in this one.
    executor : concurrent.futures.Executor, optional
        Where to make them instead; `workers` is then the number of parts that it can make at a time.
    share : Share, optional
        Make these parts only; other jobs make the others, at the same time if one likes.
    resume : bool
        Whether to keep what is there: parts that the manifest states to be done, if their files have the digests that
        it states. All else is made again.
    rejected, report : path, optional
        As of `convert`, but patterns.
    overwrite : bool
        Whether files of these names may be replaced, the manifest among them.
    progress : callable, optional
        Called with the entries done and all entries, after every part.
    **options
        Further arguments of `convert`.

    Returns
    -------
    Summary
        Of all parts of the share together; its times are those of this call.

    Raises
    ------
    ConfigError
        The pattern is wrong, or there is to be less than one event in a file.
    OutputError
        A file exists already, or cannot be written. What is whole by then stays.
    InputError
        Parts could not be read, or their workers died each time that they were tried; the others are made. Or the
        manifest is that of another conversion.
    WorkerDiedError
        Workers of several parts died one after the other, or one of `executor` did.
    """
    begin = time.perf_counter()
    share = share or Share()
    plan = Plan(reader, events_per_file)
    patterns = {"output": output, "rejected": rejected, "report": report}
    job = Job(
        reader,
        engine,
        {kind: Path(os.path.abspath(path)) for kind, path in patterns.items() if path is not None},  # noqa: PTH100
        secrets.token_hex(4),
        options,
    )
    path = manifest_path(job.patterns["output"], share)
    header = _header(job, plan, events_per_file, share)
    numbers = share.of_parts(len(plan))
    if path.exists() and not (resume or overwrite):
        raise OutputError(f"{path}: exists already; go on with it (--resume), or begin anew (--overwrite)")
    check_output(path, overwrite=True)
    # it looks at all identifiers of the input, which workers then need not do again
    log_input(reader)
    with ExitStack() as exits:
        exits.enter_context(locked(path))
        before = _before(path, header, resume=resume)
        _check_names(job, numbers if before is None else (), overwrite=overwrite)
        kept = Manifest(path, header) if before is None else _verified(before, numbers)
        accounts_of = read_accounts(path, kept.done)
        kept.rows = {number: row for number, row in kept.rows.items() if number in accounts_of}
        todo = [number for number in numbers if number not in kept.rows]

        def clean() -> None:
            remove_unfinished(name for number in todo for name in job.paths(number).values())

        clean()
        # parts under way where it fails are left without their names
        exits.callback(clean)
        writer = exits.enter_context(open_manifest(kept))
        pools = exits.enter_context(WorkerPools(job, executor, workers))
        run = PartsRun(job, plan, writer, Summary.of([s.name for s in engine.detector.sections], workers))
        run.entries = sum(len(plan.part(number).entries) for number in numbers if number in kept.rows)
        total = sum(len(plan.part(number).entries) for number in numbers)
        for accounts in accounts_of.values():
            run.summary.include(Summary.of_accounts(accounts))
        del kept, before, accounts_of
        for _ in run.results(pools, (plan.part(number) for number in todo)):
            if progress is not None:
                progress(run.entries, total)
    if run.failed:
        listed = "; ".join(run.failed[:_LISTED])
        counted = f"{len(run.failed)} of {len(numbers)} parts could not be made"
        raise InputError(f"{counted}: {listed}. See {path}; --resume tries them again")
    run.summary.wall_seconds = time.perf_counter() - begin
    made = sum(len(plan.part(number).entries) for number in todo)
    rate = round(made / run.summary.wall_seconds, 3)
    logger.info(
        "%d parts of %d made: %d entries in %.2f s", len(todo), len(numbers), made, run.summary.wall_seconds,
        extra={"fields": {"parts": len(todo), "entries": made, "workers": workers, "entries_per_second": rate}},
    )  # fmt: skip
    return run.summary


def _header(job: Job, plan: Plan, events_per_file: int, share: Share) -> dict[str, Any]:
    """First line of the manifest: all that the files depend on, but for times."""
    reader, options = job.reader, job.options
    return {
        KIND: VERSION,
        "fastcalo": __version__,
        "inputs": [[Path(f.path).name, f.tree, f.n_entries, f.identity] for f in reader.files],
        "schema": dict(reader.schema.describe()),
        "gather": reader.gather,
        "detector": job.engine.detector.hash,
        **engine_facts(job.engine),
        "seed": options.get("seed", 0),
        "decays": options.get("decays", True),
        "format": str(HitsFormat.of(options.get("format", HitsFormat.TTREE))),
        "compression": options.get("compression", "zlib:1"),
        "contributions": options.get("contributions", False),
        "step_size": options.get("step_size", 500),
        "events_per_file": events_per_file,
        "parts": len(plan),
        "share": [share.number, share.of],
        "files": {kind: pattern.name for kind, pattern in job.patterns.items()},
    }


def _before(path: Path, header: Mapping[str, Any], *, resume: bool) -> Manifest | None:
    """What was made before, if that is to be kept."""
    if not resume or not path.exists():
        return None
    before = read_manifest(path)
    # in the words of JSON: lists for tuples
    differ = [key for key in header if before.header.get(key) != _plain(header[key])]
    if differ:
        raise InputError(
            f"{path}: was begun with another {', '.join(differ)}: {before.header.get(differ[0])!r:.100} instead of "
            f"{header[differ[0]]!r:.100}; give the same, or begin anew (--overwrite)"
        )
    return before


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _check_names(job: Job, numbers: Iterable[int], *, overwrite: bool) -> None:
    """Find files that exist before anything is made."""
    inputs = {Path(file.path).resolve() for file in job.reader.files if "://" not in file.path}
    for number in numbers:
        paths = job.paths(number)
        if len(set(paths.values())) < len(paths):
            raise OutputError(f"{paths['output']}: cannot be written, for it is another output; give another name")
        for path in paths.values():
            if path.resolve() in inputs:
                raise OutputError(f"{path}: cannot be written, for it is an input; give another name")
            check_output(path, overwrite=overwrite)


def _verified(before: Manifest, numbers: Iterable[int]) -> Manifest:
    """The manifest with those parts only whose files are as it states; a look at all of them."""
    rows = {number: before.rows[number] for number in numbers if number in before.done}
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        damages = threads.map(lambda row: damage_of(row, before.path.parent), rows.values())
        for (number, row), damage in zip(list(rows.items()), damages, strict=True):
            if damage:
                logger.warning("part %d is made again: %s", number, damage)
                del rows[number]
                for file in row["files"]:
                    with suppress(OSError):
                        (before.path.parent / file["name"]).unlink()
    return Manifest(before.path, before.header, rows)
