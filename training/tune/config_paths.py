# SPDX-License-Identifier: BSD-3-Clause
"""Check that a training can have every point of a search space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastcalo.config.base import Model
from fastcalo.config.validation import nearest, shown
from fastcalo.errors import ConfigError

from ..config import TrainConfig, Value, value_at, with_values
from .space import Choice, Dimension, Point, Space

_STRATEGY = "parallel.strategy"


def check_space(space: Space, base: TrainConfig, where: str, group_size: int | None = None) -> None:
    """Make sure that a training can have every bound and every choice of a space.

    Parameters
    ----------
    space : Space
    base : TrainConfig
    where : str
        What errors begin with.
    group_size : int, optional
        Processes of each training. If it is given, dimensions without effect are refused, too.

    Raises
    ------
    ConfigError
        A key that is unknown to the training (the nearest known one is named), or a value that it refuses; a key that
        has no effect on what this training makes.
    """
    strategies = [{_STRATEGY: v} for d in space.dimensions if d.key == _STRATEGY for v in _values(d)]
    for d in space.dimensions:
        at = f"{where}: space.{d.key!r}"
        for value in _values(d):
            for strategy in ({}, *strategies):
                with_values(base, {**strategy, d.key: value}, f"{at} = {shown(value)}")
        if group_size is not None and (reason := _without_effect(base, d.key, space.keys, group_size)):
            raise ConfigError(f"{at}: {reason}; leave it out of the space")


def _values(dimension: Dimension) -> tuple[Value, ...]:
    return dimension.choices if isinstance(dimension, Choice) else (dimension.low, dimension.high)


def _without_effect(base: TrainConfig, key: str, searched: tuple[str, ...], group_size: int) -> str:
    """Why a key has no effect on what a training makes; empty if it has one."""
    *place, last = [part for part in key.split(".") if not part.isdigit()]
    holder: Any = base
    for part in place:
        found = [stage for stage in base.stage if stage.name == part] if isinstance(holder, tuple) else []
        holder = found[0] if found else getattr(holder, part)
    field = type(holder).model_fields[last] if isinstance(holder, Model) else None
    extra = field.json_schema_extra if field else None
    notes: Mapping[str, Any] = extra if isinstance(extra, dict) else {}
    stages = notes.get("stages", [])
    if not notes.get("changes_result", True):
        return "does not change what is trained"
    if stages and not {stage.name for stage in base.stage} & set(stages):
        return f"has an effect in stage {' or '.join(stages)} only, which this training does not have"
    if place[:1] == ["parallel"] and group_size == 1:
        return "has an effect only where several processes train together (group_size above 1)"
    if last == "final_rate" and not holder.anneal and f"{'.'.join(place)}.anneal" not in searched:
        return "has no effect where anneal = false"
    if last == "sync_every" and holder.masters == 1 and "parallel.masters" not in searched:
        return "has no effect where masters = 1"
    return ""


def full_point(space: Space, base: TrainConfig, some: Mapping[str, Any], where: str) -> Point:
    """A point of which some values are given; the others are those of the training's configuration.

    Raises
    ------
    ConfigError
        A key is no dimension of the space, or a value lies outside it.
    """
    for key in some:
        if key not in space.keys:
            raise ConfigError(f"{where}: {key!r}: unknown key; {nearest(key, space.keys)}")
    point: Point = {}
    for d in space.dimensions:
        value = some[d.key] if d.key in some else value_at(base, d.key, where)
        if not d.holds(value):
            whose = "" if d.key in some else " (the value of the training's configuration)"
            raise ConfigError(f"{where}: {d.key!r} = {value!r}{whose} lies outside the space")
        point[d.key] = d.plain(value)
    return point
