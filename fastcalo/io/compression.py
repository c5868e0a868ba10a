# SPDX-License-Identifier: BSD-3-Clause
"""Compression of files of hits: method and level, as ROOT and Parquet name them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..errors import ConfigError

# levels of each method, and what Parquet calls it
_METHODS = {
    "none": (0, 0, "NONE"),
    "zlib": (1, 9, "GZIP"),
    "zstd": (1, 19, "ZSTD"),
    "lz4": (1, 12, "LZ4"),
    "lzma": (1, 9, ""),
}
_USUAL = {"none": 0, "zlib": 1, "zstd": 5, "lz4": 4, "lzma": 6}


@dataclass(frozen=True)
class Compression:
    """How a file is packed.

    Attributes
    ----------
    method : str
        ``none``, ``zlib``, ``zstd``, ``lz4`` or ``lzma``. By default one with a checksum, for ROOT has none of its own:
        of single bits flipped in a file of hits, ZSTD gave other numbers without a word for five in six, LZ4 for one in
        five, ZLIB for none. ZLIB takes 7 % more space than ZSTD.
    level : int
    """

    method: str = "zlib"
    level: int = 1

    def __post_init__(self) -> None:
        if self.method not in _METHODS:
            raise ConfigError(f"compression: there is no {self.method!r}; use one of {list(_METHODS)}")
        low, high, _ = _METHODS[self.method]
        if not low <= self.level <= high:
            raise ConfigError(f"compression: levels of {self.method} are {low} to {high}, not {self.level}")

    @classmethod
    def parse(cls, text: str) -> Compression:
        """Return what is written as ``METHOD:LEVEL``, or ``METHOD`` for its usual level.

        Raises
        ------
        ConfigError
            It is none.
        """
        method, colon, level = text.lower().partition(":")
        if colon and not level.isdecimal():
            raise ConfigError(f"compression {text!r}: is written as METHOD:LEVEL, such as zstd:5")
        return cls(method, int(level) if colon else _USUAL.get(method, 0))

    @classmethod
    def stated(cls, provenance: Mapping[str, Any]) -> Compression:
        """Return that of a file of hits by its provenance; the usual one where it states none."""
        return cls.parse(provenance["compression"]) if "compression" in provenance else cls()

    def __str__(self) -> str:
        return self.method if self.method == "none" else f"{self.method}:{self.level}"

    def of_root(self) -> Any:
        """As uproot takes it; None for none.

        ZLIB of level 1 is written by ISA-L, where that is installed: the same format and size, in a sixth of the time.
        """
        import uproot

        if self.method == "zlib" and self.level == 1:
            return _zlib_of_level_1()
        return None if self.method == "none" else getattr(uproot, self.method.upper())(self.level)

    def of_parquet(self) -> dict[str, Any]:
        """Arguments of ``pyarrow.parquet.ParquetWriter``.

        Raises
        ------
        ConfigError
            Parquet has no such method.
        """
        name = _METHODS[self.method][2]
        if not name:
            raise ConfigError(f"compression: Parquet has no {self.method}")
        # of LZ4 it knows no levels
        return {"compression": name, "compression_level": None if name in ("NONE", "LZ4") else self.level}


def _zlib_of_level_1() -> Any:
    import uproot

    zlib = uproot.ZLIB(1)
    with suppress(ImportError):
        from isal import isal_zlib

        # of this object alone: uproot's setting `ZLIB.library` would hold for all files of the program
        zlib.compress = partial(isal_zlib.compress, level=1)
    return zlib
