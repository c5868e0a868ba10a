# SPDX-License-Identifier: BSD-3-Clause
"""Command ``fastcalo status``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

EXIT_CODES = {"3": "parts are missing"}


def command(
    folder: Annotated[Path, Argument(metavar="FOLDER", help="Folder of the files, or a manifest in it.")],
    check: Annotated[bool, Option("--check", help="Compare the digests of all files with the manifest's.")] = False,
    as_json: Annotated[bool, Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Report how far a conversion to many files is, and which parts are missing.

    It is read from the manifests that 'fastcalo convert' writes beside the files with --events-per-file or --part, also
    while it runs.

    \b
    Examples:
      fastcalo status production
      fastcalo status production --check
    """  # noqa: D301
    from ..production.parts.status import production_status
    from .output import print_json, show_rows

    status = production_status(folder, check=check)
    if as_json:
        print_json(status.to_dict())
    else:
        show_rows(str(folder), status.describe())
    if not status.complete:
        raise typer.Exit(3)
