# SPDX-License-Identifier: BSD-3-Clause
"""Command ``fastcalo convert``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, BadParameter, Option

from ..detector.description import DEFAULT_DETECTOR, load_detector
from ..io.hits.formats import HitsFormat

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from ..io.particles.schemas import SchemaOverrides
    from ..production.convert import Engine


class EngineName(StrEnum):
    """What simulates."""

    FAST = "fast"
    GEANT4 = "geant4"
    BOTH = "both"


# events simulated at a time: enough for the networks to be quick, few enough for progress to be seen
_STEP_SIZE = {EngineName.FAST: 500, EngineName.GEANT4: 10, EngineName.BOTH: 100}


def command(
    inputs: Annotated[list[str], Argument(metavar="IN.root...", help="Files of particles, or their URLs.")],
    output: Annotated[
        Path, Option("--output", "-o", "--output-pattern", metavar="OUT.root", help="File of hits to write.")
    ],
    model: Annotated[
        list[str] | None,
        Option(help="Shower model: a shipped name or an .onnx file. May be repeated.", show_default="em, hadron, muon"),
    ] = None,
    detector: Annotated[str, Option(help="Detector: a shipped name or a .toml file.")] = DEFAULT_DETECTOR,
    engine: Annotated[
        EngineName, Option(help="What simulates: models, Geant4, or Geant4 what models refuse.")
    ] = EngineName.FAST,
    seed: Annotated[int, Option(help="The same seed gives the same hits.", min=0)] = 0,
    workers: Annotated[int, Option(help="Processes that simulate.", min=1)] = 1,
    step_size: Annotated[
        int | None,
        Option(
            "--step-size",
            "--chunk",
            help="Events at a time.",
            min=1,
            show_default="500, 100 with both engines, 10 with Geant4",
        ),
    ] = None,
    threads: Annotated[
        int | None, Option(help="Threads of each process; unless given, the free cores are shared out.", min=1)
    ] = None,
    rejected: Annotated[
        Path | None, Option(metavar="FILE.root", help="Write final-state particles that were not simulated to a file.")
    ] = None,
    schema: Annotated[Path | None, Option(metavar="FILE.toml", help="What the branches of the input mean.")] = None,
    tree: Annotated[str | None, Option(help="Name of the input's TTree or RNTuple.")] = None,
    collection: Annotated[
        str | None, Option(metavar="NAME", help="Collection of particles, such as GenCands; else chosen by evidence.")
    ] = None,
    branch: Annotated[
        list[str] | None,
        Option(
            metavar="ROLE=NAME",
            help="A branch of the input, such as pdg=mc_pdg; status=none leaves a role out. May be repeated.",
        ),
    ] = None,
    momentum_unit: Annotated[str | None, Option(metavar="UNIT", help="Of momenta: keV, MeV, GeV or TeV.")] = None,
    length_unit: Annotated[str | None, Option(metavar="UNIT", help="Of vertices: um, mm, cm or m.")] = None,
    final_status: Annotated[
        str | None, Option(metavar="CODE,...", help="Status codes of final particles.", show_default="1")
    ] = None,
    gather_rows: Annotated[
        bool,
        Option(
            "--gather-rows", help="Where an entry holds one particle: rows of one event may stand apart; gather them."
        ),
    ] = False,
    events_per_file: Annotated[
        int | None,
        Option(
            help="Write many files of so many events: hits_{part:04}.root as the output names their numbers.", min=1
        ),
    ] = None,
    part: Annotated[
        str | None,
        Option(metavar="I/N", help="Make the files of this job only, of N jobs that are counted from 0."),
    ] = None,
    resume: Annotated[
        bool, Option("--resume", help="Keep the files that are there and whole, by the manifest, and make the others.")
    ] = False,
    dask: Annotated[
        str | None,
        Option(metavar="ADDRESS", help="Simulate on workers of Dask; 'local' starts as many here as --workers states."),
    ] = None,
    summary: Annotated[Path | None, Option(metavar="FILE.json", help="Write the summary to a file, too.")] = None,
    report: Annotated[
        bool, Option("--report", help="Write the summary and a map of the acceptance as a page beside the hits.")
    ] = False,
    decays: Annotated[
        bool, Option("--decays/--no-decays", help="Whether particles decay that do not live to the calorimeter.")
    ] = True,
    hits_format: Annotated[
        HitsFormat, Option("--format", help="Our own tree, as TTree, RNTuple or Parquet; or what Key4hep and EIC read.")
    ] = HitsFormat.TTREE,
    compression: Annotated[
        str, Option(metavar="METHOD:LEVEL", help="zlib:1 to 9, zstd:1 to 19, lz4:1 to 12, lzma:1 to 9, or none.")
    ] = "zlib:1",
    contributions: Annotated[
        bool, Option("--contributions", help="State what single particles made of each hit (EDM4hep always does).")
    ] = False,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace files that exist.")] = False,
) -> None:
    """Turn files of particles into a file of calorimeter hits.

    The true particles are found by evidence, in files of EDM4hep, NanoAOD, Delphes, HepMC3, xAOD, or with plain names
    (pdg, px, py, pz, ... in many spellings). What was found, in which units, is printed. Where that is not enough,
    --tree, --collection, --branch, --momentum-unit, --length-unit, --final-status or a --schema set it.

    With --events-per-file, workers make files of their own. A manifest beside them lists which are whole; after an
    interruption --resume makes those that are not. mpiexec makes workers of all processes but the first.

    Each particle is simulated, or counted under the reason why it is not. With --engine geant4 that is full simulation,
    thousands of times slower, of all species that Geant4 knows; it takes its physics from the detector's description.
    With --engine both it simulates the particles that the models refuse, so that none is missing.

    \b
    Examples:
      fastcalo convert events.root -o hits.root
      fastcalo convert run*.root -o hits.root --workers 8 --rejected rejected.root
      fastcalo convert ntuple.root -o hits.root --tree gen --branch pdg=mc_id
      fastcalo convert nano.root -o hits.root --collection GenCands
      fastcalo convert @list.txt -o "hits_{part:03}.root" --events-per-file 10000
      fastcalo convert run*.root -o hits.root --events-per-file 10000 --workers 8 --resume
      mpiexec -n 64 fastcalo convert run*.root -o hits.root --events-per-file 10000
      fastcalo convert run*.root -o hits.root --events-per-file 10000 --part "$SLURM_ARRAY_TASK_ID/100"
      fastcalo convert events.root -o hits.root --engine both --workers 8
      fastcalo convert events.root -o hits.edm4hep.root --format edm4hep
      fastcalo convert events.root -o hits.parquet --format parquet --compression zstd:5
    """  # noqa: D301
    stated = {
        "tree": tree,
        "collection": collection,
        "momentum_unit": momentum_unit,
        "length_unit": length_unit,
        "final_status": _codes(final_status),
    }
    # all options are checked before any file is read
    if engine is EngineName.GEANT4 and (
        unfit := [f"--{k}" for k, v in {"model": model, "threads": threads}.items() if v]
    ):
        raise BadParameter("is for the fast engine: Geant4 has no models, and one thread", param_hint=unfit)
    if resume and events_per_file is None and part is None:
        raise BadParameter("is for many files: --events-per-file or --part", param_hint="--resume")
    settings = _Settings(
        inputs=inputs,
        output=output,
        overrides=_overrides(schema, branch or [], stated),
        gather_rows=gather_rows,
        engine=engine,
        detector=detector,
        models=model,
        threads=threads,
        workers=workers,
        dask=dask,
        events_per_file=events_per_file,
        share=part,
        resume=resume,
        summary=summary,
        options={
            "step_size": step_size or _STEP_SIZE[engine],
            "rejected": rejected,
            "seed": seed,
            "decays": decays,
            "overwrite": overwrite,
            "format": hits_format,
            "compression": compression,
            "contributions": contributions,
            "report": output.with_suffix(".html") if report else None,
        },
    )
    with _executor(settings) as pool:
        # on ranks that have worked for the first there is nothing left to do
        if pool is not None:
            _convert(settings, *pool)


@dataclass(frozen=True)
class _Settings:
    """What the command was called with."""

    inputs: list[str]
    output: Path
    overrides: SchemaOverrides
    gather_rows: bool
    engine: EngineName
    detector: str
    models: list[str] | None
    threads: int | None
    workers: int
    dask: str | None
    events_per_file: int | None
    share: str | None
    resume: bool
    summary: Path | None
    options: dict[str, Any]


@contextmanager
def _executor(settings: _Settings) -> Iterator[tuple[Executor | None, int] | None]:
    """Where to simulate, if not in processes of this one, and how many workers there are; None on ranks that work."""
    from ..production.executors import dask_workers, mpi_ranks
    from ..system.launcher import ranks_started

    if ranks_started() > 1:
        with mpi_ranks() as ranks:
            yield ranks
    elif settings.dask is not None:
        with dask_workers(settings.dask, settings.workers) as workers:
            yield workers
    else:
        yield None, settings.workers


def _convert(settings: _Settings, pool: Executor | None, workers: int) -> None:
    """Convert on an executor, and show what was done."""
    from ..io.atomic import check_output
    from ..io.particles.reader import open_events
    from ..production.convert import convert
    from ..production.parts.plan import Share
    from ..production.parts.run import convert_in_parts
    from .output import progress_bar, show_rows, show_summary

    options, many = settings.options, settings.events_per_file is not None or settings.share is not None
    replace = bool(options["overwrite"]) or settings.resume
    for path, may in ((settings.output, replace), (options["rejected"], replace), (settings.summary, True)):
        if path is not None:
            check_output(path, overwrite=may)
    contributions = options["contributions"] or options["format"] is HitsFormat.EDM4HEP
    full = settings.engine is not EngineName.FAST
    with ExitStack() as exits:
        # processes of Geant4 are started by each worker, or by this process where there are no others
        alone = full and pool is None and not many
        chosen = exits.enter_context(_engine(settings, pool, workers, alone=alone, contributions=contributions))
        workers = 1 if alone else workers
        reader = open_events(settings.inputs, settings.overrides, gather=settings.gather_rows)
        show_rows("Input", reader.describe())
        run = convert
        if many:
            share = Share() if settings.share is None else Share.parse(settings.share)
            each = settings.events_per_file or max(1, -(-reader.repeats.events // share.of))
            run = partial(convert_in_parts, events_per_file=each, share=share, resume=settings.resume)
        done = run(
            reader,
            settings.output,
            chosen,
            workers=workers,
            executor=pool,
            progress=exits.enter_context(progress_bar("events")),
            **options,
        )
    # first, for whoever reads what is shown may be gone
    if settings.summary is not None:
        _write_summary(settings.summary, json.dumps(done.to_dict(), indent=2))
    show_summary(done)


def _overrides(schema: Path | None, branches: list[str], stated: dict[str, Any]) -> SchemaOverrides:
    from ..errors import ConfigError
    from ..io.particles.schemas import SchemaOverrides, load_overrides

    pairs = [text.partition("=") for text in branches]
    if wrong := [role for role, sign, name in pairs if not (role and sign and name)]:
        raise BadParameter(f"{wrong[0]!r} is not of the form ROLE=NAME", param_hint="--branch")
    try:
        given = SchemaOverrides({role: name for role, _, name in pairs})
    except ConfigError as error:
        raise BadParameter(str(error), param_hint="--branch") from None
    try:
        given = given.updated(SchemaOverrides(**stated))
    except ConfigError as error:
        raise BadParameter(str(error), param_hint="--momentum-unit / --length-unit") from None
    return given if schema is None else load_overrides(schema).updated(given)


def _codes(text: str | None) -> tuple[int, ...] | None:
    """Status codes as they are typed, such as ``1,11``."""
    if text is None:
        return None
    try:
        return tuple(int(code) for code in text.split(","))
    except ValueError:
        raise BadParameter(f"{text!r} is no list of whole numbers, such as 1,11", param_hint="--final-status") from None


@contextmanager
def _engine(
    settings: _Settings, pool: Executor | None, workers: int, *, alone: bool, contributions: bool
) -> Iterator[Engine]:
    """What simulates, until the block ends."""
    from ..fullsim.combined import CombinedSimulation
    from ..fullsim.engine import Geant4Simulation
    from ..fullsim.extent import with_widest_range
    from ..model.shower_model import DEFAULT_MODELS
    from ..simulation.fast import FastSimulation

    fast = full = None
    if settings.engine is not EngineName.GEANT4:
        threads = settings.threads or (_threads(workers) if pool is None else 1)
        models = settings.models or list(DEFAULT_MODELS)
        fast = FastSimulation(settings.detector, models, threads=threads, contributions=contributions)
    if settings.engine is not EngineName.FAST:
        detector = load_detector(settings.detector)
        # beside models it is there for all that they refuse
        detector = detector if fast is None else with_widest_range(detector)
        full = Geant4Simulation(detector, workers if alone else 1, contributions=contributions)
    if fast is not None and full is not None:
        with CombinedSimulation(fast, full) as both:
            yield both
    elif full is not None:
        with full:
            yield full
    elif fast is not None:
        yield fast


def _threads(workers: int) -> int | None:
    """Threads of each worker: what a model takes by itself, unless the workers have less than two cores each."""
    from ..model.onnx_session import available_cores

    return None if available_cores() >= 2 * workers else 1


def _write_summary(path: Path, text: str) -> None:
    from ..io.atomic import output_errors, whole_file

    with whole_file(path, overwrite=True) as temporary, output_errors(path):
        temporary.write_text(text + "\n", encoding="utf-8")
