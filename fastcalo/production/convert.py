# SPDX-License-Identifier: BSD-3-Clause
"""Conversion of particle files to hit files, streamed in bounded memory through an engine."""

from __future__ import annotations

import logging
import platform
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor
from contextlib import ExitStack, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import DTypeLike

from ..errors import ConfigError, OutputError
from ..event.events import Events
from ..event.hits import Hits
from ..io.atomic import check_output
from ..io.compression import Compression
from ..io.event_streams.batches import FileEvents, limit_particles
from ..io.hits.formats import HitsFormat
from ..io.hits.writer import RejectedWriter, file_provenance, identifier_types
from ..io.particles.reader import EventReader, PathLike, open_events
from ..io.particles.schemas import SchemaOverrides
from ..simulation.decays import decay
from .acceptance_map import AcceptanceMap
from .engines import Engine, TimedEngine, TracedEngine
from .executors import Call, Shared, worker_died, worker_processes
from .output_format import OutputFormat, with_times
from .report_page import facts_of, write_report
from .summary import Summary

__all__ = ["Engine", "TimedEngine", "TracedEngine", "convert"]

logger = logging.getLogger(__name__)

# Final-state particles that are simulated at a time. A shower has some hundred hits, so this bounds the memory.
_MOST_PARTICLES = 10_000
_MOST_WORKERS = 1024

Progress = Callable[[int, int], None]
"""Called with the number of entries done, and of all entries."""


