# SPDX-License-Identifier: BSD-3-Clause
"""One optimisation step of a stage: gradients of its losses, clipping, and the updates of its optimisers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from ..architectures.base import Metrics
from ..config import StageConfig
from .gradient_accumulation import PartialLoss
from .optimisers import set_rate


class Backward(Protocol):
    """Computes gradients, as `fastcalo.training.exchange.Exchange.backward` does."""

    def __call__(self, loss: Tensor, parameters: Sequence[nn.Parameter], share: float, *, last: bool = True) -> None:
        """Leave the gradient of a loss in each parameter's ``grad``."""


class GanStep:
    """Updates each optimiser of a stage by the gradient of its loss, one loss after the other.

    Used by every strategy: in step (`fastcalo.training.stages.stage`) and by the workers of an asynchronous training.
    It works where the losses and the parameters are, on the CPU or on a GPU.

    Parameters
    ----------
    stage : StageConfig
        Learning rates, and the largest norm of the generator's gradient, `clip`.
    parameters : mapping of str to sequence of Parameter
        Parameters of each optimiser.
    optimisers : mapping of str to optimiser
        Of the same names.
    backward : Backward
        Computes the gradients, and averages them over ranks that train in step.
    before_update : callable
        Called with the name of an optimiser before it updates its parameters, when their gradients are final.
    lap : callable
        Called with ``"compute"``, ``"backward"`` or ``"optimiser"`` when such a part of the step is done.
    """

    def __init__(
        self,
        stage: StageConfig,
        parameters: Mapping[str, Sequence[nn.Parameter]],
        optimisers: Mapping[str, torch.optim.Optimizer],
        backward: Backward,
        *,
        before_update: Callable[[str], None] = lambda _: None,
        lap: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._stage, self._backward = stage, backward
        self._parameters = {name: list(of_one) for name, of_one in parameters.items()}
        self._optimisers = optimisers
        self._before_update, self._lap = before_update, lap

    def run(self, step: int, losses: Iterable[PartialLoss], metrics: Metrics, share: float = 1.0) -> None:
        """Make one step.

        Parameters
        ----------
        step : int
            Number of the step in its stage.
        losses : iterable of PartialLoss
            The terms of a loss are asked for only after the optimiser of the loss before was stepped.
        metrics : dict
            ``gradient``, the norm of the generator's gradient before clipping, is added.
        share : float
            This rank's part of the global batch's showers.
        """
        for name, loss, first, last in losses:
            self._lap("compute")
            optimiser, parameters = self._optimisers[name], self._parameters[name]
            if first:
                optimiser.zero_grad(set_to_none=True)
            self._backward(loss, parameters, share, last=last)
            self._lap("backward")
            if not last:
                continue
            set_rate(optimiser, self._stage, name, step)
            if name == "generator":
                metrics["gradient"] = nn.utils.clip_grad_norm_(parameters, self._stage.clip).item()
            self._before_update(name)
            optimiser.step()
            self._lap("optimiser")
