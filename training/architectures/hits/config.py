# SPDX-License-Identifier: BSD-3-Clause
"""The file of a training of ``arch = "hits"``."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from fastcalo.config.base import AtLeastOne, about

from ...config.train_config import TrainConfig
from ..hit_lists.config import (
    AdversarialStageConfig,
    HitsNetworkConfig,
    HitsStage,
    HitsStageConfig,
    LayersStageConfig,
)

__all__ = [
    "AdversarialStageConfig",
    "HitsNetworkConfig",
    "HitsStage",
    "HitsStageConfig",
    "HitsTrainConfig",
    "LayersStageConfig",
]


class HitsTrainConfig(TrainConfig):
    """A training of ``arch = "hits"``."""

    variant: ClassVar[str] = 'arch = "hits"'

    arch: Annotated[Literal["hits"], about("Hit by hit: a likelihood model with a critic, for any number of sections")]
    network: Annotated[HitsNetworkConfig, about("Sizes of the networks")] = HitsNetworkConfig()
    stage: Annotated[AtLeastOne[HitsStage], about("Parts of the training, in their order, each once")]
