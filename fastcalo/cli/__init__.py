"""The ``fastcalo`` command."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command with `arguments`, those of the process unless given, and exit."""
    from .main import run

    run(arguments)
