# SPDX-License-Identifier: BSD-3-Clause
"""Command ``fastcalo tune report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

if TYPE_CHECKING:
    from ..tune.report.report import TuneReport


def command(
    study: Annotated[Path, Argument(metavar="STUDY", help="Folder of a search; it may still run.")],
    output: Annotated[
        Path, Option("--output", "-o", metavar="FOLDER", help="Where index.html, report.json and best.toml go.")
    ],
    baseline: Annotated[
        list[Path] | None,
        Option(metavar="STUDY", help="Another study of the same space, such as a random search. May be repeated."),
    ] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace a report that exists.")] = False,
) -> None:
    """Report what a study found: the best trial, how soon it was found, and what matters.

    The report is one page with all tables and figures (index.html), the numbers for machines (report.json), and the
    training's configuration with the best trial's values (best.toml), for `fastcalo train`.

    \b
    Examples:
      fastcalo tune report study -o report
      fastcalo tune report study -o report --baseline random --overwrite
    """  # noqa: D301
    from fastcalo.cli.output import console
    from fastcalo.validation.html_report import NUMBERS, PAGE, check_folder

    from ..tune.report.report import BEST, report_study

    check_folder(output, (PAGE, NUMBERS, BEST), overwrite=overwrite)
    found = report_study(study, baseline or [])
    output.mkdir(exist_ok=True)
    found.write(output, overwrite=overwrite)
    _show(found)
    console().print(f"Report: {output / PAGE}", soft_wrap=True)


def _show(report: TuneReport) -> None:
    """Print the head, the best trials and what they are compared with."""
    from fastcalo.cli.output import show_rows

    show_rows(report.title, report.summary())
