"""``fastcalo inspect``."""

from __future__ import annotations

from typing import Annotated

from typer import Argument


def command(
    things: Annotated[list[str], Argument(metavar="FILE...", help="Files, or names of shipped detectors and models.")],
) -> None:
    """Tell what a file, a detector or a model is.

    Takes ROOT files, files of showers (.h5), detectors (.toml) and models (.onnx).

    \b
    Examples:
      fastcalo inspect hits.root
      fastcalo inspect clic-like em
    """  # noqa: D301
    from ..inspection import inspect
    from .output import console, show_rows

    for thing in things:
        report = inspect(thing)
        console().print(report.title, style="bold underline")
        for heading, rows in report.parts:
            show_rows(heading, rows)
