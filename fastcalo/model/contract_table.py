# SPDX-License-Identifier: BSD-3-Clause
"""Clauses of a model's contract: what each is, and what it may be."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, WithJsonSchema, field_validator, model_validator

from ..config.base import AtLeastOne, Model, Pair, Several, about
from ..config.validation import WrongValue, shown

_Code = Annotated[int, Field(gt=-(1 << 31), lt=1 << 31)]
_Size = Annotated[int, Field(ge=1, lt=1 << 31)]
_Coefficient = Annotated[float, Field(ge=0, le=1e12)]


class NoiseTable(Model):
    """One tensor of random numbers that the graph takes."""

    name: Annotated[str, about("Name of the input", min_length=1)]
    shape: Annotated[
        Several[Annotated[Any, WithJsonSchema({"type": ["integer", "string"]})]],
        about("Sizes without that of the batch; P grows with energy, see capacity"),
    ]
    distribution: Annotated[
        Literal["uniform", "normal", "logistic"],
        about("Uniform strictly between 0 and 1; normal or logistic of mean 0 and scale 1"),
    ]
    capacity: Annotated[
        Annotated[tuple[_Coefficient, _Coefficient, _Coefficient], Field(strict=False)] | None,
        about("a, b, c: a shower of kinetic energy E in GeV reads at most a + b E^c rows, where the shape holds P"),
    ] = None

    @field_validator("shape")
    @classmethod
    def _are_sizes(cls, shape: tuple[Any, ...]) -> tuple[Any, ...]:
        for size in shape:
            if size != "P" and not (type(size) is int and 0 < size < 1 << 31):
                raise WrongValue(f"must hold whole numbers above 0, or 'P', but is {shown(list(shape))}")
        return shape

    @model_validator(mode="after")
    def _shape_fits(self) -> Self:
        if self.capacity is None and "P" in self.shape:
            raise WrongValue(f"{self.name!r} has the shape {list(self.shape)}, and no capacity", "shape")
        if self.capacity is not None and (len(self.shape) != 2 or self.shape[0] != "P" or self.shape[1] == "P"):
            raise WrongValue(
                f"{self.name!r} has a capacity, and then must have a shape like ['P', 3], not {list(self.shape)}",
                "shape",
            )
        return self


class StackSection(Model):
    """What a runtime must know of a section of the detector that the model was trained for."""

    model_config = ConfigDict(extra="ignore")

    name: Annotated[str, about("Name of the section")]
    window: Annotated[Pair[_Size], about("Cells along x and y", unit="cells")]
    absorber_mm: Annotated[AtLeastOne[float], about("Thickness of the absorber, layer by layer", unit="mm")]


class StackTable(Model):
    """Description of the calorimeter's layers; keys that a runtime need not know are let pass."""

    model_config = ConfigDict(extra="ignore")

    sections: Annotated[Several[StackSection], about("Sections from the face inwards")]


class ContractTable(Model):
    """All clauses but the number of the format."""

    name: Annotated[str, about("Name of the model")]
    arch: Annotated[str, about("Architecture of the networks")]
    species: Annotated[AtLeastOne[_Code], about("Particles that the model knows", unit="PDG codes")]
    kinetic_energy: Annotated[Pair[float], about("Smallest and largest kinetic energy", unit="GeV")]
    max_angle: Annotated[
        float, about("Largest angle between direction and normal of the layers", unit="rad", gt=0, lt=math.pi / 2)
    ]
    sections: Annotated[AtLeastOne[str], about("Sections that the model fills, each once")]
    stack: Annotated[StackTable, about("Description of the calorimeter's layers")]
    stack_hash: Annotated[str, about("SHA-256 of the stack, hexadecimal")]
    noise: Annotated[Several[NoiseTable], about("Tensors of random numbers that the graph takes")]
    thresholds: Annotated[dict[str, float], about("Smallest deposit that is a hit, by section", unit="GeV")]
    sparse: Annotated[bool, about("Whether there are outputs for each hit besides the dense ones")]
    data_hash: Annotated[str, about("Digest of the training's showers")]
    code_version: Annotated[str, about("Version of fastcalo that trained the model")]
    scores: Annotated[dict[str, float], about("What was measured at export")] = Field(default_factory=dict)
    units: Annotated[Literal["GeV, mm, rad"], about("Units of all inputs and outputs")] = "GeV, mm, rad"

    @field_validator("kinetic_energy")
    @classmethod
    def _rises(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] < value[1]:
            raise WrongValue(f"must be [low, high] with 0 < low < high, but is {list(value)}")
        return value

    @field_validator("sections")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise WrongValue(f"must hold each name once, but is {shown(list(names))}")
        return names

    @field_validator("noise")
    @classmethod
    def _names_differ(cls, noise: tuple[NoiseTable, ...]) -> tuple[NoiseTable, ...]:
        if len({tensor.name for tensor in noise}) < len(noise):
            raise WrongValue("two tensors have one name")
        return noise
