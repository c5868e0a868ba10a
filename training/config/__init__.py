# SPDX-License-Identifier: BSD-3-Clause
"""A training described in TOML, checked on load."""

from .data import DataConfig, ValidityConfig
from .networks import DenseNetworkConfig, HitsNetworkConfig, NetworkConfig
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
from .paths import cache_folder, data_paths
from .stages import (
    AdversarialStageConfig,
    CriticStageConfig,
    DenseStageConfig,
    HitsStageConfig,
    LayersStageConfig,
    StageConfig,
)
from .train_config import (
    ARCHITECTURES,
    DenseTrainConfig,
    HitsTrainConfig,
    ShowersTrainConfig,
    TrainConfig,
    TrainFile,
    load_config,
    read_config,
    recorded_config,
)

__all__ = [
    "ARCHITECTURES",
    "STRATEGIES",
    "AdversarialStageConfig",
    "AllReduceConfig",
    "CriticStageConfig",
    "DataConfig",
    "DenseNetworkConfig",
    "DenseStageConfig",
    "DenseTrainConfig",
    "DownpourConfig",
    "EasgdConfig",
    "GemConfig",
    "HitsNetworkConfig",
    "HitsStageConfig",
    "HitsTrainConfig",
    "LayersStageConfig",
    "NetworkConfig",
    "Parallel",
    "ParallelConfig",
    "ServerConfig",
    "ShowersTrainConfig",
    "StageConfig",
    "TrainConfig",
    "TrainFile",
    "ValidityConfig",
    "cache_folder",
    "data_paths",
    "load_config",
    "read_config",
    "recorded_config",
]