def convert(
    inputs: EventReader | PathLike | Sequence[PathLike],
    output: PathLike,
    engine: Engine | None = None,
    *,
    step_size: int = 500,
    workers: int = 1,
    executor: Executor | None = None,
    rejected: PathLike | None = None,
    seed: int = 0,
    decays: bool = True,
    schema: SchemaOverrides | PathLike | None = None,
    tree: str | None = None,
    collection: str | None = None,
    gather: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    format: HitsFormat | str = HitsFormat.TTREE,
    contributions: bool = False,
    compression: str = "zlib:1",
    report: PathLike | None = None,
    chunk: int | None = None,
) -> Summary:
    """Convert files of particles to a file of calorimeter hits.

    Parameters
    ----------
    inputs : EventReader, path or sequence of paths
        ROOT files; see `open_events`.
    output : path
        The ROOT file to write; see `HitsWriter`. It appears under its name when it is whole.
    engine : Engine, optional
        The shipped models in the default detector unless given.
    step_size : int
        Events that are simulated at a time; fewer if they have very many particles. Neither this nor `workers` changes
        what comes out.
    workers : int
        Processes that simulate. With 1 all happens in this one.
    executor : concurrent.futures.Executor, optional
        Where to simulate instead, for example ``mpi4py.futures.MPIPoolExecutor()`` or ``client.get_executor()`` of
        Dask; `workers` is then the number of chunks it can work on at a time.
    rejected : path, optional
        A ROOT file for the final-state particles that were not simulated; see `RejectedWriter`.
    seed : int
    decays : bool
        Whether particles decay that do not live to the calorimeter; see `simulation.decays`. Those of files that
        `rejected` wrote have lived that long, and do not decay again.
    schema, tree, collection, gather : optional
        Passed on to `open_events`.
    overwrite : bool
        Whether files of these names may be replaced.
    progress : callable, optional
        Called with the entries done and all entries after every step.
    format : str
        ``"ttree"``, ``"rntuple"``, ``"parquet"``, or ``"edm4hep"`` for what Key4hep and EIC read, see `Edm4hepWriter`.
    contributions : bool
        Whether a TTree, RNTuple or Parquet file states what single particles made of each hit; EDM4hep always does. The
        engine must be made with ``contributions=True`` for either.
    compression : str
        Method and level, such as ``"zstd:5"``; see `Compression`.
    report : path, optional
        An HTML page with the summary, and with a map of where particles of each species were refused, and why.
    chunk : int, optional
        Deprecated name of `step_size`.

    Returns
    -------
    Summary

    Raises
    ------
    InputError
        An input file cannot be used.
    OutputError
        An output file exists already, is one of the inputs, or cannot be written.
    ConfigError
        There is no such format, or the engine does not give the contributions that it needs.
    FastCaloError
        A worker died.

    Examples
    --------
    >>> from fastcalo import FastSimulation, convert
    >>> summary = convert("examples/demo/events.root", "hits.root", FastSimulation(models="em"), seed=1)
    >>> summary.events
    300
    """
    start = time.perf_counter()
    if chunk is not None:
        warnings.warn("convert(chunk=...) is now step_size=...", DeprecationWarning, stacklevel=2)
        step_size = chunk
    _check_numbers(step_size, workers)
    target = OutputFormat(HitsFormat.of(format), contributions, Compression.parse(compression))
    engine = _default_engine(target.needs_contributions) if engine is None else engine
    target.check(engine)
    reader = inputs if isinstance(inputs, EventReader) else open_events(inputs, schema, tree, collection, gather)
    outputs = [Path(path) for path in (output, rejected) if path is not None]
    page = None if report is None else Path(report)
    _check_paths(reader, outputs if page is None else [*outputs, page], overwrite)
    if reader.entries is None:
        # of a part the whole is known
        log_input(reader)

    sections = [section.name for section in engine.detector.sections]
    repeats = reader.repeats
    summary = Summary.of(sections, workers)
    summary.acceptance = None if page is None else AcceptanceMap()
    summary.repeats = repeats.facts()
    summary.notes = [*reader.notes, f"Vertices: {reader.schema.vertex}"]
    provenance = _provenance(reader, engine, seed, target) | {"decays": decays and not reader.decayed}
    if reader.entries is not None:
        provenance["entries"] = [reader.entries.start, reader.entries.stop]
    summary.substitutes = {
        int(species): row["pdg"] for species, row in provenance["simulation"].get("substitutes", {}).items()
    }
    with ExitStack() as exits:
        options: _Options = {"identifiers": _identifiers(reader), "overwrite": overwrite}
        refused = exits.enter_context(RejectedWriter(outputs[1], **options)) if rejected is not None else None
        writer = exits.enter_context(target.writer(outputs[0], reader, engine, **options))
        pool = executor or exits.enter_context(worker_processes(workers))
        chunks = limit_particles(reader.iterate(step_size), _MOST_PARTICLES)
        if target.needs_contributions:
            chunks = with_times(chunks, reader)
        if provenance["decays"]:
            chunks = (decay(events, engine.detector, seed) for events in chunks)
        for events, hits, seconds in _simulated(chunks, engine, seed, pool, 2 * workers if workers > 1 else 1):
            writer.write(events, hits)
            if refused is not None:
                refused.write(events, hits.reason)
            summary.add(events, hits)
            if seconds is not None:
                summary.network_seconds = (summary.network_seconds or 0.0) + seconds
            if progress is not None:
                progress(int(events.entry[-1]) + 1, reader.n_entries)
        for file in (writer, refused):
            if file is not None:
                file.provenance.update(provenance, accounts=summary.accounts())
    summary.wall_seconds = time.perf_counter() - start
    logger.info(
        "%d events in %.2f s", summary.events, summary.wall_seconds,
        extra={"fields": {"events": summary.events, "seconds": round(summary.wall_seconds, 3), "workers": workers,
                          "events_per_second": round(summary.events / summary.wall_seconds, 3)}},
    )  # fmt: skip
    if page is not None:
        write_report(page, summary, facts_of(provenance), overwrite=overwrite)
    return summary


def log_input(reader: EventReader) -> None:
    """Report what is read, and what the user should know of it."""
    for label, text in reader.describe():
        logger.info("%s: %s", label, text)
    for note in (*reader.notes, *reader.repeats.warnings):
        logger.warning("%s", note)


