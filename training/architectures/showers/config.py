# SPDX-License-Identifier: BSD-3-Clause
"""The file of a training of ``arch = "showers"``: the stages of ``arch = "hits"``, and three of its own."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from fastcalo.config.base import AtLeastOne, Several, about
from fastcalo.config.validation import WrongValue

from ...config.stages import CriticStageConfig, StageConfig
from ...config.train_config import TrainConfig
from ..hit_lists.config import AdversarialStageConfig, HitsNetworkConfig, HitsStageConfig, LayersStageConfig


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
    candidates: Annotated[
        int,
        about(
            "How many times each layer's hits are drawn. One of the sets is kept, the more often the more it looks "
            'like full simulation to a network that stage "choice" trains',
            ge=1,
            le=16,
        ),
    ] = 1
    candidates_of_large: Annotated[
        int,
        about(
            "The same for layers of more than 8 hits, whose candidates take most of the time; as many as of others "
            "where 0",
            ge=0,
            le=16,
        ),
    ] = 0


class _ChoiceStageConfig(StageConfig):
    """What both stages of the choice between candidates have."""

    updates: Annotated[
        int,
        about(
            "Parts of a batch by each of which the network is updated in a step; the layers of a batch are drawn at "
            "once, which takes most of the time",
            ge=1, le=100,
        ),
    ] = 1  # fmt: skip


class ChoiceStageConfig(_ChoiceStageConfig):
    """Stage ``choice`` of ``arch = "showers"``: which set of hits of a layer is kept."""

    variant: ClassVar[str] = 'stage "choice" of arch = "showers"'

    name: Annotated[
        Literal["choice"],
        about(
            "Which set of hits of a layer is kept; between the stages hits and adversarial, which then sees "
            "what is kept. Only with two candidates or more"
        ),
    ]


class EnergiesStageConfig(CriticStageConfig):
    """Stage ``energies`` of ``arch = "showers"``: how hits share energy, by a critic and on true cells."""

    variant: ClassVar[str] = 'stage "energies" of arch = "showers"'

    name: Annotated[
        Literal["energies"],
        about(
            "How hits share the energy of their layer: a critic compares energies drawn for true cells. Where there "
            "is this stage, the adversarial one leaves the sharing as it is"
        ),
    ]


class ContrastiveStageConfig(_ChoiceStageConfig):
    """Stage ``contrastive`` of ``arch = "showers"``: which set of hits is kept, by what is kept of whole showers."""

    variant: ClassVar[str] = 'stage "contrastive" of arch = "showers"'

    name: Annotated[
        Literal["contrastive"],
        about(
            "The choice learns on, by whole showers that are drawn with it: what is kept comes to look like full "
            "simulation on average. Last of all, with small rates"
        ),
    ]


ShowersStage: TypeAlias = Annotated[
    LayersStageConfig
    | HitsStageConfig
    | ChoiceStageConfig
    | EnergiesStageConfig
    | AdversarialStageConfig
    | ContrastiveStageConfig,
    Field(discriminator="name"),
]
"""Any stage of ``arch = "showers"``."""


class ShowersTrainConfig(TrainConfig):
    """A training of ``arch = "showers"``."""

    variant: ClassVar[str] = 'arch = "showers"'
    whole_showers: ClassVar[bool] = True

    arch: Annotated[
        Literal["showers"], about("Hit by hit without a window, each layer's hits given those of layers before")
    ]
    network: Annotated[ShowersNetworkConfig, about("Sizes of the networks")] = ShowersNetworkConfig()
    stage: Annotated[AtLeastOne[ShowersStage], about("Parts of the training, in their order, each once")]

    @model_validator(mode="after")
    def _network_fits(self) -> Self:
        layers = self.network.section_layers
        if layers and len(layers) != len(self.sections):
            raise WrongValue(
                f"must hold a number for each of the sections {list(self.sections)}, but is {list(layers)}",
                "network.section_layers",
            )
        if self.network.candidates_of_large > self.network.candidates:
            most, wanted = self.network.candidates, self.network.candidates_of_large
            raise WrongValue(
                f"must be at most {most}, the number of candidates, but is {wanted}", "network.candidates_of_large"
            )
        chooses = any(stage.name == "choice" for stage in self.stage)
        chosen = [stage.name for stage in self.stage if isinstance(stage, _ChoiceStageConfig)]
        if self.network.candidates == 1 and chosen:
            raise WrongValue(f'must be 2 or more where there is a stage "{chosen[0]}", but is 1', "network.candidates")
        if self.network.candidates > 1 and not (chooses or self.start):
            problem = (
                f'is {self.network.candidates}, but no stage "choice" trains what chooses; add one, or set it to 1'
            )
            raise WrongValue(problem, "network.candidates")
        return self

    @property
    def section_layers(self) -> tuple[int, ...]:
        """Layers of each section, from its front, that the model covers; all where empty."""
        return self.network.section_layers
