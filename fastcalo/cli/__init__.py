# SPDX-License-Identifier: BSD-3-Clause
"""Command line: the ``fastcalo`` command, and the sub-commands of the runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from .commands import Subcommand

COMMANDS = (
    Subcommand(
        "convert",
        "Turn files of particles into a file of calorimeter hits.",
        "fastcalo.cli.convert",
        "cpu",
        joins_others=True,
    ),
    Subcommand("status", "Report how far a conversion to many files is.", "fastcalo.cli.status", "cpu"),
    Subcommand("display", "Draw an event as a page for the browser.", "fastcalo.cli.display", "cpu"),
    Subcommand("list", "List the models and detectors that are shipped.", "fastcalo.cli.list", "cpu"),
    Subcommand("inspect", "Describe a file, a detector or a model.", "fastcalo.cli.inspect", "cpu"),
    Subcommand("merge", "Add hits of refused particles, or make one file of many.", "fastcalo.cli.merge", "cpu"),
    Subcommand(
        "compare", "Check whether two files of hits can stand for each other.", "fastcalo.cli.compare", "validate"
    ),
    Subcommand("fullsim", "Simulate showers with Geant4, for training and tests.", "fastcalo.cli.fullsim", "geant4"),
    Subcommand(
        "validate", "Compare a model with full simulation, number by number.", "fastcalo.cli.validate", "validate"
    ),
    Subcommand("schema", "Print the JSON schema of a configuration file, for editors.", "fastcalo.cli.schema", "cpu"),
)
"""Sub-commands of this folder, in the order in which ``fastcalo --help`` lists them."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command with `arguments`, those of the process unless given, and exit."""
    from .main import run

    run(arguments)
