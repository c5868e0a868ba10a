# SPDX-License-Identifier: BSD-3-Clause
"""Networks of ``arch = "toy"``."""

from __future__ import annotations

from typing import Any

from fastcalo.training.architectures.hits.config import HitsNetworkConfig
from fastcalo.training.architectures.hits.gan import HitGan
from helpers.trainings.toy_architecture.config import ToyTrainConfig


class ToyGan(HitGan):
    """Networks and losses of ``arch = "hits"``, all of one width."""

    def __init__(self, config: ToyTrainConfig) -> None:
        width = config.network.toy_width
        network = HitsNetworkConfig(layer_width=width, hit_width=width, share_width=width, critic_width=width)
        hits: Any = config.model_copy(update={"network": network})
        super().__init__(hits)
