"""Training configurations with values replaced by dotted path.

``network.hit_width``, ``stage.hits.learning_rate`` (stages go by their names), ``stage.hits.betas.0``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fastcalo.errors import ConfigError

from ..config import TrainConfig, check, from_dict, unknown_key
from .space import Choice, Point, Space, Value


def with_values(base: TrainConfig, values: Mapping[str, Any], where: str) -> TrainConfig:
    """The configuration with values in place of its own, checked as if it had been read from a file.

    Parameters
    ----------
    base : TrainConfig
    values : mapping
        From dotted paths.
    where : str
        What errors begin with.

    Raises
    ------
    ConfigError
        A path leads nowhere, or a value makes no sense there.
    """
    table = _table(base)
    for key, value in values.items():
        holder, last = _find(table, key, where)
        holder[last] = value
    config: TrainConfig = from_dict(TrainConfig, table, where)
    check(config, where)
    return config


def value_at(base: TrainConfig, key: str, where: str) -> Value:
    """What stands at a dotted path; `ConfigError` if it leads nowhere, or to more than one value."""
    holder, last = _find(_table(base), key, where)
    value: Value = holder[last]
    return value


def check_space(space: Space, base: TrainConfig, where: str) -> None:
    """Make sure that a training can have every bound and every choice of a space.

    Raises
    ------
    ConfigError
        A key that is unknown to the training (the nearest known one is named), or a value that it refuses.
    """
    for d in space.dimensions:
        for value in d.choices if isinstance(d, Choice) else (d.low, d.high):
            with_values(base, {d.key: value}, f"{where}: space.{d.key!r} = {value!r}")


def full_point(space: Space, base: TrainConfig, some: Mapping[str, Any], where: str) -> Point:
    """A point of which some values are given; the others are those of the training's configuration.

    Raises
    ------
    ConfigError
        A key is no dimension of the space, or a value lies outside it.
    """
    for key in some:
        if key not in space.keys:
            raise unknown_key(key, key, space.keys, where)
    point: Point = {}
    for d in space.dimensions:
        value = some[d.key] if d.key in some else value_at(base, d.key, where)
        if not d.holds(value):
            whose = "" if d.key in some else " (the value of the training's configuration)"
            raise ConfigError(f"{where}: {d.key!r} = {value!r}{whose} lies outside the space")
        point[d.key] = d.plain(value)
    return point


def _table(base: TrainConfig) -> dict[str, Any]:
    table: dict[str, Any] = json.loads(json.dumps(base.as_dict()))
    return table


def _find(table: dict[str, Any], key: str, where: str) -> tuple[Any, Any]:
    """The table or list that holds the value at a path, and by which name or number."""
    at: Any = table
    holder: Any = None
    name: Any = None
    for part in key.split("."):
        names = _names(at)
        if part not in names:
            raise unknown_key(key, part, names, where) if names else ConfigError(f"{where}: unknown key {key!r}")
        holder, name = at, names[part]
        at = holder[name]
    if isinstance(at, dict | list):
        raise ConfigError(f"{where}: {key!r} is more than one value; name one of {', '.join(_names(at))} in it")
    return holder, name


def _names(at: Any) -> dict[str, Any]:
    if isinstance(at, dict):
        return {name: name for name in at}
    if isinstance(at, list):
        return {item["name"] if isinstance(item, dict) else str(i): i for i, item in enumerate(at)}
    return {}
