"""Search configuration (TOML), validated on load."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from fastcalo.errors import ConfigError

from ..config import TrainConfig, from_dict, load_config, read_toml
from .config_paths import check_space, full_point
from .space import Point, Space, read_space

OPTIMISERS = ("gp", "optuna", "random")
DESIGNS = ("sobol", "lhs", "random")
DISTANCES = ("fpd", "separation")
RULES = ("median", "halving", "none")


@dataclass(frozen=True)
class ObjectiveConfig:
    """``[objective]``: what is minimised."""

    distance: str = "fpd"
    showers: int = 2_000
    folds: int = 1
    latency_weight: float = 0.0


@dataclass(frozen=True)
class StoppingConfig:
    """``[stopping]``: when a trial is hopeless.

    No trial is stopped before step `first`, nor while fewer than `least` others can be compared with it. `reduction` is
    for ``halving`` only: of the trials that came to a rung, one in so many goes on; the next rung is so many times
    farther.
    """

    rule: str = "median"
    least: int = 4
    first: int = 1
    reduction: int = 3


@dataclass(frozen=True)
class TuneConfig:
    """The whole file; `start` holds whole points: what the file leaves out there is the training's own value."""

    name: str
    base: str
    trials: int
    group_size: int = 1
    seed: int = 1
    optimiser: str = "gp"
    initial: int = 8
    design: str = "sobol"
    trial_limit_s: float = 86_400.0
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    stopping: StoppingConfig = field(default_factory=StoppingConfig)
    space: Space = field(default_factory=lambda: Space(()))
    start: tuple[Point, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain, JSON-able form, in the shape of the file."""
        table = asdict(replace(self, space=Space(())))
        return table | {"space": self.space.as_table(), "start": [dict(p) for p in self.start]}


def load_tune(path: str | Path) -> tuple[TuneConfig, TrainConfig]:
    """Read a search's TOML, and the training's that it names.

    Returns
    -------
    TuneConfig, TrainConfig

    Raises
    ------
    ConfigError
        Unreadable file, unknown or missing key, value of the wrong type, empty or contradictory space; the message
        names file and key.
    """
    path = Path(path)
    table = read_toml(path)
    name = table.get("base")
    if not isinstance(name, str):
        raise ConfigError(f"{path}: key 'base' must name the TOML file of a training, not {name!r}")
    base = load_config(path.parent / name)
    return tune_config(table, base, str(path)), base


def tune_config(table: dict[str, Any], base: TrainConfig, where: str) -> TuneConfig:
    """Build the configuration from a table in the shape of the file; raises what `load_tune` raises."""
    plain = {key: value for key, value in table.items() if key not in ("space", "start")}
    config: TuneConfig = from_dict(TuneConfig, plain, where)
    if "space" not in table:
        raise ConfigError(f"{where}: [space] is missing")
    space = read_space(table["space"], where)
    check_space(space, base, where)
    config = replace(config, space=space, start=_start(table.get("start", []), space, base, where))
    _check(config, where)
    return config


def _start(tables: Any, space: Space, base: TrainConfig, where: str) -> tuple[Point, ...]:
    if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        raise ConfigError(f"{where}: start must be a list of tables, each headed [[start]]")
    points = tuple(full_point(space, base, t, f"{where}: start[{i}]") for i, t in enumerate(tables))
    if len({space.identity(p) for p in points}) < len(points):
        raise ConfigError(f"{where}: a [[start]] stands there twice (what it leaves out is the training's own value)")
    return points


def _check(config: TuneConfig, where: str) -> None:
    for key, value, known in (
        ("optimiser", config.optimiser, OPTIMISERS),
        ("design", config.design, DESIGNS),
        ("objective.distance", config.objective.distance, DISTANCES),
        ("stopping.rule", config.stopping.rule, RULES),
    ):
        if value not in known:
            raise ConfigError(f"{where}: {key} = {value!r} is unknown; choose one of {', '.join(known)}")
    for key, number, least in (
        ("trials", config.trials, 1),
        ("group_size", config.group_size, 1),
        ("seed", config.seed, 0),
        ("initial", config.initial, 1),
        ("objective.showers", config.objective.showers, 2),
        ("objective.folds", config.objective.folds, 1),
        ("objective.latency_weight", config.objective.latency_weight, 0),
        ("stopping.least", config.stopping.least, 1),
        ("stopping.first", config.stopping.first, 1),
        ("stopping.reduction", config.stopping.reduction, 2),
    ):
        if number < least:
            raise ConfigError(f"{where}: {key} must be at least {least}, not {number}")
    if not config.trial_limit_s > 0:
        raise ConfigError(f"{where}: trial_limit_s must be positive, not {config.trial_limit_s}")
    if config.space.size < config.trials:
        raise ConfigError(
            f"{where}: the space has only {config.space.size:.0f} different points, fewer than trials = {config.trials}"
        )
    if len(config.start) > config.trials:
        raise ConfigError(f"{where}: there are more [[start]] ({len(config.start)}) than trials = {config.trials}")
