"""The master of asynchronous training: the central parameters, and who makes which step."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..config import ParallelConfig, StageConfig
from ..optimisers import set_rate
from .flat import Flat
from .messages import Pull, Push
from .rules import make_rule


class Centre:
    """Central parameters, changed by one message after the other.

    A step is made by one worker, on a batch of its own; the stage's steps are shared out as workers ask for them. So
    every step has a number, and a number is given once: what depends on it (warm-up, penalties now and then, random
    numbers) is as in a training of one process.

    Parameters
    ----------
    flat : Flat
        The central parameters.
    optimisers : mapping of str to optimiser
        Of the central parameters; for rules that leave steps to the master.
    workers : int
    stage : StageConfig
    config : ParallelConfig
    step : int
        Steps made before.

    Attributes
    ----------
    step : int
        Steps that the messages served tell of, and those made before.
    version : int
        Messages served.
    busy : set of int
        Workers that a message is to come from.
    staleness : int
        Of the last message: messages that were served since its worker had fetched the centre.
    """

    def __init__(
        self,
        flat: Flat,
        optimisers: Mapping[str, torch.optim.Optimizer],
        workers: int,
        stage: StageConfig,
        config: ParallelConfig,
        step: int = 0,
    ) -> None:
        self.flat, self._optimisers, self._stage, self._config = flat, optimisers, stage, config
        self._rules = {name: make_rule(config, workers, lambda g, n=name: self._apply(n, g)) for name in flat.parts}  # type: ignore[misc]
        self.step, self._given, self.version, self.staleness = step, step, 0, 0
        self._last = stage.steps
        self._first = [self._give(flat.values_N.clone()) for _ in range(workers)]
        self.busy = {worker for worker, pull in enumerate(self._first) if pull.steps}

    @property
    def rows(self) -> int:
        """Vectors of a message."""
        return max(rule.rows for rule in self._rules.values())

    def first(self, worker: int) -> Pull:
        """What a worker has to do at first."""
        return self._first[worker]

    def stop(self) -> None:
        """Give no more steps away."""
        self._last = self._given

    def serve(self, push: Push) -> Pull:
        """Make use of a message, and tell its worker what to do next."""
        self.staleness = self.version - push.version
        replies = []
        for name, part in self.flat.parts.items():
            centre_n = self.flat.values_N[part]
            if name in push.moved:
                replies.append(self._rules[name].serve(centre_n, push.rows_RN[:, part]))
            else:
                replies.append(centre_n.clone())
        self.step, self.version = self.step + push.steps, self.version + 1
        pull = self._give(torch.cat(replies))
        if not pull.steps:
            self.busy.discard(push.worker)
        return pull

    def _give(self, values_N: Tensor) -> Pull:
        steps = min(self._config.push_every, self._last - self._given)
        pull = Pull(self._given, steps, self.version, values_N)
        self._given += steps
        return pull

    def _apply(self, name: str, gradient: Tensor) -> None:
        optimiser = self._optimisers[name]
        self.flat.set_gradient(name, gradient)
        set_rate(optimiser, self._stage, name, self.step)
        optimiser.step()
