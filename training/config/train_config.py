# SPDX-License-Identifier: BSD-3-Clause
"""The whole file of a training: what all architectures have in common, and how one of them is chosen."""

from __future__ import annotations

import os
from typing import Annotated, Any, ClassVar, Literal, Self, Union

from pydantic import Field, field_validator, model_validator

from fastcalo.config.base import AtLeastOne, Model, about
from fastcalo.config.toml import read_toml
from fastcalo.config.validation import WrongValue, choose_variant, shown, validate, validate_recorded

from ..registry import ARCHITECTURES, architecture_entry, load_object
from .data import DataConfig, ValidityConfig
from .networks import NetworkConfig
from .parallel import AllReduceConfig, Parallel
from .stages import StageConfig

_Code = Annotated[int, Field(gt=-(1 << 31), lt=1 << 31)]


class TrainConfig(Model):
    """The whole file; ``[network]`` and ``[[stage]]`` depend on `arch`.

    Attributes
    ----------
    whole_showers : bool
        Of an architecture: whether it learns from whole showers, of particles that enter anywhere, and not from the
        windows of cells around their lines of flight.
    """

    tag: ClassVar[str] = "arch"
    whole_showers: ClassVar[bool] = False

    name: Annotated[str, about("Name of the model that is trained", changes_result=False)]
    arch: Annotated[str, about("Architecture of the networks")]
    species: Annotated[AtLeastOne[_Code], about("Particles that the model is made for, each once", unit="PDG codes")]
    detector: Annotated[str, about("Name of a shipped detector, or the path of its TOML file", min_length=1)] = (
        "clic-like"
    )
    sections: Annotated[
        AtLeastOne[str], about("Sections of the detector that the model fills, from the face inwards, each once")
    ] = ("ECAL",)
    start: Annotated[
        str,
        about(
            "Folder of a finished run with networks of the same shapes, which this one begins with; random ones where "
            "empty. $NAME and ~ as in data.train"
        ),
    ] = ""
    seed: Annotated[int, about("Seed of all random numbers", ge=0, lt=1 << 63)] = 1
    threads: Annotated[
        int,
        about(
            "Threads of torch in each process; 0 for its part of the free cores", changes_result=False, ge=0, le=1_024
        ),
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

    @property
    def section_layers(self) -> tuple[int, ...]:
        """Layers of each section, from its front, that the model covers; all where empty."""
        return ()


def config_models() -> dict[str, type[TrainConfig]]:
    """Models of the whole file, by architecture: those that the registered architectures bring."""
    return {arch: load_object(architecture_entry(arch).config) for arch in ARCHITECTURES}


def train_file() -> Any:
    """Type of the file of any training."""
    return Annotated[Union[tuple(config_models().values())], Field(discriminator="arch")]  # noqa: UP007 - a tuple


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
    return validate(choose_variant(config_models(), "arch", table, where), table, where)


def recorded_config(table: Any, where: str) -> TrainConfig:
    """As `read_config`, of a table that fastcalo wrote into a run's folder or a journal, perhaps long ago.

    Keys of other architectures, stages and strategies, which had no effect, are passed over.
    """
    return validate_recorded(choose_variant(config_models(), "arch", table, where), table, where)
