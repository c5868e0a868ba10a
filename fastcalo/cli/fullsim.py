# SPDX-License-Identifier: BSD-3-Clause
"""Simulate showers with Geant4, for training and tests.

\b
Examples:
  fastcalo fullsim gun -o em.h5 --events 10000 --workers 8
  fastcalo fullsim again em.h5 --shower 17 -o again.h5
"""  # noqa: D301

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, BadParameter, Option

from ..detector.description import DEFAULT_DETECTOR
from ..fullsim.gun import Spectrum

if TYPE_CHECKING:
    from ..fullsim.campaign import GunResult


def gun(
    output: Annotated[Path, Option("--output", "-o", metavar="OUT.h5", help="File of showers to write.")],
    species: Annotated[
        list[str] | None,
        Option(
            metavar="CODE|NAME",
            help="Species, by PDG code or name. May be repeated, or hold several with commas.",
            show_default="e-,e+,gamma",
        ),
    ] = None,
    events: Annotated[int, Option("--events", "-n", help="Number of showers.", min=1)] = 100,
    energy: Annotated[tuple[float, float], Option(metavar="LOW HIGH", help="Range of kinetic energies, GeV.")] = (
        0.1,
        100.0,
    ),
    spectrum: Annotated[Spectrum, Option(help="Energies even in their logarithm, or flat.")] = Spectrum.LOG,
    cone: Annotated[float, Option(help="Largest angle to the layers' normal, degrees.")] = 56.0,
    seed: Annotated[int, Option(help="The same seed gives the same showers.", min=0)] = 0,
    entry_spread: Annotated[
        float | None,
        Option(
            metavar="MM",
            help="Entry points lie within this of a cell's centre, along x and along y.",
            show_default="the cell of the first section",
            min=0,
        ),
    ] = None,
    window: Annotated[
        int | None,
        Option(
            metavar="CELLS",
            help="Cells along x and y that are kept around the line of flight; 0 keeps all.",
            show_default="those of the detector",
            min=0,
        ),
    ] = None,
    times: Annotated[bool, Option("--times", help="Keep the mean time of each deposit, too; takes longer.")] = False,
    workers: Annotated[int, Option(help="Processes of Geant4.", min=1)] = 1,
    detector: Annotated[str, Option(help="Detector: a shipped name or a .toml file.")] = DEFAULT_DETECTOR,
    part: Annotated[int, Option(help="Showers after which what is done is safe.", min=1)] = 100,
    resume: Annotated[bool, Option("--resume", help="Go on with an interrupted run, if there is one.")] = False,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace what exists, an unfinished run too.")] = False,
) -> None:
    """Shoot particles at the calorimeter, one shower each.

    They enter the central cell of the first section, evenly spread over it, in directions that are isotropic within the
    cone; for models of whole showers, spread them over a cell of the coarsest section and keep all cells. Finished
    parts lie in the folder OUT.h5.parts until all is done: they are files of showers, too. What comes out depends on
    the seed, but not on --workers, --part or interruptions.

    \b
    Examples:
      fastcalo fullsim gun -o em.h5 --events 10000 --workers 8
      fastcalo fullsim gun -o em.h5 --events 10000 --workers 8 --resume
      fastcalo fullsim gun -o hadrons.h5 --species pi+ --species pi- --species 130 --energy 1 50 --cone 30
      fastcalo fullsim gun -o whole.h5 --entry-spread 15 --window 0 --times --energy 0.02 100 --cone 75
      fastcalo fullsim gun -o muons.h5 --species 13,-13 --spectrum flat --seed 2
    """  # noqa: D301
    from ..fullsim.campaign import gun as shoot
    from .output import progress_bar

    with progress_bar("showers") as report, _saying_how_to_go_on(output):
        made = shoot(
            output,
            events,
            detector=detector,
            species=_codes(species or ["11,-11,22"]),
            energy=energy,
            spectrum=spectrum,
            cone_degrees=cone,
            seed=seed,
            entry_spread_mm=entry_spread,
            window=window,
            times=times,
            workers=workers,
            part=part,
            resume=resume,
            overwrite=overwrite,
            progress=report,
        )
    _show(made)


def again(
    source: Annotated[Path, Argument(metavar="DATA.h5", help="File of showers.")],
    shower: Annotated[list[int], Option(help="Number of a shower, from 0. May be repeated.", min=0)],
    output: Annotated[Path, Option("--output", "-o", metavar="OUT.h5", help="File of showers to write.")],
    detector: Annotated[
        str | None, Option(help="Detector: a shipped name or a .toml file.", show_default="what DATA.h5 describes")
    ] = None,
    workers: Annotated[int, Option(help="Processes of Geant4.", min=1)] = 1,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace the file if it exists.")] = False,
) -> None:
    """Simulate showers of a file again, from their conditions and seeds.

    With the same version of Geant4 and the same data sets, every deposit is the same to the last bit.

    \b
    Example:
      fastcalo fullsim again em.h5 --shower 17 --shower 4711 -o again.h5
    """  # noqa: D301
    from ..fullsim.campaign import repeat_showers

    made = repeat_showers(source, shower, output, detector=detector, workers=workers, overwrite=overwrite)
    _show(made)


commands = {"gun": gun, "again": again}


def _codes(texts: list[str]) -> tuple[int, ...]:
    from ..particles import code_of

    codes = {text: code_of(text) for text in ",".join(texts).split(",")}
    if unknown := [text for text, code in codes.items() if code is None]:
        raise BadParameter(f"{unknown[0]!r} is neither a PDG code nor a particle's name", param_hint="--species")
    return tuple(code for code in codes.values() if code is not None)


@contextmanager
def _saying_how_to_go_on(output: Path) -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        folder = output.with_name(output.name + ".parts")
        parts = len(list(folder.glob("part-*.h5")))
        sys.stderr.write(f"stopped; {folder} keeps {parts} finished parts: the same command with --resume goes on\n")
        raise


def _show(made: GunResult) -> None:
    from .output import console

    rate = f"{1 / made.seconds_per_shower:.3g} showers per second and core in Geant4"
    console().print(f"{made.path}: {made.showers} showers; {rate}", soft_wrap=True)
