# SPDX-License-Identifier: BSD-3-Clause
"""Parameter server of asynchronous training: central parameters and assignment of steps."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from ...config import ServerConfig, StageConfig
from ...stages.optimisers import set_rate
from .flat_parameters import FlatParameters
from .messages import Pull, Push
from .topology import Topology
from .update_rules import make_update_rule


class Server:
    """Parameters that are changed by one message after the other, and steps that are given away.

    Parameters
    ----------
    flat : FlatParameters
    optimisers : mapping of str to optimiser
        Of these parameters; for rules that leave steps to the master.
    stage : StageConfig
    config : ServerConfig
    steps : range
        To be given away.
    leases : mapping of int to range
        What each of those that are served has to do at first; the first part of `steps`.

    Attributes
    ----------
    step : int
        Steps that the messages served report, and those made before.
    version : int
        Messages served.
    staleness : int
        Of the last message: messages that were served since its sender had fetched the parameters.
    """

    def __init__(
        self,
        flat: FlatParameters,
        optimisers: Mapping[str, torch.optim.Optimizer],
        stage: StageConfig,
        config: ServerConfig,
        steps: range,
        leases: Mapping[int, range],
    ) -> None:
        self.flat, self._optimisers, self._stage, self._config = flat, optimisers, stage, config
        self._rules = {name: make_update_rule(config, len(leases), partial(self._apply, name)) for name in flat.parts}
        self.step, self.version, self.staleness = steps.start, 0, 0
        self._due = {child: len(lease) for child, lease in leases.items()}
        self._left = steps[sum(self._due.values()) :]
        values_N = flat.values_N.clone()
        self._first = {k: Pull(lease.start, len(lease), 0, values_N) for k, lease in leases.items()}
        self._announced: dict[int, int] = {}

    @property
    def rows(self) -> int:
        """Vectors of a message."""
        return max(rule.rows for rule in self._rules.values())

    @property
    def children(self) -> list[int]:
        """Those that are served."""
        return list(self._due)

    @property
    def busy(self) -> set[int]:
        """Those that a message is to come from."""
        return {child for child, steps in self._due.items() if steps}

    def first(self, child: int) -> Pull:
        """What one of those that are served has to do at first."""
        return self._first[child]

    def stop(self) -> None:
        """Give no more steps away."""
        self._left = self._left[:0]

    def note_checkpoint(self, step: int) -> None:
        """Announce, with the next answer to each, that a checkpoint was written at this step."""
        self._announced = dict.fromkeys(self._due, step)

    def _use(self, push: Push) -> dict[str, Tensor | None]:
        """Let a message change the parameters."""
        self.staleness = self.version - push.version
        replies = {
            name: self._rules[name].serve(self.flat.values_N[part], push.rows_RN[:, part])
            for name, part in self.flat.parts.items()
            if name in push.moved
        }
        self.step, self.version = self.step + push.steps, self.version + 1
        self._due[push.worker] -= push.steps
        return replies

    def _answer(self, child: int, replies: Mapping[str, Tensor | None], steps: int) -> Pull:
        values_N = self.flat.values_N.clone()
        for name, own_n in replies.items():
            if own_n is not None:
                values_N[self.flat.parts[name]] = own_n
        given, self._left = self._left[:steps], self._left[steps:]
        self._due[child] += len(given)
        return Pull(given.start, len(given), self.version, values_N, self._announced.pop(child, 0))

    def _apply(self, name: str, gradient: Tensor) -> None:
        optimiser = self._optimisers[name]
        self.flat.set_gradient(name, gradient)
        set_rate(optimiser, self._stage, name, self.step)
        optimiser.step()


class ParameterServer(Server):
    """Central parameters, held by rank 0.

    A step is made by one worker, on a batch of its own; the stage's steps are shared out as workers, or the sub-masters
    of a tree, ask for them. So every step has a number, and a number is given once: what depends on it (warm-up,
    penalties now and then, random numbers) is as in a training of one process.

    Parameters
    ----------
    flat : FlatParameters
        The central parameters.
    optimisers : mapping of str to optimiser
    workers : int
    stage : StageConfig
    config : ServerConfig
    step : int
        Steps made before.
    """

    def __init__(
        self,
        flat: FlatParameters,
        optimisers: Mapping[str, torch.optim.Optimizer],
        workers: int,
        stage: StageConfig,
        config: ServerConfig,
        step: int = 0,
    ) -> None:
        tree, steps = Topology(workers, config.masters), range(step, stage.steps)
        super().__init__(flat, optimisers, stage, config, steps, dict(enumerate(tree.leases(steps, config))))
        self._lease = config.push_every * (config.sync_every if tree.between else 1)

    def serve(self, push: Push) -> Pull:
        """Apply a message, and answer its sender what to do next."""
        return self._answer(push.worker, self._use(push), self._lease)
