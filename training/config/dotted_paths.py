# SPDX-License-Identifier: BSD-3-Clause
"""Values of training configurations by dotted path: read, and replaced.

``network.hit_width``, ``stage.hits.learning_rate`` (stages go by their names), ``stage.hits.betas.0``.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from fastcalo.errors import ConfigError

from .train_config import TrainConfig, read_config

Value: TypeAlias = float | int | str | bool
"""One value of a configuration."""

_STRATEGY = "parallel.strategy"


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
    if _STRATEGY in values:
        base = base.updated(where, parallel=base.parallel.with_strategy(values[_STRATEGY], where))
    table = _table(base)
    for key, value in values.items():
        holder, last = _find(table, key, where, whole=isinstance(value, list))
        holder[last] = value
    return read_config(table, where)


def value_at(base: TrainConfig, key: str, where: str) -> Value:
    """What stands at a dotted path; `ConfigError` if it leads nowhere, or to more than one value."""
    table = _table(base)
    holder, last = _find(table, key, where)
    if isinstance(holder, dict) and last not in holder:
        with_values(base, {key: None}, where)
    value: Value = holder[last]
    return value


def parse_settings(settings: Iterable[str], where: str) -> dict[str, Any]:
    """Dotted paths and values of texts such as ``stage.hits.steps=100``.

    A value is read as TOML reads it; what is no TOML is taken as text, so that no quotation marks are needed.

    Raises
    ------
    ConfigError
        There is no equals sign, or a path stands there twice.
    """
    found: dict[str, Any] = {}
    for text in settings:
        key, sign, value = (part.strip() for part in text.partition("="))
        if not (key and sign):
            raise ConfigError(f"{where} {text!r}: must be KEY=VALUE, as in stage.hits.steps=100")
        if key in found:
            raise ConfigError(f"{where} {text!r}: {key} stands there twice")
        try:
            table = tomllib.loads(f"value = {value}")
            found[key] = table["value"] if len(table) == 1 else value
        except (ValueError, RecursionError):
            found[key] = value
    return found


def _table(base: TrainConfig) -> dict[str, Any]:
    table: dict[str, Any] = json.loads(json.dumps(base.as_dict()))
    return table


def _find(table: dict[str, Any], key: str, where: str, whole: bool = False) -> tuple[Any, Any]:
    """The table or list that holds the value at a path, and by which name or number.

    Where `whole`, the value may be a list, but none of tables.
    """
    at: Any = table
    holder: Any = None
    name: Any = None
    for part in key.split("."):
        names = _names(at)
        if part not in names:
            if isinstance(at, dict):
                # whatever is not there is refused when the whole is read, with the name of the nearest key
                return at, part
            known = f"; known are {', '.join(names)}" if names else ""
            raise ConfigError(f"{where}: {key}: unknown key{known}")
        holder, name = at, names[part]
        at = holder[name]
    if isinstance(at, dict | list) and not (whole and isinstance(at, list) and not isinstance(at[0], dict)):
        raise ConfigError(f"{where}: {key}: is more than one value; name one of {', '.join(_names(at))} in it")
    return holder, name


def _names(at: Any) -> dict[str, Any]:
    if isinstance(at, dict):
        return {name: name for name in at}
    if isinstance(at, list):
        return {item["name"] if isinstance(item, dict) else str(i): i for i, item in enumerate(at)}
    return {}
