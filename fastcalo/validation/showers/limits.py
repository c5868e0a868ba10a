"""Limits on comparison results, read from TOML, so that a regression can fail a build."""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ConfigError
from .estimates import Estimate

_KINDS = ("max", "min", "within", "max_over_floor", "min_over_floor")


@dataclass(frozen=True)
class Limit:
    """What a number must keep.

    Attributes
    ----------
    name : str
        Of the number.
    kind : str
        ``max`` or ``min``; ``within``, of its size; ``max_over_floor`` or ``min_over_floor``, of its quotient with the
        floor.
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
            bound *= number.floor
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
        What the number was held against; with the floor, where the limit is relative to it.
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
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the limits {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    table = content.get("limits")
    if not isinstance(table, dict) or not table or set(content) != {"limits"}:
        raise ConfigError(f"{path}: must have one table, [limits], that is not empty; it has {sorted(content)}")
    return [limit for name, entry in table.items() for limit in _parse(str(path), name, entry)]


def _parse(path: str, name: str, entry: Any) -> list[Limit]:
    where = f"{path}: limits.{name!r}"
    if not isinstance(entry, dict) or not entry.keys() - {"sigmas"}:
        raise ConfigError(f"{where}: must be a table with one or more of {', '.join(_KINDS)}, but is {entry!r}")
    known = (*_KINDS, "sigmas")
    for key, value in entry.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)[0]
            raise ConfigError(f"{where}: {key!r} is unknown; the nearest known key is {near!r}")
        if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
            raise ConfigError(f"{where}: {key} must be a number, but is {value!r}")
    sigmas = float(entry.get("sigmas", 0.0))
    if sigmas < 0:
        raise ConfigError(f"{where}: sigmas must be at least 0, but is {sigmas:g}")
    return [Limit(name, kind, float(bound), sigmas) for kind, bound in entry.items() if kind != "sigmas"]


def check_limits(limits: list[Limit], numbers: Mapping[str, Estimate], where: str) -> list[LimitResult]:
    """Hold limits against the numbers of a comparison.

    Raises
    ------
    ConfigError
        There is no number of that name.
    """
    for limit in limits:
        if limit.name not in numbers:
            near = difflib.get_close_matches(limit.name, numbers, n=1, cutoff=0.0)[0]
            raise ConfigError(f"{where}: limits.{limit.name!r}: there is no such number; the nearest is {near!r}")
    return [limit.verdict(numbers[limit.name]) for limit in limits]
