# SPDX-License-Identifier: BSD-3-Clause
"""Tables ``[data]`` and ``[validity]`` of a training's file."""

from __future__ import annotations

from typing import Annotated

from pydantic import field_validator

from fastcalo.config.base import AtLeastOne, Model, Pair, Several, about
from fastcalo.config.validation import WrongValue


class DataConfig(Model):
    """``[data]``: where showers come from.

    In a path, ``$NAME`` stands for the environment variable, and ``*`` for anything in the name of a file.
    """

    train: Annotated[
        AtLeastOne[str],
        about("Files of showers to train on; $NAME is an environment variable, * anything in the name of a file"),
    ]
    test: Annotated[
        Several[str], about("Files of showers that evaluations compare with; those of train where there are none")
    ] = ()
    pool: Annotated[
        int, about("Showers that are held in memory and shuffled at a time", unit="showers", ge=1, le=100_000_000)
    ] = 60_000
    cache: Annotated[
        str,
        about(
            "Folder for prepared showers, best on a disk of each machine; none where empty. $NAME and ~ as in train",
            changes_result=False,
        ),
    ] = ""


class ValidityConfig(Model):
    """``[validity]``: particles that the model is made for; others are refused when it is used."""

    kinetic_energy: Annotated[
        Pair[float], about("Smallest and largest kinetic energy, 0 < smallest < largest", unit="GeV")
    ] = (0.1, 100.0)
    angle_degrees: Annotated[
        float, about("Largest angle between the particle's direction and the normal of the layers", unit="degrees",
                     gt=0, lt=90)
    ] = 56.0  # fmt: skip

    @field_validator("kinetic_energy")
    @classmethod
    def _rises(cls, value: tuple[float, float]) -> tuple[float, float]:
        low, high = value
        if not 0 < low < high:
            raise WrongValue(f"must be [low, high] with 0 < low < high, but is {list(value)}")
        return value
