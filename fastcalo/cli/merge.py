# SPDX-License-Identifier: BSD-3-Clause
"""Command ``fastcalo merge``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option


def command(
    hits: Annotated[Path, Argument(metavar="HITS.root", help="Hits, made with --rejected.")],
    rest: Annotated[Path, Argument(metavar="REST.root", help="Hits of the rejected particles.")],
    output: Annotated[Path, Option("--output", "-o", metavar="OUT.root", help="File of hits to write.")],
    detector: Annotated[
        str | None, Option(help="Detector of both files, where they don't name a shipped one: a name or a .toml file.")
    ] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace the file if it exists.")] = False,
) -> None:
    """Add what full simulation made of refused particles to a file of hits.

    Both files hold the same events. Cells that both have become one hit; the particles are counted as if one engine had
    simulated all of them.

    \b
    Example:
      fastcalo merge fast.root rest.root -o hits.root
    after
      fastcalo convert events.root -o fast.root --rejected rejected.root
      fastcalo convert rejected.root -o rest.root --engine geant4
    """  # noqa: D301
    from ..production.merge import merge
    from .output import progress_bar, show_summary

    with progress_bar("events") as progress:
        summary = merge(hits, rest, output, detector=detector, overwrite=overwrite, progress=progress)
    show_summary(summary)
