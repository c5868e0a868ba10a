# SPDX-License-Identifier: BSD-3-Clause
"""The whole file of a training, in a variant for each architecture."""

from __future__ import annotations

import os
from typing import Annotated, Any, ClassVar, Literal, Self, Union, get_args

from pydantic import Field, field_validator, model_validator

from fastcalo.config.base import AtLeastOne, Model, about
from fastcalo.config.toml import read_toml
from fastcalo.config.validation import WrongValue, choose_variant, models_in, shown, validate, validate_recorded

from .data import DataConfig, ValidityConfig
from .networks import DenseNetworkConfig, HitsNetworkConfig, NetworkConfig
from .parallel import AllReduceConfig, Parallel
from .stages import DenseStageConfig, HitsStage, StageConfig

_Code = Annotated[int, Field(gt=-(1 << 31), lt=1 << 31)]


class TrainConfig(Model):
    """The whole file; ``[network]`` and ``[[stage]]`` depend on `arch`."""

    tag: ClassVar[str] = "arch"

    name: Annotated[str, about("Name of the model that is trained", changes_result=False)]
    arch: Annotated[str, about("Architecture of the networks")]
    species: Annotated[AtLeastOne[_Code], about("Particles that the model is made for, each once", unit="PDG codes")]
    detector: Annotated[str, about("Name of a shipped detector, or the path of its TOML file", min_length=1)] = (
        "clic-like"
    )
    sections: Annotated[
        AtLeastOne[str], about("Sections of the detector that the model fills, from the face inwards, each once")
    ] = ("ECAL",)
    seed: Annotated[int, about("Seed of all random numbers", ge=0, lt=1 << 63)] = 1
    threads: Annotated[
        int, about("Threads of torch in each process; 0 leaves it to torch", changes_result=False, ge=0, le=1_024)
    ] = 0
    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        about("Where networks are trained; auto is a GPU where torch sees one, else the CPU", changes_result=False),
    ] = "auto"
    data: Annotated[DataConfig, about("Where showers come from")]
    network: Annotated[NetworkConfig, about("Sizes of the networks")]
    validity: Annotated[ValidityConfig, about("Particles that the model is made for")] = ValidityConfig()
    parallel: Annotated[Parallel, about("How processes train together")] = AllReduceConfig()
    stage: Annotated[tuple[StageConfig, ...], about("Parts of the training, in their order")]

    @field_validator("species", "sections")
    @classmethod
    def _each_once(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(values)) < len(values):
            raise WrongValue(f"must hold each value once, but is {shown(list(values))}")
        return values

    @model_validator(mode="after")
    def _stages_fit(self) -> Self:
        names = [stage.name for stage in self.stage]
        for i, stage in enumerate(self.stage):
            if stage.name in names[:i]:
                raise WrongValue(f"a stage stands there twice ({', '.join(names)})", "stage")
        return self


class HitsTrainConfig(TrainConfig):
    """A training of ``arch = "hits"``."""

    variant: ClassVar[str] = 'arch = "hits"'

    arch: Annotated[Literal["hits"], about("Hit by hit: a likelihood model with a critic, for any number of sections")]
    network: Annotated[HitsNetworkConfig, about("Sizes of the networks")] = HitsNetworkConfig()
    stage: Annotated[AtLeastOne[HitsStage], about("Parts of the training, in their order, each once")]


class ShowersTrainConfig(TrainConfig):
    """A training of ``arch = "showers"``."""

    variant: ClassVar[str] = 'arch = "showers"'

    arch: Annotated[
        Literal["showers"], about("Hit by hit without a window, each layer's hits given those of the layer before")
    ]
    network: Annotated[HitsNetworkConfig, about("Sizes of the networks")] = HitsNetworkConfig()
    stage: Annotated[AtLeastOne[HitsStage], about("Parts of the training, in their order, each once")]


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


VARIANTS: dict[str, type[TrainConfig]] = {
    "hits": HitsTrainConfig,
    "showers": ShowersTrainConfig,
    "3dgan": DenseTrainConfig,
}
"""Models of the whole file, by architecture."""

TrainFile: Any = Annotated[Union[tuple(VARIANTS.values())], Field(discriminator="arch")]  # noqa: UP007 - a tuple
"""Any training."""

ARCHITECTURES = {
    arch: tuple(
        name
        for stage in models_in(model.model_fields["stage"].annotation)
        for name in get_args(stage.model_fields["name"].annotation)
    )
    for arch, model in VARIANTS.items()
}
"""Architectures and the stages that each knows, in the order in which they build on each other."""


def load_config(path: str | os.PathLike[str]) -> TrainConfig:
    """Read a training's TOML.

    Raises
    ------
    ConfigError
        Unreadable file, unknown or missing key, a key without effect, a value that cannot be; the message gives file
        and key.
    """
    return read_config(read_toml(path), str(path))


def read_config(table: dict[str, Any], where: str) -> TrainConfig:
    """Make a training's configuration of a table in the shape of the file; raises what `load_config` raises."""
    return validate(choose_variant(VARIANTS, "arch", table, where), table, where)


def recorded_config(table: Any, where: str) -> TrainConfig:
    """As `read_config`, of a table that fastcalo wrote into a run's folder or a journal, perhaps long ago.

    Keys of other architectures, stages and strategies, which had no effect, are passed over.
    """
    return validate_recorded(choose_variant(VARIANTS, "arch", table, where), table, where)
