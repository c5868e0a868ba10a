# SPDX-License-Identifier: BSD-3-Clause
"""Formats of files of hits, by the names that a user gives them."""

from __future__ import annotations

from enum import StrEnum

from ...errors import ConfigError


class HitsFormat(StrEnum):
    """Format of a file of hits."""

    TTREE = "ttree"
    RNTUPLE = "rntuple"
    PARQUET = "parquet"
    EDM4HEP = "edm4hep"

    @classmethod
    def of(cls, name: str) -> HitsFormat:
        """The format of that name.

        Raises
        ------
        ConfigError
            There is none.
        """
        try:
            return cls(name)
        except ValueError:
            raise ConfigError(f"format: {name!r} is none; use one of {[str(f) for f in cls]}") from None
