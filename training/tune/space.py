# SPDX-License-Identifier: BSD-3-Clause
"""Search space: dimensions and their mapping to the unit cube.

Every dimension has one coordinate from 0 to 1. Integers and choices own intervals of it, each value one, and stand for
its middle. Letters: N points, D dimensions, F features.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import WithJsonSchema, field_validator, model_validator

from fastcalo.config.base import Model, Several, about
from fastcalo.config.validation import WrongValue, shown, validate

from ..config import Value

Point: TypeAlias = dict[str, Value]
Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Real:
    """A number between two bounds, both included; in its logarithm if `log`."""

    key: str
    low: float
    high: float
    log: bool = False

    @property
    def size(self) -> float:
        """How many values there are."""
        return math.inf

    def values(self, unit_N: Floats) -> list[Value]:
        """What stands at coordinates."""
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        # not low + u (high - low), whose difference may overflow
        value_N = low * (1 - unit_N) + high * unit_N
        if self.log:
            # the ends are themselves, not what rounding makes of them
            value_N = np.select([unit_N <= 0, unit_N >= 1], [self.low, self.high], np.exp(value_N))
        return [float(v) for v in np.clip(value_N, self.low, self.high)]

    def units(self, values: Sequence[Any]) -> Floats:
        """Coordinates of values, float64 [N]."""
        value_N = np.asarray(values, float)
        low, high = self.low, self.high
        if self.log:
            value_N, low, high = np.log(value_N), math.log(low), math.log(high)
        half = 0.5 * high - 0.5 * low
        return np.clip((0.5 * value_N - 0.5 * low) / half, 0, 1)

    def features(self, unit_N: Floats) -> Floats:
        """What the distance between two values is measured in, float64 [N, 1]."""
        return unit_N[:, None]

    def holds(self, value: Any) -> bool:
        """Whether it may take this value."""
        return type(value) in (int, float) and self.low <= value <= self.high

    def plain(self, value: Any) -> Value:
        """A value that it may take, in its own type."""
        return float(value)


@dataclass(frozen=True)
class Integer:
    """A whole number between two bounds, both included; in its logarithm if `log`."""

    key: str
    low: int
    high: int
    log: bool = False

    @property
    def size(self) -> float:
        """How many values there are."""
        return self.high - self.low + 1

    def every(self) -> Sequence[Value]:
        """All values."""
        return range(self.low, self.high + 1)

    @property
    def _edges(self) -> tuple[float, float]:
        low, high = self.low - 0.5, self.high + 0.5
        return (math.log(low), math.log(high)) if self.log else (low, high)

    def values(self, unit_N: Floats) -> list[Value]:
        """What stands at coordinates."""
        low, high = self._edges
        value_N = low + unit_N * (high - low)
        value_N = np.exp(value_N) if self.log else value_N
        return [int(v) for v in np.clip(np.rint(value_N), self.low, self.high)]

    def units(self, values: Sequence[Any]) -> Floats:
        """Coordinates of values, float64 [N]."""
        low, high = self._edges
        value_N = np.asarray(values, float)
        return ((np.log(value_N) if self.log else value_N) - low) / (high - low)

    def features(self, unit_N: Floats) -> Floats:
        """What the distance between two values is measured in, float64 [N, 1]."""
        return unit_N[:, None]

    def holds(self, value: Any) -> bool:
        """Whether it may take this value."""
        return type(value) is int and self.low <= value <= self.high

    def plain(self, value: Any) -> Value:
        """A value that it may take, in its own type."""
        return int(value)


@dataclass(frozen=True)
class Choice:
    """One of a few values. Numbers have an order and are sorted; with others each is as far from any other."""

    key: str
    choices: tuple[Value, ...]

    @property
    def size(self) -> float:
        """How many values there are."""
        return len(self.choices)

    def every(self) -> Sequence[Value]:
        """All values."""
        return self.choices

    @property
    def ordered(self) -> bool:
        """Whether they are numbers."""
        return type(self.choices[0]) in (int, float)

    def _indices(self, unit_N: Floats) -> NDArray[np.intp]:
        return np.minimum(unit_N * len(self.choices), len(self.choices) - 1).astype(np.intp)

    def values(self, unit_N: Floats) -> list[Value]:
        """What stands at coordinates."""
        return [self.choices[i] for i in self._indices(unit_N)]

    def units(self, values: Sequence[Any]) -> Floats:
        """Coordinates of values, float64 [N]."""
        number = {c: i for i, c in enumerate(self.choices)}
        return (np.array([number[v] for v in values], float) + 0.5) / len(self.choices)

    def features(self, unit_N: Floats) -> Floats:
        """What the distance between two values is measured in, float64 [N, 1], or [N, choices] without an order."""
        if self.ordered:
            return unit_N[:, None]
        return np.eye(len(self.choices))[self._indices(unit_N)] / math.sqrt(2)

    def holds(self, value: Any) -> bool:
        """Whether it may take this value."""
        return isinstance(value, bool) == isinstance(self.choices[0], bool) and value in self.choices

    def plain(self, value: Any) -> Value:
        """A value that it may take, in its own type."""
        return self.choices[self.choices.index(value)]


Dimension: TypeAlias = Real | Integer | Choice


@dataclass(frozen=True)
class Space:
    """All dimensions, in the order of the file."""

    dimensions: tuple[Dimension, ...]

    def __len__(self) -> int:
        return len(self.dimensions)

    @property
    def keys(self) -> tuple[str, ...]:
        """Dotted paths in the training's configuration."""
        return tuple(d.key for d in self.dimensions)

    @property
    def size(self) -> float:
        """How many different points there are."""
        return math.prod(d.size for d in self.dimensions)

    def points(self, unit_ND: Floats) -> list[Point]:
        """Points at coordinates of the unit cube."""
        columns = [d.values(unit_ND[:, i]) for i, d in enumerate(self.dimensions)]
        return [dict(zip(self.keys, row, strict=True)) for row in zip(*columns, strict=True)]

    def units(self, points: Sequence[Point]) -> Floats:
        """Coordinates of points, float64 [N, D]."""
        if not points:
            return np.empty((0, len(self)))
        return np.stack([d.units([p[d.key] for p in points]) for d in self.dimensions], axis=1)

    def snap(self, unit_ND: Floats) -> Floats:
        """Coordinates of the points that stand at coordinates, float64 [N, D]."""
        return self.units(self.points(unit_ND))

    def features(self, unit_ND: Floats) -> Floats:
        """What distances are measured in, float64 [N, F]."""
        return np.concatenate([d.features(unit_ND[:, i]) for i, d in enumerate(self.dimensions)], axis=1)

    @property
    def real(self) -> tuple[bool, ...]:
        """Which dimensions are not steps between values."""
        return tuple(isinstance(d, Real) for d in self.dimensions)

    def grid(self) -> Floats:
        """Coordinates of all points of a space that has finitely many, float64 [size, D]."""
        columns = [d.units(d.every()) for d in self.dimensions if not isinstance(d, Real)]
        return np.array(list(product(*columns)))

    def identity(self, point: Point) -> tuple[Value, ...]:
        """By which two points are the same."""
        return tuple(point[k] for k in self.keys)

    def as_table(self) -> dict[str, dict[str, Any]]:
        """What `read_space` takes."""
        out: dict[str, dict[str, Any]] = {}
        for d in self.dimensions:
            if isinstance(d, Choice):
                out[d.key] = {"choices": list(d.choices)}
            else:
                out[d.key] = {"low": d.low, "high": d.high, "log": d.log, "integer": isinstance(d, Integer)}
        return out


