# SPDX-License-Identifier: BSD-3-Clause
"""The file of a training of ``arch = "showers"``; its tables are those of ``arch = "hits"``."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from fastcalo.config.base import AtLeastOne, about

from ...config.train_config import TrainConfig
from ..hits.config import HitsNetworkConfig, HitsStage


class ShowersTrainConfig(TrainConfig):
    """A training of ``arch = "showers"``."""

    variant: ClassVar[str] = 'arch = "showers"'
    whole_showers: ClassVar[bool] = True

    arch: Annotated[
        Literal["showers"], about("Hit by hit without a window, each layer's hits given those of the layer before")
    ]
    network: Annotated[HitsNetworkConfig, about("Sizes of the networks")] = HitsNetworkConfig()
    stage: Annotated[AtLeastOne[HitsStage], about("Parts of the training, in their order, each once")]
