# SPDX-License-Identifier: BSD-3-Clause
"""Commands of training: ``train``, ``doctor``, ``scaling`` and ``tune``."""

from __future__ import annotations

from fastcalo.cli.commands import Subcommand

COMMANDS = (
    Subcommand("train", "Train a shower model on full simulation.", "fastcalo.training.cli.train", "train"),
    Subcommand(
        "doctor",
        "Check whether this machine is fit to train, and what to repair.",
        "fastcalo.training.cli.doctor",
        "mpi",
    ),
    Subcommand(
        "scaling", "Measure how fast a training is on several numbers of ranks.", "fastcalo.training.cli.scaling", "mpi"
    ),
    Subcommand("tune", "Search for the best hyper-parameters of a training.", "fastcalo.training.cli.tune", "tune"),
)
"""Sub-commands of this folder, in the order in which ``fastcalo --help`` lists them."""
