# SPDX-License-Identifier: BSD-3-Clause
"""Command ``fastcalo display``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option


def command(
    hits: Annotated[Path, Argument(metavar="HITS.root", help="File of hits, ours or EDM4hep.")],
    output: Annotated[Path, Option("--output", "-o", metavar="OUT.html", help="Page to write.")],
    event: Annotated[int, Option(help="Number of the entry.", min=0)] = 0,
    inputs: Annotated[
        Path | None, Option(metavar="IN.root", help="File of its particles, unless the hits state where it is.")
    ] = None,
    detector: Annotated[str | None, Option(help="Detector: a shipped name or a .toml file.")] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace a file that exists.")] = False,
) -> None:
    """Draw an event as a page for the browser: detector, hits and particles, to be turned and zoomed.

    The page needs nothing else, and no network. A slider hides hits of low energy.

    \b
    Example:
      fastcalo display hits.root --event 3 -o event.html
    """  # noqa: D301
    from ..production.event_display import display
    from .output import console

    display(hits, output, event, inputs=inputs, detector=detector, overwrite=overwrite)
    console().print(f"Open {output} in a browser", soft_wrap=True)
