# SPDX-License-Identifier: BSD-3-Clause
"""Tables ``[[stage]]`` of a training's file: what a part of the training does, and for how long."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from fastcalo.config.base import Model, Pair, about
from fastcalo.config.validation import WrongValue

_LONGEST = 1_000_000_000
_ADAM = "Adam, Kingma & Ba, arXiv:1412.6980"
_DENSE = "3DGAN, Khattak et al., Eur. Phys. J. C 82 (2022) 386"
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
            le=_LONGEST,
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
        int, about("Steps in which the learning rate rises from 0, linearly", unit="steps", ge=0, le=_LONGEST)
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
        int, about("Steps from one evaluation to the next", unit="steps", changes_result=False, ge=1, le=_LONGEST)
    ] = 1_000
    checkpoint_every: Annotated[
        int, about("Steps from one checkpoint to the next", unit="steps", changes_result=False, ge=1, le=_LONGEST)
    ] = 500

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.accumulate > self.batch:
            raise WrongValue(f"must be at most batch = {self.batch}, but is {self.accumulate}", "accumulate")
        return self


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
            unit="steps", source="Bowman et al., arXiv:1511.06349", ge=0, le=_LONGEST,
        ),
    ] = 700  # fmt: skip
    latent_ramp: Annotated[
        int, about("Steps in which that weight rises to 1, linearly", unit="steps", ge=1, le=_LONGEST)
    ] = 1_200


class CriticStageConfig(StageConfig):
    """A stage that trains a critic, too."""

    critic_rate: Annotated[float, about("Learning rate of the critic, constant", source=_ADAM, gt=0)] = 4e-4
    critic_betas: Annotated[
        Pair[_Momenta], about("As betas, of the critic's optimiser; each at least 0, below 1", source=_ADAM)
    ] = (0.0, 0.99)
    critic_only: Annotated[
        int, about("Steps at the start in which only the critic is trained", unit="steps", ge=0, le=_LONGEST)
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
              source="Karras et al., arXiv:1912.04958", ge=1, le=_LONGEST),
    ] = 8  # fmt: skip


class AdversarialStageConfig(CriticStageConfig):
    """Stage ``adversarial`` of ``arch = "hits"``: a critic removes what the likelihood leaves."""

    variant: ClassVar[str] = 'stage "adversarial" of arch = "hits"'

    name: Annotated[Literal["adversarial"], about("A critic removes the differences that the likelihood leaves")]


class DenseStageConfig(CriticStageConfig):
    """Stage ``adversarial`` of ``arch = "3dgan"``: the whole training."""

    variant: ClassVar[str] = 'stage "adversarial" of arch = "3dgan"'

    name: Annotated[Literal["adversarial"], about("Critic and generator, the whole training of this architecture")]
    energy_weight: Annotated[
        float, about("Weight of the difference of ln E, as the critic measures it", source=_DENSE,
                     ge=0, le=1e6)
    ] = 1.0  # fmt: skip
    angle_weight: Annotated[
        float, about("Weight of the difference of the cosine of the angle, as the critic measures it",
                     source=_DENSE, ge=0, le=1e6)
    ] = 1.0  # fmt: skip
    sum_weight: Annotated[
        float, about("Weight of the difference of the logarithm of the summed deposits",
                     source=_DENSE, ge=0, le=1e6)
    ] = 0.1  # fmt: skip


HitsStage: TypeAlias = Annotated[
    LayersStageConfig | HitsStageConfig | AdversarialStageConfig, Field(discriminator="name")
]
"""Any stage of ``arch = "hits"``."""
