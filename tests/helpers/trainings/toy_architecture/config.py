# SPDX-License-Identifier: BSD-3-Clause
"""Tables of a training of ``arch = "toy"``."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from fastcalo.config.base import AtLeastOne, about
from fastcalo.training.architectures.hits.config import LayersStageConfig
from fastcalo.training.config import NetworkConfig, TrainConfig


class ToyNetworkConfig(NetworkConfig):
    """``[network]`` of ``arch = "toy"``."""

    variant: ClassVar[str] = 'arch = "toy"'

    toy_width: Annotated[int, about("Width of all networks", unit="neurons", ge=1)] = 8


class ToyTrainConfig(TrainConfig):
    """A training of ``arch = "toy"``."""

    variant: ClassVar[str] = 'arch = "toy"'

    arch: Annotated[Literal["toy"], about("For tests")]
    network: Annotated[ToyNetworkConfig, about("Sizes of the networks")] = ToyNetworkConfig()
    stage: Annotated[AtLeastOne[LayersStageConfig], about("The training")]
