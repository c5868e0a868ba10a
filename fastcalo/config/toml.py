# SPDX-License-Identifier: BSD-3-Clause
"""Reading of TOML files."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from ..errors import ConfigError, FastCaloError
from .validation import dotted, shown

LARGEST_BYTES = 4 << 20
"""Size of a file above which it is no configuration."""


def read_toml(path: str | os.PathLike[str], error: type[FastCaloError] = ConfigError) -> dict[str, Any]:
    """What stands in a TOML file.

    Parameters
    ----------
    path : str or Path
    error : type of FastCaloError
        What is raised.

    Raises
    ------
    FastCaloError
        The file cannot be read, is far too large, or is not TOML; or a whole number has more than 64 bits.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
        if len(content) > LARGEST_BYTES:
            raise error(f"{path}: has more than {LARGEST_BYTES >> 20} MiB, and can be no configuration")
        table = tomllib.loads(content.decode())
    except OSError as problem:
        raise error(f"{path}: cannot be read: {problem.strerror or problem}") from problem
    except ValueError as problem:  # of the text or of its bytes
        raise error(f"{path}: is not valid TOML: {problem}") from problem
    except RecursionError as problem:
        raise error(f"{path}: is not valid TOML: lists or tables are nested too deeply") from problem
    _check_whole_numbers(table, path, error)
    return table


def _check_whole_numbers(table: dict[str, Any], path: str | os.PathLike[str], error: type[FastCaloError]) -> None:
    """Refuse whole numbers beyond the 64 bits that TOML speaks of; Python reads, and cannot print, longer ones."""
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), table)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [((*place, key), below) for key, below in value.items()]
        elif isinstance(value, list):
            waiting += [((*place, number), below) for number, below in enumerate(value)]
        elif isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
            raise error(f"{path}: {dotted(place)}: must be a whole number of at most 64 bits, but is {shown(value)}")
