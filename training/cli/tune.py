# SPDX-License-Identifier: BSD-3-Clause
"""Search for the best hyper-parameters of a training, and report it."""

from __future__ import annotations

from .tune_report import command as report
from .tune_search import command

commands = {"report": report}

__all__ = ["command", "commands"]
