# SPDX-License-Identifier: BSD-3-Clause
"""Interface of architectures: networks, and losses of each stage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from torch import Tensor, nn

from ..config import StageConfig
from ..data.batch import Batch
from ..random_numbers import ShowerRandom

Metrics = dict[str, float]
"""Numbers worth logging, by name."""


class Architecture(Protocol):
    """A conditional generator with its discriminator and the stages in which they are trained."""

    networks: nn.ModuleDict

    def trained_by(self, stage: str) -> dict[str, list[nn.Parameter]]:
        """Parameters that each optimiser of a stage steps, by the name of the optimiser.

        ``"generator"`` runs with the stage's `learning_rate`, ``"critic"`` with its `critic_rate`.
        """

    def kept_by(self, stage: str) -> tuple[str, ...]:
        """Names of the networks that a stage changes; its checkpoint holds them."""

    def begin(self, stage: str, batch: Batch) -> None:
        """Called once before a stage's first step, with a batch of true showers."""

    def losses(
        self, stage: StageConfig, batch: Batch, step: int, metrics: Metrics, draws: ShowerRandom
    ) -> Iterator[tuple[str, Tensor]]:
        """Losses of one step, each with the name of the optimiser that is to lower it.

        Each is a mean over the showers of `batch`, which may be a part of the global one. The loop steps that
        optimiser before it asks for the next loss. Numbers worth logging, means too, go into `metrics`. Where
        `stage.accumulate` is above 1, other parts' losses are asked for in between: hold little from one to the next.
        """

    def evaluate(self, stage: StageConfig, batch: Batch) -> Metrics:
        """Physics of generated showers beside the true ones of `batch`."""
