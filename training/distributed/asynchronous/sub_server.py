# SPDX-License-Identifier: BSD-3-Clause
"""Sub-server between the parameter server and a block of workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ...config import ServerConfig, StageConfig
from .flat_parameters import FlatParameters
from .message_metrics import MessageMetrics
from .messages import Pull, Push
from .parameter_server import Server
from .topology import Topology, split_range
from .update_rules import make_update_rule


class SubServer(Server):
    """Parameters of a block of workers; after every `sync_every` of their messages, those of rank 0 are heard.

    For ``easgd`` this is the tree of Zhang's thesis (arXiv:1605.02216, on EASGD Topology), but that there each end of a
    branch sends whenever it is ready, and here one asks and the other answers.

    Parameters
    ----------
    number : int
        From 0.
    flat : FlatParameters
    optimisers : mapping of str to optimiser
        Of these parameters.
    workers : int
        All of the training.
    stage : StageConfig
    config : ServerConfig
    lease : Pull
        What to do at first.
    send : callable
        Brings a message to rank 0, and returns its answer.

    Attributes
    ----------
    checkpoint : int
        Step of the last checkpoint that rank 0 has announced; 0 for none.
    signal : int
        The one that this rank or one of the workers has received; 0 for none.
    """

    def __init__(
        self,
        number: int,
        flat: FlatParameters,
        optimisers: Mapping[str, torch.optim.Optimizer],
        workers: int,
        stage: StageConfig,
        config: ServerConfig,
        lease: Pull,
        send: Callable[[Push], Pull],
    ) -> None:
        steps, block = range(lease.step, lease.step + lease.steps), Topology(workers, config.masters).block(number)
        firsts = split_range(steps, [config.push_every] * len(block))
        super().__init__(flat, optimisers, stage, config, steps, dict(zip(block, firsts, strict=True)))
        self.number, self.checkpoint, self.signal = number, 0, 0
        self._send, self._fetched, self._metrics = send, lease, MessageMetrics()
        self._moved: set[str] = set()
        self._up = {name: make_update_rule(config, config.masters, lambda _: None) for name in flat.parts}

    def serve(self, push: Push) -> Pull:
        """Apply a message, pass on what is due, and answer the worker what to do next."""
        replies = self._use(push)
        self._metrics.add(push, self.staleness)
        self._moved.update(push.moved)
        self.signal = self.signal or push.signal
        if self._metrics.messages == self._config.sync_every:
            self._synchronise()
        pull = self._answer(push.worker, replies, self._config.push_every)
        if self._metrics.messages and not self.busy:
            self._synchronise()
        return pull

    def _synchronise(self) -> None:
        rows = [self._row(name) for name in self.flat.parts]
        moved, steps, self._moved = tuple(sorted(self._moved)), self._metrics.steps, set()
        metrics, version = self._metrics.take(), self._fetched.version
        pull = self._send(Push(self.number, steps, version, moved, metrics, torch.cat(rows, 1), self.signal))
        self.flat.values_N.copy_(pull.values_N)
        self._fetched, self.step = pull, pull.step
        self._left = range(pull.step, pull.step + pull.steps)
        if pull.checkpoint:
            self.checkpoint = pull.checkpoint
            self.note_checkpoint(pull.checkpoint)

    def _row(self, name: str) -> Tensor:
        rule, part = self._up[name], self.flat.parts[name]
        if name not in self._moved:
            return torch.zeros(rule.rows, part.stop - part.start)
        return rule.message(self.flat.values_N[part], self._fetched.values_N[part])

    def _apply(self, name: str, gradient: Tensor) -> None:
        self._up[name].accrue(gradient)
        super()._apply(name, gradient)
