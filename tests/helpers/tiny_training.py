"""Tiny trainings: real stages on real showers, a few steps each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from fastcalo.training.config import DataConfig, NetworkConfig, StageConfig, TrainConfig, ValidityConfig
from helpers.shower_files import HADRONS, write_real

STAGES = ("layers", "hits", "adversarial")
STEPS = 6


def write_data(folder: Path) -> DataConfig:
    """Files of 48 showers to train on and 16 to test with."""
    train = write_real(folder / "train.h5", 48)
    return DataConfig(train=(str(train),), test=(str(write_real(folder / "test.h5", 16, start=600)),))


def tiny_config(data: DataConfig, **changes: Any) -> TrainConfig:
    """All stages of ``arch = "hits"``, six steps of eight showers each."""
    common: dict[str, Any] = {
        "steps": STEPS, "batch": 8, "warmup": 2, "evaluate_every": 1, "checkpoint_every": 3, "latent_start": 1,
        "latent_ramp": 4,
    }  # fmt: skip
    stages = (
        StageConfig("layers", **common, ema=0.9),
        StageConfig("hits", **common, weight_decay=0.01),
        StageConfig("adversarial", **common, ema=0.9, critic_only=2, penalty_every=2, learning_rate=1e-3),
    )
    config = TrainConfig(
        name="tiny",
        arch="hits",
        species=(11, -11, 22),
        data=data,
        stage=stages,
        threads=1,
        network=NetworkConfig(layer_width=16, hit_width=16, share_width=8, critic_width=16),
        validity=ValidityConfig((0.1, 10.0), 56.0),
    )
    return replace(config, **changes)


def change_stage(config: TrainConfig, name: str, **changes: Any) -> TrainConfig:
    """The configuration with one stage changed."""
    return replace(config, stage=tuple(replace(s, **changes) if s.name == name else s for s in config.stage))


def hadron_config(**changes: Any) -> TrainConfig:
    """As `tiny_config`, of hadrons in both sections."""
    data = DataConfig(train=(str(HADRONS),))
    config = tiny_config(data, name="hadrons", sections=("ECAL", "HCAL"), species=(211, -211, 130, 2112, 2212))
    stages = tuple(replace(stage, evaluate_every=STEPS) for stage in config.stage)
    return replace(replace(config, stage=stages), **changes)
