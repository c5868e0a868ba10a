# SPDX-License-Identifier: BSD-3-Clause
"""Command ``fastcalo convert``."""

from __future__ import annotations

import json
from contextlib import ExitStack
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, BadParameter, Option

from ..detector.description import DEFAULT_DETECTOR
from ..io.hits.formats import HitsFormat

if TYPE_CHECKING:
    from ..fullsim.engine import Geant4Simulation
    from ..io.particles.schemas import SchemaOverrides
    from ..production.convert import Engine
    from ..simulation.fast import FastSimulation


class EngineName(StrEnum):
    """What simulates."""

    FAST = "fast"
    GEANT4 = "geant4"


# events simulated at a time: enough for the networks to be quick, few enough for progress to be seen
_STEP_SIZE = {EngineName.FAST: 500, EngineName.GEANT4: 10}


def command(
    inputs: Annotated[list[str], Argument(metavar="IN.root...", help="Files of particles, or their URLs.")],
    output: Annotated[
        Path, Option("--output", "-o", "--output-pattern", metavar="OUT.root", help="File of hits to write.")
    ],
    model: Annotated[
        list[str] | None,
        Option(help="Shower model: a shipped name or an .onnx file. May be repeated.", show_default="em, hadron"),
    ] = None,
    detector: Annotated[str, Option(help="Detector: a shipped name or a .toml file.")] = DEFAULT_DETECTOR,
    engine: Annotated[EngineName, Option(help="What simulates.")] = EngineName.FAST,
    seed: Annotated[int, Option(help="The same seed gives the same hits.", min=0)] = 0,
    workers: Annotated[int, Option(help="Processes that simulate.", min=1)] = 1,
    step_size: Annotated[
        int | None,
        Option("--step-size", "--chunk", help="Events at a time.", min=1, show_default="500, or 10 with Geant4"),
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
    summary: Annotated[Path | None, Option(metavar="FILE.json", help="Write the summary to a file, too.")] = None,
    report: Annotated[
        bool, Option("--report", help="Write the summary and a map of the acceptance as a page beside the hits.")
    ] = False,
    decays: Annotated[
        bool, Option("--decays/--no-decays", help="Whether particles decay that do not live to the calorimeter.")
    ] = True,
    hits_format: Annotated[
        HitsFormat, Option("--format", help="Format of the hits: our own tree, or what Key4hep and EIC read.")
    ] = HitsFormat.TTREE,
    contributions: Annotated[
        bool, Option("--contributions", help="Tell what single particles made of each hit (EDM4hep always does).")
    ] = False,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace files that exist.")] = False,
) -> None:
    """Turn files of particles into a file of calorimeter hits.

    The true particles are found by evidence, in files of EDM4hep, NanoAOD, Delphes, HepMC3, xAOD, or with plain names
    (pdg, px, py, pz, ... in many spellings). What was found, in which units, is printed. Where that is not enough,
    --tree, --collection, --branch, --momentum-unit, --length-unit, --final-status or a --schema set it.

    Each particle is simulated, or counted under the reason why it is not. With --engine geant4 that is full simulation,
    thousands of times slower, of all species that Geant4 knows; it takes its physics from the detector's description.

    \b
    Examples:
      fastcalo convert events.root -o hits.root
      fastcalo convert run*.root -o hits.root --workers 8 --rejected rejected.root
      fastcalo convert ntuple.root -o hits.root --tree gen --branch pdg=mc_id
      fastcalo convert nano.root -o hits.root --collection GenCands
      fastcalo convert @list.txt -o "hits_{part:03}.root" --events-per-file 10000
      fastcalo convert rejected.root -o more.root --engine geant4 --workers 8
      fastcalo convert events.root -o hits.edm4hep.root --format edm4hep
    """  # noqa: D301
    from ..io.atomic import check_output
    from ..io.particles.reader import open_events
    from ..model.shower_model import DEFAULT_MODELS
    from ..production.convert import convert
    from ..production.split import convert_in_files
    from .output import progress_bar, show_rows, show_summary

    said = {
        "tree": tree,
        "collection": collection,
        "momentum_unit": momentum_unit,
        "length_unit": length_unit,
        "final_status": _codes(final_status),
    }
    # everything that was said, before any file is read
    if engine is EngineName.GEANT4 and (
        unfit := [f"--{k}" for k, v in {"model": model, "threads": threads}.items() if v]
    ):
        raise BadParameter("is for the fast engine: Geant4 has no models, and one thread", param_hint=unfit)
    overrides = _overrides(schema, branch or [], said)
    for path, replace in ((output, overwrite), (rejected, overwrite), (summary, True)):
        if path is not None:
            check_output(path, overwrite=replace)
    told = contributions or hits_format is HitsFormat.EDM4HEP
    with ExitStack() as exits:
        if engine is EngineName.GEANT4:
            chosen: Engine = exits.enter_context(_geant4(detector, workers, told))
        else:
            chosen = _fast(detector, model or list(DEFAULT_MODELS), threads or _threads(workers), told)
        reader = open_events(inputs, overrides, gather=gather_rows)
        show_rows("Input", reader.describe())
        run = convert if events_per_file is None else partial(convert_in_files, events_per_file=events_per_file)
        done = run(
            reader,
            output,
            chosen,
            step_size=step_size or _STEP_SIZE[engine],
            workers=workers if engine is EngineName.FAST else 1,
            rejected=rejected,
            seed=seed,
            decays=decays,
            overwrite=overwrite,
            format=hits_format,
            contributions=contributions,
            report=output.with_suffix(".html") if report else None,
            progress=exits.enter_context(progress_bar("events")),
        )
    # first, for whoever reads what is shown may be gone
    if summary is not None:
        _write_summary(summary, json.dumps(done.to_dict(), indent=2))
    show_summary(done)


def _overrides(schema: Path | None, branches: list[str], said: dict[str, Any]) -> SchemaOverrides:
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
        given = given.updated(SchemaOverrides(**said))
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


def _fast(detector: str, models: list[str], threads: int | None, contributions: bool) -> FastSimulation:
    from ..simulation.fast import FastSimulation

    return FastSimulation(detector, models, threads=threads, contributions=contributions)


def _geant4(detector: str, workers: int, contributions: bool) -> Geant4Simulation:
    from ..fullsim.engine import Geant4Simulation

    return Geant4Simulation(detector, workers, contributions=contributions)


def _threads(workers: int) -> int | None:
    """Threads of each worker: what a model takes by itself, unless the workers have less than two cores each."""
    from ..model.onnx_session import available_cores

    return None if available_cores() >= 2 * workers else 1


def _write_summary(path: Path, text: str) -> None:
    from ..io.atomic import output_errors, whole_file

    with whole_file(path, overwrite=True) as temporary, output_errors(path):
        temporary.write_text(text + "\n", encoding="utf-8")