class DimensionTable(Model):
    """One key of the training in ``[space]``: bounds, or choices."""

    low: Annotated[float | None, about("Smallest value; has no default where there are no choices")] = None
    high: Annotated[float | None, about("Largest value; has no default where there are no choices")] = None
    log: Annotated[bool, about("Whether the logarithm is searched evenly; low must then be positive")] = False
    integer: Annotated[bool, about("Whether only whole numbers are meant; the key must then take them")] = False
    choices: Annotated[
        Several[Annotated[Any, WithJsonSchema({"type": ["number", "string", "boolean"]})]] | None,
        about("In place of bounds: at least two values, all numbers, all texts, or true and false"),
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _one_kind(cls, table: Any) -> Any:
        if isinstance(table, dict):
            if "choices" in table and table.keys() & {"low", "high", "log", "integer"}:
                raise WrongValue("has choices, and bounds besides; it must have one or the other")
            for key in ("low", "high"):
                if "choices" not in table and key not in table:
                    raise WrongValue("missing", key)
        return table

    @field_validator("choices")
    @classmethod
    def _sound_choices(cls, choices: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        if choices is None:
            return None
        kinds = {float if type(c) is int else type(c) for c in choices}
        if not choices or len(kinds) > 1 or not kinds <= {float, str, bool} or not _finite(choices):
            raise WrongValue(f"must all be finite numbers, all texts, or true and false, but is {shown(list(choices))}")
        if len(set(choices)) < len(choices):
            raise WrongValue(f"a choice stands there twice, in {shown(list(choices))}")
        if len(choices) == 1:
            raise WrongValue(f"can only be {shown(choices[0])}; give it to the training's configuration instead")
        return tuple(sorted(choices)) if kinds == {float} else choices

    @model_validator(mode="after")
    def _sound_bounds(self) -> Self:
        if self.low is None or self.high is None:
            return self
        low, high = self.low, self.high
        if low == high:
            raise WrongValue(f"can only be {low}; give it to the training's configuration instead")
        if not low < high:
            raise WrongValue(f"low = {low} is above high = {high}")
        if self.log and not low > 0:
            raise WrongValue(f"with log = true, low must be positive, but is {low}")
        if self.integer and not (low.is_integer() and high.is_integer() and max(-low, high) < 2**53):
            raise WrongValue(f"with integer = true, low and high must be whole numbers, not {low} and {high}")
        return self

    def dimension(self, key: str) -> Dimension:
        """The dimension of a key of the training."""
        if self.choices is not None:
            return Choice(key, self.choices)
        low, high = self.low or 0.0, self.high or 0.0
        return Integer(key, int(low), int(high), self.log) if self.integer else Real(key, low, high, self.log)


class SpaceFile(Model):
    """The table ``[space]``, by itself."""

    space: Annotated[dict[str, DimensionTable], about("Keys of the training that are searched", min_length=1)]

    def dimensions(self) -> Space:
        """The space, in the order of the file."""
        return Space(tuple(table.dimension(key) for key, table in self.space.items()))


def read_space(table: Any, where: str) -> Space:
    """Read the table ``[space]``.

    Raises
    ------
    ConfigError
        It is empty; a dimension has unknown keys, bounds in the wrong order, less than two values, or a value twice.
    """
    return validate(SpaceFile, {"space": table}, where).dimensions()


def _finite(values: Sequence[Any]) -> bool:
    # a whole number may be beyond what a float can hold
    return all(type(v) is not float or math.isfinite(v) for v in values) and all(
        type(v) is not int or abs(v) < 1 << 63 for v in values
    )
