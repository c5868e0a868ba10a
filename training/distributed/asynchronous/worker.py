# SPDX-License-Identifier: BSD-3-Clause
"""Worker of asynchronous training: several local steps between two messages."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from fastcalo.errors import TrainingError

from ...architectures.base import Metrics
from ...config import ServerConfig, StageConfig
from ...exchange import SingleProcess
from ...run import checkpoint
from ...stages.gan_step import GanStep
from ...stages.gradient_accumulation import PartialLoss
from ...stages.optimisers import make_optimiser
from .flat_parameters import FlatParameters
from .messages import Pull, Push
from .update_rules import make_update_rule


class Problem(Protocol):
    """What there is to minimise.

    Attributes
    ----------
    parameters : mapping of str to sequence of Parameter
        Of each optimiser.
    """

    @property
    def parameters(self) -> Mapping[str, Sequence[nn.Parameter]]:
        """Of each optimiser."""

    def losses(self, step: int, metrics: Metrics) -> Iterator[PartialLoss]:
        """Terms of the losses of one step; the optimiser of a loss is stepped before the next one is asked for."""


class Worker:
    """Makes the steps that the master asks for, and reports them.

    Parameters
    ----------
    number : int
        From 0.
    workers : int
    problem : Problem
        Its parameters become views of one vector.
    stage : StageConfig
    config : ServerConfig
    alive : callable
        Called before every step.

    Attributes
    ----------
    flat : FlatParameters
    """

    def __init__(
        self,
        number: int,
        workers: int,
        problem: Problem,
        stage: StageConfig,
        config: ServerConfig,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        self.number, self._problem, self._stage, self._alive = number, problem, stage, alive
        self.flat = FlatParameters(problem.parameters)
        self._rules = {name: make_update_rule(config, workers, _only_the_master) for name in problem.parameters}
        self._optimisers: dict[str, torch.optim.Optimizer] = {}
        for name, parameters in problem.parameters.items():
            adamw = make_optimiser(stage, name, list(parameters))
            plain = torch.optim.SGD(parameters, lr=adamw.param_groups[0]["lr"])
            self._optimisers[name] = adamw if self._rules[name].adaptive else plain
        self._moved: set[str] = set()
        self._step = GanStep(
            stage, problem.parameters, self._optimisers, SingleProcess().backward, before_update=self._accrue
        )

    def resume(self, optimisers: Mapping[str, torch.optim.Optimizer]) -> None:
        """Go on with the moments of other optimisers of the same parameters, where this worker's have any."""
        for name, optimiser in self._optimisers.items():
            if self._rules[name].adaptive:
                optimiser.load_state_dict(optimisers[name].state_dict())

    def state(self, pull: Pull) -> dict[str, Any]:
        """What this worker alone knows, once it has its answer: parameters to go on with, and moments."""
        return {
            "values": pull.values_N,
            # on the CPU, to be read on any machine
            "optimisers": checkpoint.to_device({name: o.state_dict() for name, o in self._optimisers.items()}, "cpu"),
        }

    def load_state(self, state: Mapping[str, Any], pull: Pull) -> Pull:
        """Take over what `state` holds, in place of an answer."""
        for name, optimiser in self._optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        return replace(pull, values_N=state["values"])

    def round(self, pull: Pull, signal: Callable[[], int] = lambda: 0) -> Push:
        """Make the steps of one message.

        Parameters
        ----------
        pull : Pull
        signal : callable
            Returns the signal received so far.

        Raises
        ------
        TrainingError
            A number is not finite.
        """
        fetched_N = pull.values_N.to(self.flat.values_N.device)
        self.flat.values_N.copy_(fetched_N)
        sums: Metrics = defaultdict(float)
        counts: dict[str, int] = defaultdict(int)
        self._moved.clear()
        for step in range(pull.step, pull.step + pull.steps):
            self._alive()
            for name, value in self._one(step).items():
                sums[name] += value
                counts[name] += 1
        rows_RN = torch.cat([self._row(name, fetched_N) for name in self.flat.parts], 1).cpu()
        means = {name: value / counts[name] for name, value in sums.items()}
        return Push(self.number, pull.steps, pull.version, tuple(sorted(self._moved)), means, rows_RN, signal())

    def _accrue(self, name: str) -> None:
        self._rules[name].accrue(self.flat.gradient(name))
        self._moved.add(name)

    def _one(self, step: int) -> Metrics:
        metrics: Metrics = {}
        self._step.run(step, self._problem.losses(step, metrics), metrics)
        if bad := [k for k, v in metrics.items() if not math.isfinite(v)]:
            raise TrainingError(
                f"stage {self._stage.name!r}, step {step}, worker {self.number}: {', '.join(bad)} is not finite; the "
                "last checkpoint is kept: lower learning_rate and go on with --resume"
            )
        return metrics

    def _row(self, name: str, fetched_N: Tensor) -> Tensor:
        rule, part = self._rules[name], self.flat.parts[name]
        if name not in self._moved:
            return fetched_N.new_zeros(rule.rows, part.stop - part.start)
        return rule.message(self.flat.values_N[part], fetched_N[part])


def _only_the_master(gradient_N: Tensor) -> None:
    raise AssertionError(f"a worker has no centre to step down {tuple(gradient_N.shape)}")
