# SPDX-License-Identifier: BSD-3-Clause
"""Limits on comparison results, read from TOML, so that a regression can fail a build."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import model_validator

from ..config.base import Model, about
from ..config.toml import read_toml
from ..config.validation import WrongValue, nearest, validate
from ..errors import ConfigError
from .estimates import Estimate


class Bounds(Model):
    """What one number must keep, or several whose names have an asterisk in common: one or both bounds."""

    max: Annotated[float | None, about("Largest value")] = None
    min: Annotated[float | None, about("Smallest value")] = None
    sigmas: Annotated[float, about("Standard errors of the number by which a bound may be missed", ge=0, le=1e6)] = 0.0

    kinds: ClassVar[tuple[str, ...]] = ("max", "min")

    @model_validator(mode="after")
    def _has_a_bound(self) -> Self:
        if all(getattr(self, kind) is None for kind in self.kinds):
            raise WrongValue(f"must be a table with one or more of {', '.join(self.kinds)}")
        return self

    def limits_of(self, name: str) -> list[Limit]:
        """The limits of a number, in the order of their kinds."""
        bounds = [(kind, getattr(self, kind)) for kind in self.kinds]
        return [Limit(name, kind, bound, self.sigmas) for kind, bound in bounds if bound is not None]


class LimitTable(Bounds):
    """What one number must keep: one or more bounds."""

    within: Annotated[float | None, about("Largest absolute value", ge=0)] = None
    max_over_floor: Annotated[
        float | None, about("Largest quotient with the number's baseline, which two samples of full simulation have")
    ] = None
    min_over_floor: Annotated[float | None, about("Smallest quotient with that baseline")] = None

    kinds: ClassVar[tuple[str, ...]] = ("max", "min", "within", "max_over_floor", "min_over_floor")


class LimitsFile(Model):
    """The whole file."""

    limits: Annotated[
        dict[str, LimitTable],
        about("Limits by the names of numbers, as report.json has them; at least one", min_length=1),
    ]


@dataclass(frozen=True)
class Limit:
    """What a number must keep.

    Attributes
    ----------
    name : str
        Of the number.
    kind : str
        ``max`` or ``min``; ``within``, of its size; ``max_over_floor`` or ``min_over_floor``, of its quotient with the
        baseline.
    bound : float
    sigmas : float
        Standard errors by which it may be missed.
    """

    name: str
    kind: str
    bound: float
    sigmas: float = 0.0

    def verdict(self, number: Estimate) -> LimitResult:
        """Hold it against a number."""
        value, bound = number.value, self.bound
        if self.kind.endswith("over_floor"):
            bound *= number.baseline
        slack = self.sigmas * number.error
        if self.kind == "within":
            kept = abs(value) <= bound + slack
        elif self.kind.startswith("max"):
            kept = value <= bound + slack
        else:
            kept = value >= bound - slack
        return LimitResult(self, number, bound, bool(kept))


@dataclass(frozen=True)
class LimitResult:
    """Whether a limit was kept.

    Attributes
    ----------
    limit : Limit
    number : Estimate
    bound : float
        What the number is compared with; with the baseline, where the limit is relative to it.
    kept : bool
        Never, where the number is none.
    """

    limit: Limit
    number: Estimate
    bound: float
    kept: bool


def load_limits(path: str | Path) -> list[Limit]:
    """Read limits.

    The file has a table ``limits``. Its keys are names of numbers, as `report.json` has them; its values tables with
    one or more of ``max``, ``min``, ``within``, ``max_over_floor`` and ``min_over_floor``, and perhaps ``sigmas``.

    Raises
    ------
    ConfigError
        The file cannot be read, or a key or value in it makes no sense.

    Examples
    --------
    A file may hold::

        [limits]
        "auc.observables" = { max = 0.6 }
        recall = { min_over_floor = 0.95 }
        "response.ECAL.1-10" = { within = 0.01, sigmas = 2 }
    """
    file = validate(LimitsFile, read_toml(path), str(path))
    return [limit for name, table in file.limits.items() for limit in table.limits_of(name)]


def check_limits(limits: list[Limit], numbers: Mapping[str, Estimate], where: str) -> list[LimitResult]:
    """Hold limits against the numbers of a comparison.

    Raises
    ------
    ConfigError
        There is no number of that name.
    """
    for limit in limits:
        if limit.name not in numbers:
            raise no_such_number(limit.name, numbers, where)
    return [limit.verdict(numbers[limit.name]) for limit in limits]


def no_such_number(name: str, numbers: Mapping[str, Estimate], where: str) -> ConfigError:
    """The error of a limit on what is no number of a comparison."""
    return ConfigError(
        f"{where}: limits.{name!r}: there is no such number in this comparison; {nearest(name, numbers)}"
    )
