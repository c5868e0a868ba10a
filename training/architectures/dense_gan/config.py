# SPDX-License-Identifier: BSD-3-Clause
"""Tables ``[network]`` and ``[[stage]]`` of a training of ``arch = "3dgan"``, and the whole file."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from fastcalo.config.base import AtLeastOne, about
from fastcalo.config.validation import WrongValue

from ...config.networks import WIDEST, NetworkConfig
from ...config.stages import CriticStageConfig
from ...config.train_config import TrainConfig

_SOURCE = "3DGAN, Khattak et al., Eur. Phys. J. C 82 (2022) 386"


class DenseNetworkConfig(NetworkConfig):
    """``[network]`` of ``arch = "3dgan"``."""

    variant: ClassVar[str] = 'arch = "3dgan"'

    dense_channels: Annotated[
        int,
        about(
            "Channels of the convolutions where the grid of cells is halved once; the time of a step grows with the "
            "square",
            source=f"after {_SOURCE}",
            ge=2, le=4_096,
        ),
    ] = 32  # fmt: skip
    dense_latent: Annotated[
        int,
        about("Length of the generator's vector of random numbers", source=f"after {_SOURCE}", ge=1, le=WIDEST),
    ] = 64


class DenseStageConfig(CriticStageConfig):
    """Stage ``adversarial`` of ``arch = "3dgan"``: the whole training."""

    variant: ClassVar[str] = 'stage "adversarial" of arch = "3dgan"'

    name: Annotated[Literal["adversarial"], about("Critic and generator, the whole training of this architecture")]
    energy_weight: Annotated[
        float, about("Weight of the difference of ln E, as the critic measures it", source=_SOURCE,
                     ge=0, le=1e6)
    ] = 1.0  # fmt: skip
    angle_weight: Annotated[
        float, about("Weight of the difference of the cosine of the angle, as the critic measures it",
                     source=_SOURCE, ge=0, le=1e6)
    ] = 1.0  # fmt: skip
    sum_weight: Annotated[
        float, about("Weight of the difference of the logarithm of the summed deposits",
                     source=_SOURCE, ge=0, le=1e6)
    ] = 0.1  # fmt: skip


class DenseTrainConfig(TrainConfig):
    """A training of ``arch = "3dgan"``."""

    variant: ClassVar[str] = 'arch = "3dgan"'

    arch: Annotated[Literal["3dgan"], about("All cells at once: a convolutional GAN after 3DGAN, for one section")]
    network: Annotated[DenseNetworkConfig, about("Sizes of the networks")] = DenseNetworkConfig()
    stage: Annotated[
        AtLeastOne[Annotated[DenseStageConfig, Field(discriminator="name")]], about("The training: there is one stage")
    ]

    @field_validator("sections")
    @classmethod
    def _one_section(cls, sections: tuple[str, ...]) -> tuple[str, ...]:
        if len(sections) > 1:
            raise WrongValue(f"arch = '3dgan' draws one section only, not {list(sections)}")
        return sections
