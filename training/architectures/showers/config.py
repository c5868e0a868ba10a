# SPDX-License-Identifier: BSD-3-Clause
"""The file of a training of ``arch = "showers"``; its stages are those of ``arch = "hits"``."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from fastcalo.config.base import AtLeastOne, Several, about
from fastcalo.config.validation import WrongValue

from ...config.train_config import TrainConfig
from ..hit_lists.config import HitsNetworkConfig, HitsStage


class ShowersNetworkConfig(HitsNetworkConfig):
    """``[network]`` of ``arch = "showers"``."""

    variant: ClassVar[str] = 'arch = "showers"'

    section_layers: Annotated[
        Several[Annotated[int, Field(ge=1)]],
        about(
            "Layers of each section that the model draws, from the section's front; hits behind are left out, in the "
            "training and in what is drawn. All where empty",
            unit="layers",
        ),
    ] = ()


class ShowersTrainConfig(TrainConfig):
    """A training of ``arch = "showers"``."""

    variant: ClassVar[str] = 'arch = "showers"'
    whole_showers: ClassVar[bool] = True

    arch: Annotated[
        Literal["showers"], about("Hit by hit without a window, each layer's hits given those of the layer before")
    ]
    network: Annotated[ShowersNetworkConfig, about("Sizes of the networks")] = ShowersNetworkConfig()
    stage: Annotated[AtLeastOne[HitsStage], about("Parts of the training, in their order, each once")]

    @model_validator(mode="after")
    def _layers_fit(self) -> Self:
        layers = self.network.section_layers
        if layers and len(layers) != len(self.sections):
            raise WrongValue(
                f"must hold a number for each of the sections {list(self.sections)}, but is {list(layers)}",
                "network.section_layers",
            )
        return self

    @property
    def section_layers(self) -> tuple[int, ...]:
        """Layers of each section, from its front, that the model covers; all where empty."""
        return self.network.section_layers
