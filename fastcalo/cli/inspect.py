# SPDX-License-Identifier: BSD-3-Clause
"""Command ``fastcalo inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option


def command(
    things: Annotated[list[str], Argument(metavar="FILE...", help="Files, or names of shipped detectors and models.")],
    binning: Annotated[
        Path | None,
        Option(metavar="XML", help="Binning of CaloChallenge showers, unless it lies beside them."),
    ] = None,
    pdg: Annotated[int | None, Option(metavar="CODE", help="Species of showers whose file does not state it.")] = None,
    as_json: Annotated[bool, Option("--json", help="Print a list of descriptions as JSON.")] = False,
) -> None:
    """Describe a file, a detector or a model.

    Takes ROOT files, files of showers (.h5; also those of LCD/3DGAN, the CaloChallenge and CaloGAN), detectors (.toml)
    and models (.onnx). Of a model it lists all that is needed to run its graph: inputs, noise, rows of noise,
    outputs.

    \b
    Examples:
      fastcalo inspect hits.root
      fastcalo inspect clic-like em
      fastcalo inspect em --json
    """  # noqa: D301
    from ..production.inspect import inspect
    from .output import console, print_json, show_rows

    reports = [inspect(thing, binning=binning, pdg=pdg) for thing in things]
    if as_json:
        print_json([{"title": report.title, **report.facts} for report in reports])
        return
    for report in reports:
        console().print(report.title, style="bold underline")
        for heading, rows in report.parts:
            show_rows(heading, rows)
