# SPDX-License-Identifier: BSD-3-Clause
"""Tables ``[[stage]]`` of a training's file: what a part of the training does, and for how long."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from fastcalo.config.base import Model, Pair, about
from fastcalo.config.validation import WrongValue

LONGEST = 1_000_000_000
"""Largest number of steps."""
_ADAM = "Adam, Kingma & Ba, arXiv:1412.6980"
_Momenta = Annotated[float, Field(ge=0, lt=1)]


class StageConfig(Model):
    """``[[stage]]``: one part of the training; they run in the order of the file. The keys depend on `name`."""

    tag: ClassVar[str] = "name"

    name: Annotated[str, about("Which part of the training it is")]
    steps: Annotated[
        int,
        about(
            "Steps of the training; of all workers together where a strategy other than allreduce trains",
            unit="steps",
            ge=1,
            le=LONGEST,
        ),
    ]
    batch: Annotated[
        int,
        about(
            "Showers of a step, of all processes together; of one worker where a strategy other than allreduce trains",
            unit="showers", ge=1, le=10_000_000,
        ),
    ] = 64  # fmt: skip
    accumulate: Annotated[
        int,
        about(
            "Parts in which a process computes its share of a batch, one after the other, to save memory. "
            "The result is the same, but for rounding",
            changes_result=False, ge=1, le=10_000_000,
        ),
    ] = 1  # fmt: skip
    learning_rate: Annotated[float, about("Learning rate after the warm-up", source=_ADAM, gt=0)] = 2e-3
    final_rate: Annotated[
        float,
        about(
            "Learning rate at the last step, where anneal is true",
            source="half a cosine, Loshchilov & Hutter, arXiv:1608.03983",
            ge=0,
        ),
    ] = 1e-5  # fmt: skip
    warmup: Annotated[
        int, about("Steps in which the learning rate rises from 0, linearly", unit="steps", ge=0, le=LONGEST)
    ] = 100
    weight_decay: Annotated[
        float, about("Decoupled weight decay of the generator", source="AdamW, Loshchilov & Hutter, arXiv:1711.05101",
                     ge=0, le=1_000)
    ] = 0.0  # fmt: skip
    betas: Annotated[
        Pair[_Momenta],
        about("Decay of the running means of the gradient and of its square; each at least 0, below 1", source=_ADAM),
    ] = (0.9, 0.999)
    clip: Annotated[
        float,
        about("Largest norm of the generator's gradient; larger ones are scaled down to it",
              source="Pascanu, Mikolov & Bengio, arXiv:1211.5063", gt=0),
    ] = 1.0  # fmt: skip
    ema: Annotated[
        float,
        about(
            "Decay of the running mean of the generator's weights, which is what the stage ends with; 0 is no mean",
            source="Polyak & Juditsky 1992; for GANs Yazici et al., arXiv:1806.04498",
            ge=0, lt=1,
        ),
    ] = 0.0  # fmt: skip
    anneal: Annotated[
        bool, about("Whether the learning rate falls to final_rate by half a cosine; it stays constant otherwise")
    ] = True
    evaluate_every: Annotated[
        int, about("Steps from one evaluation to the next", unit="steps", changes_result=False, ge=1, le=LONGEST)
    ] = 1_000
    checkpoint_every: Annotated[
        int, about("Steps from one checkpoint to the next", unit="steps", changes_result=False, ge=1, le=LONGEST)
    ] = 500

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.accumulate > self.batch:
            raise WrongValue(f"must be at most batch = {self.batch}, but is {self.accumulate}", "accumulate")
        return self


class CriticStageConfig(StageConfig):
    """A stage that trains a critic, too."""

    critic_rate: Annotated[float, about("Learning rate of the critic, constant", source=_ADAM, gt=0)] = 4e-4
    critic_betas: Annotated[
        Pair[_Momenta], about("As betas, of the critic's optimiser; each at least 0, below 1", source=_ADAM)
    ] = (0.0, 0.99)
    critic_only: Annotated[
        int, about("Steps at the start in which only the critic is trained", unit="steps", ge=0, le=LONGEST)
    ] = 250
    adversarial_weight: Annotated[
        float, about("Weight of the critic's judgement in the generator's loss", ge=0, le=1e6)
    ] = 0.3
    gradient_penalty: Annotated[
        float,
        about(
            "Weight of the zero-centred gradient penalty of the critic",
            source="Mescheder, Geiger & Nowozin, arXiv:1801.04406; Huang et al., arXiv:2501.05441",
            ge=0, le=1e6,
        ),
    ] = 0.5  # fmt: skip
    penalty_every: Annotated[
        int,
        about("Steps from one gradient penalty to the next; it is multiplied by as much", unit="steps",
              source="Karras et al., arXiv:1912.04958", ge=1, le=LONGEST),
    ] = 8  # fmt: skip
