# SPDX-License-Identifier: BSD-3-Clause
"""Command ``fastcalo export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from fastcalo.cli.commands import Subcommand

COMMANDS = (
    Subcommand("export", "Turn a trained model into one self-describing ONNX file.", "fastcalo.export.cli", "export"),
)
"""Sub-commands of this folder."""


def command(
    run: Annotated[
        Path, Argument(metavar="RUN", help="Folder of a finished training; or, for --cpp-example, a model.")
    ],
    output: Annotated[Path | None, Option("--output", "-o", metavar="MODEL.onnx", help="File to write.")] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace the file if it exists.")] = False,
    cpp_example: Annotated[
        Path | None, Option("--cpp-example", metavar="DIR", help="Write a CMake project around the model, too.")
    ] = None,
) -> None:
    """Turn a trained model into one self-describing ONNX file.

    The file holds the whole sampler and its contract. It is written only if it draws the same showers as the trained
    model does from the same noise, over all of the validity domain.

    \b
    Example:
      fastcalo export runs/em -o em.onnx
      fastcalo export em.onnx --cpp-example my-project
    """  # noqa: D301
    from fastcalo.errors import ConfigError

    if output is None:
        if cpp_example is None:
            raise ConfigError("fastcalo export: name the file to write (-o MODEL.onnx)")
        _write_example(run, cpp_example)
        return
    from fastcalo.cli.output import console, show_rows
    from fastcalo.production.inspect import inspect

    from .exporter import export

    export(run, output, overwrite=overwrite, status=lambda text: console().print(f"{text} ..."))
    report = inspect(output)
    for heading, rows in report.parts:
        show_rows(heading or report.title, rows)
    if cpp_example is not None:
        _write_example(output, cpp_example)


def _write_example(model: Path, folder: Path) -> None:
    from fastcalo.cli.output import console

    from .cpp_example import write_cpp_example

    for path in write_cpp_example(str(model), folder):
        console().print(str(path))
