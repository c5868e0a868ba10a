"""Search for the best hyper-parameters of a training, and report it."""

from __future__ import annotations

from .tune_report import command as report

commands = {"report": report}