def _check_numbers(step_size: int, workers: int) -> None:
    if step_size < 1 or workers < 1:
        raise ConfigError(f"step_size and workers must be at least 1, but are {step_size} and {workers}")
    if workers > _MOST_WORKERS:
        raise ConfigError(f"workers must be at most {_MOST_WORKERS}, but are {workers}")


def _simulated(
    chunks: Iterator[FileEvents], engine: Engine, seed: int, pool: Executor, ahead: int
) -> Iterator[tuple[FileEvents, Hits, float | None]]:
    """Yield events, their hits and the network's time, in the order of the input; at most `ahead` chunks under way."""
    shared = Shared(pool, engine)
    waiting: deque[tuple[FileEvents, Call[tuple[Hits, float | None]]]] = deque()
    try:
        for events in chunks:
            waiting.append((events, shared.submit(_run, events, seed)))
            if len(waiting) == ahead:
                yield _first(waiting)
        while waiting:
            yield _first(waiting)
    except BrokenExecutor as error:
        raise worker_died(error) from error
    finally:
        for _, call in waiting:
            call.cancel()


def _first(
    waiting: deque[tuple[FileEvents, Call[tuple[Hits, float | None]]]],
) -> tuple[FileEvents, Hits, float | None]:
    events, call = waiting.popleft()
    return events, *call.result()


def _run(engine: Engine, events: Events, seed: int) -> tuple[Hits, float | None]:
    # particles with infinite momenta are counted: no need to warn of them, too
    with np.errstate(over="ignore", invalid="ignore"):
        if not isinstance(engine, TimedEngine):
            return engine.run(events, seed=seed), None
        before = engine.network_seconds
        hits = engine.run(events, seed=seed)
        return hits, engine.network_seconds - before


def _default_engine(contributions: bool) -> Engine:
    from ..detector.description import load_detector
    from ..model.shower_model import DEFAULT_MODELS
    from ..simulation.fast import FastSimulation

    return FastSimulation(load_detector(), DEFAULT_MODELS, contributions=contributions)


class _Options(TypedDict):
    identifiers: dict[str, DTypeLike]
    overwrite: bool


def _identifiers(reader: EventReader) -> dict[str, DTypeLike]:
    """Branches of the output that events are known by."""
    distinguished = bool(reader.repeats.repeated) or "repeat" in reader.schema.branches
    return identifier_types(reader.repeats.types, distinguished)


def _check_paths(reader: EventReader, outputs: Sequence[Path], overwrite: bool) -> None:
    taken = {Path(file.path).resolve(): "it is an input" for file in reader.files if "://" not in file.path}
    for path in outputs:
        if why := taken.get(path.resolve()):
            raise OutputError(f"{path}: cannot be written, for {why}; give another name")
        taken[path.resolve()] = "it is another output"
        check_output(path, overwrite=overwrite)


def _provenance(reader: EventReader, engine: Engine, seed: int, target: OutputFormat) -> dict[str, Any]:
    return {
        **file_provenance(engine.detector, contributions=target.contributions),
        "compression": str(target.compression),
        "seed": seed,
        "inputs": [{"path": file.path, "tree": file.tree, "entries": file.n_entries} for file in reader.files],
        "schema": dict(reader.schema.describe()),
        "notes": list(reader.notes),
        **engine_facts(engine),
        "versions": {"python": platform.python_version(), **_versions("numpy", "uproot", "awkward", "onnxruntime")},
    }


def engine_facts(engine: Engine) -> dict[str, Any]:
    """What an engine is, and what it is made of, as JSON can hold it."""
    return {
        "engine": type(engine).__name__,
        "simulation": engine.provenance() if isinstance(engine, TracedEngine) else {},
    }


def _versions(*packages: str) -> dict[str, str]:
    found = {}
    for package in packages:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
