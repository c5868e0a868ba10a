# SPDX-License-Identifier: BSD-3-Clause
"""Command ``fastcalo compare``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

if TYPE_CHECKING:
    from rich.table import Table

    from ..validation.hits.compare import HitsComparison
    from ..validation.hits.paired import PairedMean
    from ..validation.hits.physics import SectionSums


EXIT_CODES = {
    "1": "the schemas differ, or it could not be done: standard error has the reason",
    "3": "a limit on the physics is not kept",
}


def command(
    full: Annotated[str, Argument(metavar="FULL.root", help="Hits of the reference: full simulation.")],
    fast: Annotated[str, Argument(metavar="FAST.root", help="Hits that are to stand for it, of the same events.")],
    output: Annotated[
        Path | None, Option("--output", "-o", metavar="FOLDER", help="Write comparison.json and a figure to a folder.")
    ] = None,
    detector: Annotated[
        str | None, Option(help="Detector of both files, where they don't name a shipped one: a name or a .toml file.")
    ] = None,
    limits: Annotated[
        Path | None,
        Option(
            metavar="FILE.toml",
            help="Limits on the physics; if one is not kept, the command ends with 3.",
            show_default="no p below 1e-6",
        ),
    ] = None,
    as_json: Annotated[bool, Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Check whether two files of hits can stand for each other.

    First their schemas, which must be the same for a drop-in: trees, branches, types, units, cell IDs, positions,
    thresholds and the order of events. Then what the two simulations made of the same events, and whether that keeps
    limits.

    \b
    Examples:
      fastcalo compare full.root fast.root
      fastcalo compare full.root fast.root -o comparison
      fastcalo compare full.root fast.root --limits limits.toml --json
    """  # noqa: D301
    from ..validation.hits.compare import compare
    from .output import print_json

    if output is not None:
        _make_folder(output)
    result = compare(full, fast, detector, limits=limits)
    if output is not None:
        _write(result, output)
    if as_json:
        print_json(result.to_dict())
    else:
        _show(result)
    if not result.drop_in:
        raise typer.Exit(1)
    if not result.kept:
        raise typer.Exit(3)


def _make_folder(folder: Path) -> None:
    from ..errors import OutputError
    from ..io.atomic import output_errors

    if folder.is_file():
        raise OutputError(f"{folder}: is a file; give the name of a folder")
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)


def _write(result: HitsComparison, folder: Path) -> None:
    from ..io.atomic import output_errors, whole_file
    from ..validation.hits.figure import draw

    path = folder / "comparison.json"
    with whole_file(path, overwrite=True) as temporary, output_errors(path):
        temporary.write_text(json.dumps(result.to_dict(), indent=2) + "\n", encoding="utf-8")
    if result.physics is not None and not all(sums.empty for sums in result.physics.all.values()):
        draw(result.physics, ("full", "fast"), folder / "comparison.png", overwrite=True)


def _show(result: HitsComparison) -> None:
    from .output import console, show_rows

    show_rows("Files", [("FULL", result.full), ("FAST", result.fast)])
    verdict = "no difference: what reads one file reads the other" if result.drop_in else ""
    show_rows("Schema", [("", verdict)] if verdict else [("", line) for line in result.differences])
    if result.notes:
        show_rows("Notes", [("", line) for line in result.notes])
    if result.accounts:
        console().print(_accounts(result))
    if result.physics is None:
        return
    physics = result.physics
    titles = [("all events", physics.events, physics.all)]
    if physics.set_apart:
        titles.append(
            ("events in which both simulated the same particles but soft ones", physics.events_alike, physics.alike)
        )
    for title, events, sections in titles:
        for name, sums in sections.items():
            if not sums.empty:
                console().print(_numbers(f"{name}: {title} ({events})", sums))
    _show_verdicts(result)


def _show_verdicts(result: HitsComparison) -> None:
    from .output import console

    out = console()
    for v in result.verdicts:
        if not v.kept:
            text = f"{v.limit.name} = {v.number.value:.4g}" + (f" ± {v.number.error:.2g}" if v.number.error else "")
            allowed = f" ({v.limit.sigmas:g} errors allowed)" if v.limit.sigmas else ""
            line = f"NOT KEPT: {text}, {v.limit.kind} {v.limit.bound:g}{allowed}"
            out.print(line, style="bold red", soft_wrap=True)
    if result.verdicts:
        missed = sum(not v.kept for v in result.verdicts)
        text = f"{missed} of {len(result.verdicts)} limits are not kept: " if missed else ""
        text += "the physics differs" if missed else f"all {len(result.verdicts)} limits are kept"
        out.print(f"Physics: {text}", style="bold")


def _accounts(result: HitsComparison) -> Table:
    from ..event.events import Reason

    texts = {reason.name.lower(): reason.text for reason in Reason}
    columns = ("FULL", "GeV", "FAST", "GeV", "FAST − FULL [GeV]")
    table = _table("Particles by what became of them, and their kinetic energy", "what", *columns)
    for reason, sides in result.accounts.items():
        one, other = sides["full"], sides["fast"]
        if one["count"] or other["count"]:
            cells = [f"{one['count']}", f"{one['energy']:.3f}", f"{other['count']}", f"{other['energy']:.3f}"]
            table.add_row(texts.get(reason, reason), *cells, f"{other['energy'] - one['energy']:+.3f}")
    return table


def _numbers(title: str, sums: SectionSums) -> Table:
    from ..validation.hits.physics import SCALARS, SPECTRA

    columns = ("mean FULL", "rms", "mean FAST", "rms", "FAST / FULL", "correlation", "p")
    table = _table(title, "per event", *columns)
    for key, (text, unit) in SCALARS.items():
        if sums.scalars[key].n:
            table.add_row(f"{text} [{unit}]" if unit else text, *_cells(sums.scalars[key]))
    table.add_section()
    for key, (text, _) in SPECTRA.items():
        chi2, degrees, p_value = sums.spectra[key].test
        if sums.spectra[key].n:
            tested = f"chi2 {chi2:.1f} / {degrees}" if degrees else "too few events" if math.isnan(chi2) else "equal"
            table.add_row(text, "", "", "", "", tested, "", _number(p_value, ".2g"))
    return table


def _cells(pair: PairedMean) -> list[str]:
    numbers = [x for both in zip(pair.mean, pair.rms, strict=True) for x in both]
    ratio, error = pair.ratio
    ratios = f"{ratio:.4f} ± {error:.4f}" if math.isfinite(ratio) else "–"
    return [
        *(_number(x, ".4g") for x in numbers),
        ratios,
        _number(pair.correlation, ".3f"),
        _number(pair.p_value, ".2g"),
    ]


def _number(number: float, form: str) -> str:
    return f"{number:{form}}" if math.isfinite(number) else "–"


def _table(title: str, first: str, *others: str) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table
