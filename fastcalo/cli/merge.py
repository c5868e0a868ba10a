# SPDX-License-Identifier: BSD-3-Clause
"""Command ``fastcalo merge``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, BadParameter, Option


def command(
    hits: Annotated[
        Path, Argument(metavar="HITS", help="Hits, made with --rejected; or the folder of a conversion to many files.")
    ],
    rest: Annotated[
        Path | None, Argument(metavar="[REST.root]", help="Hits of the rejected particles.", show_default=False)
    ] = None,
    *,
    output: Annotated[Path, Option("--output", "-o", metavar="OUT.root", help="File of hits to write.")],
    detector: Annotated[
        str | None, Option(help="Detector of both files, where they don't name a shipped one: a name or a .toml file.")
    ] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace the file if it exists.")] = False,
) -> None:
    """Add what full simulation made of refused particles to a file of hits, or make one file of many.

    Two files hold the same events. Cells that both have become one hit; the particles are counted as if one engine had
    simulated all of them.

    A folder holds what 'fastcalo convert' has made with --events-per-file. Its parts become one file, in their order,
    if all are there and have the digests that the manifest states.

    \b
    Examples:
      fastcalo merge fast.root rest.root -o hits.root
      fastcalo merge production -o hits.root
    after
      fastcalo convert events.root -o fast.root --rejected rejected.root
      fastcalo convert rejected.root -o rest.root --engine geant4
    """  # noqa: D301
    from ..production.merge import merge
    from ..production.parts.join import join_parts
    from .output import progress_bar, show_summary

    if rest is None and hits.is_file() and hits.suffix != ".jsonl":
        raise BadParameter("is missing: hits of the rejected particles", param_hint="REST.root")
    with progress_bar("events") as progress:
        if rest is None:
            summary = join_parts(hits, output, detector=detector, overwrite=overwrite, progress=progress)
        else:
            summary = merge(hits, rest, output, detector=detector, overwrite=overwrite, progress=progress)
    show_summary(summary)
