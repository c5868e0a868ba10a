# SPDX-License-Identifier: BSD-3-Clause
"""Tables ``[network]`` and ``[[stage]]`` of trainings that draw lists of hits."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field
from pydantic.fields import FieldInfo

from fastcalo.config.base import about

from ...config.networks import WIDEST, NetworkConfig
from ...config.stages import LONGEST, CriticStageConfig, StageConfig


def _width(what: str, *stages: str) -> FieldInfo:
    """Describe the width of a network that some stages train."""
    where = f"stage{'s' if len(stages) > 1 else ''} {' and '.join(stages)}"
    return about(f"Width of {what} ({where})", unit="neurons", stages=stages, ge=1, le=WIDEST)


class HitsNetworkConfig(NetworkConfig):
    """``[network]`` of ``arch = "hits"``."""

    variant: ClassVar[str] = 'arch = "hits"'

    layer_width: Annotated[int, _width("the hidden layers of the layer model", "layers")] = 128
    hit_width: Annotated[int, _width("the hidden layers of the hit model", "hits", "adversarial")] = 192
    share_width: Annotated[
        int, _width("the network that divides a layer's energy among its hits", "hits", "adversarial")
    ] = 48
    critic_width: Annotated[int, _width("the hidden layers of the critic", "adversarial")] = 256


class LayersStageConfig(StageConfig):
    """Stage ``layers`` of ``arch = "hits"``: hit count and energy of every layer, by maximum likelihood."""

    variant: ClassVar[str] = 'stage "layers" of arch = "hits"'

    name: Annotated[Literal["layers"], about("Hit count and energy of every layer, by maximum likelihood")]


class HitsStageConfig(StageConfig):
    """Stage ``hits`` of ``arch = "hits"``: cells and shares of energy within the layers, by maximum likelihood."""

    variant: ClassVar[str] = 'stage "hits" of arch = "hits"'

    name: Annotated[Literal["hits"], about("Cells and shares of energy within the layers, by maximum likelihood")]
    latent_start: Annotated[
        int,
        about(
            "Step from which the weight of the latent divergence rises; before, it is 0.01, so that the latent vector "
            "is not ignored",
            unit="steps", source="Bowman et al., arXiv:1511.06349", ge=0, le=LONGEST,
        ),
    ] = 700  # fmt: skip
    latent_ramp: Annotated[
        int, about("Steps in which that weight rises to 1, linearly", unit="steps", ge=1, le=LONGEST)
    ] = 1_200


class AdversarialStageConfig(CriticStageConfig):
    """Stage ``adversarial`` of ``arch = "hits"``: a critic removes what the likelihood leaves."""

    variant: ClassVar[str] = 'stage "adversarial" of arch = "hits"'

    name: Annotated[Literal["adversarial"], about("A critic removes the differences that the likelihood leaves")]
    updates: Annotated[
        int,
        about(
            "Parts of a batch by each of which both networks are updated in a step; the showers of a batch are drawn "
            "at once, which takes most of the time. Above 1, which showers make an update depends on the number of "
            "ranks",
            ge=1, le=100,
        ),
    ] = 1  # fmt: skip


HitsStage: TypeAlias = Annotated[
    LayersStageConfig | HitsStageConfig | AdversarialStageConfig, Field(discriminator="name")
]
"""Any stage of ``arch = "hits"``."""
