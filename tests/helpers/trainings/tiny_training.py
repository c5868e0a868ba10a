# SPDX-License-Identifier: BSD-3-Clause
"""Tiny trainings: real stages on real showers, a few steps each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastcalo.training.architectures.dense_gan.config import DenseTrainConfig
from fastcalo.training.architectures.hits.config import (
    AdversarialStageConfig,
    HitsNetworkConfig,
    HitsStageConfig,
    HitsTrainConfig,
    LayersStageConfig,
)
from fastcalo.training.config import STRATEGIES, DataConfig, Parallel, StageConfig, TrainConfig, ValidityConfig
from helpers.files.shower_files import HADRONS, write_real

STAGES = ("layers", "hits", "adversarial")
STEPS = 6


def write_data(folder: Path) -> DataConfig:
    """Files of 48 showers to train on and 16 to test with."""
    train = write_real(folder / "train.h5", 48)
    return DataConfig(train=(str(train),), test=(str(write_real(folder / "test.h5", 16, start=600)),))


def tiny_config(data: DataConfig, **changes: Any) -> TrainConfig:
    """All stages of ``arch = "hits"``, six steps of eight showers each; or what `changes` make of it."""
    common: dict[str, Any] = {"steps": STEPS, "batch": 8, "warmup": 2, "evaluate_every": 1, "checkpoint_every": 3}
    settings: dict[str, Any] = {
        "name": "tiny", "arch": "hits", "species": (11, -11, 22), "data": data, "threads": 1,
        "validity": ValidityConfig(kinetic_energy=(0.1, 10.0), angle_degrees=56.0),
    }  # fmt: skip
    if changes.get("arch", "hits") == "hits":
        settings["network"] = HitsNetworkConfig(layer_width=16, hit_width=16, share_width=8, critic_width=16)
        settings["stage"] = (
            LayersStageConfig(name="layers", **common, ema=0.9),
            HitsStageConfig(name="hits", **common, weight_decay=0.01, latent_start=1, latent_ramp=4),
            AdversarialStageConfig(
                name="adversarial", **common, ema=0.9, critic_only=2, penalty_every=2, learning_rate=1e-3
            ),
        )
        return HitsTrainConfig(**settings | changes)
    return DenseTrainConfig(**settings | changes)


def parallel_config(strategy: str, **values: Any) -> Parallel:
    """The table ``[parallel]`` of a strategy."""
    config: Parallel = STRATEGIES[strategy](strategy=strategy, **values)
    return config


def stage_config(name: str, **values: Any) -> StageConfig:
    """A stage of ``arch = "hits"``."""
    kinds = {"layers": LayersStageConfig, "hits": HitsStageConfig, "adversarial": AdversarialStageConfig}
    stage: StageConfig = kinds[name](name=name, **values)
    return stage


def updated_stages(config: TrainConfig, **changes: Any) -> TrainConfig:
    """The configuration with all stages changed, as far as each has these keys."""
    return config.updated(
        stage=tuple(s.updated(**{k: v for k, v in changes.items() if k in type(s).model_fields}) for s in config.stage)
    )


def change_stage(config: TrainConfig, name: str, **changes: Any) -> TrainConfig:
    """The configuration with one stage changed."""
    return config.updated(stage=tuple(s.updated(**changes) if s.name == name else s for s in config.stage))


def hadron_config(**changes: Any) -> TrainConfig:
    """As `tiny_config`, of hadrons in both sections."""
    data = DataConfig(train=(str(HADRONS),))
    config = tiny_config(data, name="hadrons", sections=("ECAL", "HCAL"), species=(211, -211, 130, 2112, 2212))
    stages = tuple(stage.updated(evaluate_every=STEPS) for stage in config.stage)
    return config.updated(stage=stages).updated(**changes)
