# SPDX-License-Identifier: BSD-3-Clause
"""Search configuration (TOML), validated on load."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import InstanceOf

from fastcalo.config.base import Model, Several, about
from fastcalo.config.toml import read_toml
from fastcalo.config.validation import validate
from fastcalo.errors import ConfigError

from ..config import TrainConfig, load_config
from .config_paths import check_space, full_point
from .space import Point, Space, SpaceFile


class ObjectiveConfig(Model):
    """``[objective]``: what is minimised."""

    distance: Annotated[
        Literal["fpd", "separation"],
        about(
            "Distance of drawn from true showers",
            source="Frechet physics distance, Kansal et al., arXiv:2211.10295; separation power of observables",
        ),
    ] = "fpd"
    showers: Annotated[int, about("Showers of each kind that are compared", unit="showers", ge=2, le=100_000_000)] = (
        2_000
    )
    folds: Annotated[
        int, about("Parts into which the data are cut for cross-validation; 1 is none", ge=1, le=1_000)
    ] = 1
    latency_weight: Annotated[float, about("Weight of the logarithm of the time that a shower takes", ge=0, le=1e6)] = (
        0.0
    )


class StoppingConfig(Model):
    """``[stopping]``: when a trial is stopped because others were better."""

    rule: Annotated[
        Literal["median", "halving", "none"],
        about(
            "How trials are compared",
            source="median: Golovin et al., KDD 2017; halving: Li et al., arXiv:1810.05934",
        ),
    ] = "median"
    least: Annotated[
        int, about("Other trials that there must be to compare with", unit="trials", ge=1, le=1_000_000)
    ] = 4
    first: Annotated[
        int, about("Step of a trial before which it is not stopped", unit="steps", ge=1, le=1_000_000_000)
    ] = 1
    reduction: Annotated[
        int,
        about("For halving only: of the trials that come to a rung, one in so many goes on; the next rung is so many "
              "times farther", source="arXiv:1810.05934", ge=2, le=1_000),
    ] = 3  # fmt: skip


class TuneSettings(Model):
    """Keys of a search that need no training to be understood."""

    name: Annotated[str, about("Name of the search")]
    base: Annotated[str, about("TOML file of the training, beside this file", min_length=1)]
    trials: Annotated[int, about("Trainings of the search", unit="trials", ge=1, le=1_000_000)]
    group_size: Annotated[int, about("Processes that train together in a trial", ge=1, le=1_000_000)] = 1
    seed: Annotated[int, about("Seed of the search", ge=0, lt=1 << 63)] = 1
    optimiser: Annotated[
        Literal["gp", "optuna", "random"],
        about(
            "What proposes points: Gaussian process with expected improvement, Optuna's TPE, or chance",
            source="Jones et al. 1998; Akiba et al., arXiv:1907.10902; Bergstra & Bengio 2012",
        ),
    ] = "gp"
    initial: Annotated[
        int, about("Points of the design that come before the optimiser's", unit="trials", ge=1, le=1_000_000)
    ] = 8
    design: Annotated[
        Literal["sobol", "lhs", "random"],
        about("How these points are spread: Sobol sequence, Latin hypercube, or chance"),
    ] = "sobol"
    trial_limit_s: Annotated[float, about("Time after which a trial has failed", unit="s", gt=0, le=1e9)] = 86_400.0
    objective: Annotated[ObjectiveConfig, about("What is minimised")] = ObjectiveConfig()
    stopping: Annotated[StoppingConfig, about("When a trial is stopped early")] = StoppingConfig()


class TuneFile(TuneSettings, SpaceFile):
    """The whole file."""

    start: Annotated[
        Several[dict[str, Any]],
        about("Points that are tried first: values by the keys of [space]; what is left out is the training's own"),
    ] = ()


class TuneConfig(TuneSettings):
    """A search whose space has been checked against its training.

    Attributes
    ----------
    space : Space
    start : tuple of Point
        Whole points: what the file leaves out is the training's own value.
    """

    space: InstanceOf[Space] = Space(())
    start: tuple[Point, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain, JSON-able form, in the shape of the file."""
        table = self.model_dump(exclude={"space", "start"})
        return table | {"space": self.space.as_table(), "start": [dict(p) for p in self.start]}


def load_tune(path: str | os.PathLike[str]) -> tuple[TuneConfig, TrainConfig]:
    """Read a search's TOML, and the training's that it names.

    Returns
    -------
    TuneConfig, TrainConfig

    Raises
    ------
    ConfigError
        Unreadable file, unknown or missing key, value that cannot be, empty or contradictory space, a dimension without
        effect; the message gives file and key.
    """
    path = Path(path)
    file = validate(TuneFile, read_toml(path), str(path))
    base = load_config(path.parent / file.base)
    return _config(file, base, str(path), file.group_size), base


def recorded_tune(table: Any, base: TrainConfig, where: str) -> TuneConfig:
    """Build the configuration from a table in the shape of the file, of a search that has begun already.

    Raises
    ------
    ConfigError
        As `load_tune`; but dimensions without effect, which earlier versions searched over, are let pass.
    """
    return _config(validate(TuneFile, table, where), base, where, None)


def _config(file: TuneFile, base: TrainConfig, where: str, group_size: int | None) -> TuneConfig:
    space = file.dimensions()
    check_space(space, base, where, group_size)
    start = tuple(full_point(space, base, point, f"{where}: start[{i}]") for i, point in enumerate(file.start))
    if len({space.identity(p) for p in start}) < len(start):
        raise ConfigError(
            f"{where}: start: a [[start]] stands there twice (what it leaves out is the training's own value)"
        )
    if space.size < file.trials:
        raise ConfigError(
            f"{where}: trials: the space has only {space.size:.0f} different points, fewer than trials = {file.trials}"
        )
    if len(start) > file.trials:
        raise ConfigError(f"{where}: start: there are more [[start]] ({len(start)}) than trials = {file.trials}")
    settings = {name: getattr(file, name) for name in TuneSettings.model_fields}
    return TuneConfig(**settings, space=space, start=start)
