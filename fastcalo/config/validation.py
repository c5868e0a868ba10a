"""Strict reading of TOML tables: every key asked for must be there, fit, and none may be left over."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from ..errors import DetectorError


class Table:
    """One table of a file, which knows where it stands so that errors can say so.

    Parameters
    ----------
    values : mapping
        The table as `tomllib` gives it.
    source : str
        The file, for messages.
    path : str
        Dotted key of the table in the file; empty for the root.
    """

    def __init__(self, values: Mapping[str, Any], source: str, path: str = "") -> None:
        self._values, self._source, self._path = values, source, path

    def fail(self, key: str, problem: str) -> NoReturn:
        """Refuse the value of `key`, or the table itself where `key` is empty.

        Raises
        ------
        DetectorError
        """
        raise DetectorError(f"{self._source}: {self._dotted(key)}: {problem}")

    def require(self, *keys: str, optional: tuple[str, ...] = ()) -> Table:
        """Refuse the table unless it has these keys, and no others but those that are optional."""
        known = (*keys, *optional)
        for key in self._values:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
                self.fail(key, f"unknown key; the nearest known one is {near[0]!r}")
        for key in keys:
            if key not in self._values:
                self.fail(key, "missing")
        return self

    def filled(self, usual: Mapping[str, Any]) -> Table:
        """The table, with values for the keys that it lacks."""
        return Table({**usual, **self._values}, self._source, self._path)

    def text(self, key: str) -> str:
        """A string that is not empty."""
        value = self._values[key]
        if not isinstance(value, str) or not value:
            self.fail(key, f"must be a text, but is {value!r}")
        return value

    def number(self, key: str, *, above: float = -math.inf, at_least: float = -math.inf) -> float:
        """A finite number, which may be held above a bound or at one."""
        value = self._values[key]
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            self.fail(key, f"must be a finite number, but is {value!r}")
        if value <= above:
            self.fail(key, f"must be greater than {above:g}, but is {value:g}")
        if value < at_least:
            self.fail(key, f"must be at least {at_least:g}, but is {value:g}")
        return float(value)

    def integer(self, key: str, *, at_least: int) -> int:
        """A whole number of at least `at_least`."""
        return self._integer(key, self._values[key], at_least)

    def pair(self, key: str, *, at_least: int) -> tuple[int, int]:
        """A list of two whole numbers, each of at least `at_least`."""
        value = self._values[key]
        if not isinstance(value, list) or len(value) != 2:
            self.fail(key, f"must be a list of two whole numbers, but is {value!r}")
        return self._integer(key, value[0], at_least), self._integer(key, value[1], at_least)

    def interval(self, key: str, *, above: float) -> tuple[float, float]:
        """A list of two finite numbers that rise, each greater than `above`."""
        value = self._values[key]
        if not isinstance(value, list) or len(value) != 2:
            self.fail(key, f"must be a list of two numbers, the lower and the upper, but is {value!r}")
        ends = Table({f"{key}[{i}]": end for i, end in enumerate(value)}, self._source, self._path)
        low, high = (ends.number(f"{key}[{i}]", above=above) for i in range(2))
        if low >= high:
            self.fail(key, f"the first must be smaller than the second, but is {value!r}")
        return low, high

    def table(self, key: str) -> Table:
        """A table below this one."""
        return self._below(key, self._values[key])

    def tables(self, key: str) -> list[Table]:
        """A list of tables that is not empty."""
        value = self._values[key]
        if not isinstance(value, list) or not value:
            self.fail(key, f"must be a list of tables, but is {value!r}")
        return [self._below(f"{key}[{i}]", item) for i, item in enumerate(value)]

    def named_tables(self) -> dict[str, Table]:
        """The tables that this one holds under names of the user's choice."""
        return {name: self.table(name) for name in self._values}

    def _dotted(self, key: str) -> str:
        return ".".join(part for part in (self._path, key) if part)

    def _below(self, key: str, value: object) -> Table:
        if not isinstance(value, dict):
            self.fail(key, f"must be a table, but is {value!r}")
        return Table(value, self._source, self._dotted(key))

    def _integer(self, key: str, value: object, at_least: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
            self.fail(key, f"must be a whole number of at least {at_least}, but is {value!r}")
        return value
