# SPDX-License-Identifier: BSD-3-Clause
"""A training described in TOML, checked on load."""

from .data import DataConfig, ValidityConfig
from .dotted_paths import Value, parse_settings, value_at, with_values
from .networks import NetworkConfig
from .parallel import (
    STRATEGIES,
    AllReduceConfig,
    DownpourConfig,
    EasgdConfig,
    GemConfig,
    Parallel,
    ParallelConfig,
    ServerConfig,
)
from .paths import cache_folder, data_paths, run_folder
from .stages import (
    CriticStageConfig,
    StageConfig,
)
from .train_config import (
    TrainConfig,
    config_models,
    load_config,
    read_config,
    recorded_config,
    train_file,
)

__all__ = [
    "STRATEGIES",
    "AllReduceConfig",
    "CriticStageConfig",
    "DataConfig",
    "DownpourConfig",
    "EasgdConfig",
    "GemConfig",
    "NetworkConfig",
    "Parallel",
    "ParallelConfig",
    "ServerConfig",
    "StageConfig",
    "TrainConfig",
    "ValidityConfig",
    "Value",
    "cache_folder",
    "config_models",
    "data_paths",
    "load_config",
    "parse_settings",
    "read_config",
    "recorded_config",
    "run_folder",
    "train_file",
    "value_at",
    "with_values",
]
