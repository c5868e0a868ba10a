# SPDX-License-Identifier: BSD-3-Clause
"""Conversion in parts on any executor; goes on after whatever has ended it before."""

from __future__ import annotations

import json
import logging
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..._version import __version__
from ...errors import InputError, OutputError
from ...io.atomic import check_output, output_errors
from ...io.hits.formats import HitsFormat
from ...io.particles.reader import EventReader
from ..convert import Engine, Progress, engine_facts, log_input
from ..executors import Call, SerialExecutor, Shared, worker_died, worker_processes
from ..summary import Summary
from .manifest import (
    DONE,
    FAILED,
    KIND,
    VERSION,
    Manifest,
    ManifestWriter,
    damage_of,
    locked,
    open_manifest,
    read_accounts,
    read_manifest,
)
from .plan import Part, PathLike, Plan, Share, manifest_path, pattern_folder
from .work import Job, Made, make_part, remove_unfinished

logger = logging.getLogger(__name__)

# parts under way for each worker: one that it makes, and one that waits for it
_AHEAD = 2
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
        Parts could not be read; the others are made. Or the manifest is that of another conversion.
    FastCaloError
        A worker died.
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
        pool = executor or exits.enter_context(worker_processes(workers))
        run = _Run(job, plan, writer, Summary.of([s.name for s in engine.detector.sections], workers))
        run.entries = sum(len(plan.part(number).entries) for number in numbers if number in kept.rows)
        total = sum(len(plan.part(number).entries) for number in numbers)
        for accounts in accounts_of.values():
            run.summary.include(Summary.of_accounts(accounts))
        del kept, before, accounts_of
        ahead = 1 if isinstance(pool, SerialExecutor) else _AHEAD * workers
        for _ in run.results(Shared(pool, job), (plan.part(number) for number in todo), ahead):
            if progress is not None:
                progress(run.entries, total)
    if run.failed:
        listed = "; ".join(run.failed[:_LISTED])
        raise InputError(f"{len(run.failed)} of {len(numbers)} parts could not be made: {listed}. See {path}")
    run.summary.wall_seconds = time.perf_counter() - begin
    made = sum(len(plan.part(number).entries) for number in todo)
    rate = round(made / run.summary.wall_seconds, 3)
    logger.info(
        "%d parts of %d made: %d entries in %.2f s", len(todo), len(numbers), made, run.summary.wall_seconds,
        extra={"fields": {"parts": len(todo), "entries": made, "workers": workers, "entries_per_second": rate}},
    )  # fmt: skip
    return run.summary


@dataclass
class _Run:
    """Parts that are being made."""

    job: Job
    plan: Plan
    manifest: ManifestWriter
    summary: Summary
    entries: int = 0

    def __post_init__(self) -> None:
        self.failed: list[str] = []

    def results(self, shared: Shared[Job], parts: Iterator[Part], ahead: int) -> Iterator[None]:
        """Have workers make parts, at most so many under way; yields after each."""
        waiting: dict[Call[Made], Part] = {}
        try:
            while True:
                while len(waiting) < ahead and (part := next(parts, None)) is not None:
                    waiting[shared.submit(make_part, part)] = part
                if not waiting:
                    return
                wait([call.future for call in waiting], return_when=FIRST_COMPLETED)
                for call in [call for call in waiting if call.future.done() and call.done()]:
                    self._take(waiting.pop(call), call)
                    yield
        except BrokenExecutor as error:
            raise worker_died(error) from error
        finally:
            for call in waiting:
                call.cancel()

    def _take(self, part: Part, call: Call[Made]) -> None:
        try:
            made = call.result()
        except InputError as error:
            # of this part only: the others can be made all the same
            self.failed.append(f"part {part.number}: {error}")
            self.manifest.add(self._row(part, FAILED) | {"error": str(error)})
            logger.error("part %d failed: %s", part.number, error, extra={"fields": self._row(part, FAILED)})
        else:
            files = _named(self.job, made)
            counted = {"events": made.accounts["events"], "seconds": round(made.seconds, 3), "worker": made.worker}
            row = self._row(part, DONE) | {"files": files, **counted}
            self.manifest.add(row, made.accounts)
            done = Summary.of_accounts(made.accounts)
            done.network_seconds, done.notes = made.network_seconds, made.notes
            self.summary.include(done)
            rate = made.accounts["events"] / max(made.seconds, 1e-9)
            logger.info(
                "part %d: %d events in %.2f s", part.number, made.accounts["events"], made.seconds,
                extra={"fields": {**row, "events_per_second": round(rate, 3)}},
            )  # fmt: skip
        self.entries += len(part.entries)

    def _row(self, part: Part, status: str) -> dict[str, Any]:
        return {
            "part": part.number,
            "first": part.entries.start,
            "stop": part.entries.stop,
            "input": self.plan.hash_of(part),
            "seed": self.job.options.get("seed", 0),
            "status": status,
        }


def _named(job: Job, made: Made) -> list[dict[str, Any]]:
    """Give the files of a part their names. Only who holds the manifest does: workers may outlive it."""
    files = []
    folder = pattern_folder(job.patterns["output"])
    paths = job.paths(made.part.number)
    for file in made.files:
        path = paths[file["kind"]]
        with output_errors(path):
            job.unfinished(path).replace(path)
        files.append({"name": os.path.relpath(path, folder), **file})
    return files


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
