# SPDX-License-Identifier: BSD-3-Clause
"""Commands of training: ``train``, ``doctor``, ``scaling`` and ``tune``."""

from __future__ import annotations

from fastcalo.cli.commands import Subcommand

_FOLDER = "fastcalo.training.cli"

COMMANDS = tuple(
    Subcommand(name, summary, f"{_FOLDER}.{name}", extra, joins_others=True)
    for name, extra, summary in (
        ("train", "train", "Train a shower model on full simulation."),
        ("doctor", "mpi", "Check whether this machine can train, and what to repair."),
        ("scaling", "mpi", "Measure how fast a training is on several numbers of ranks."),
        ("tune", "tune", "Search for the best hyper-parameters of a training."),
    )
)
"""Sub-commands of this folder, in the order in which ``fastcalo --help`` lists them."""
