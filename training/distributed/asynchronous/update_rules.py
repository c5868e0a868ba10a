# SPDX-License-Identifier: BSD-3-Clause
"""Update rules of asynchronous training: what workers send, and how the server applies it.

In a tree, a sub-master sends the master above it what a worker would.

A rule is for the parameters of one optimiser, as one flat vector of N numbers. How messages travel is not its business.
Each process has its own: workers use `accrue` and `message`, the master uses `serve`.

Letters: N parameters, R rows of a message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from ...config import EasgdConfig, GemConfig, ServerConfig

_MOST = 5.0


class UpdateRule(Protocol):
    """One strategy.

    Attributes
    ----------
    rows : int
        Vectors of a message.
    adaptive : bool
        Whether a worker's own steps are those of the stage's AdamW, or of plain gradient descent.
    """

    rows: int
    adaptive: bool

    def accrue(self, gradient_N: Tensor) -> None:
        """Note the gradient of one of a worker's own steps."""

    def message(self, mine_N: Tensor, fetched_N: Tensor) -> Tensor:
        """What a worker sends the master after its own steps, float32 [R, N].

        Parameters
        ----------
        mine_N : float32 [N]
            The worker's parameters now.
        fetched_N : float32 [N]
            What it had from the master before these steps.
        """

    def serve(self, centre_N: Tensor, message_RN: Tensor) -> Tensor | None:
        """Change the central parameters in place.

        Returns
        -------
        float32 [N] or None
            Parameters with which the worker goes on, where these are not the central ones.
        """


class Downpour:
    """Gradients go to the master, whose optimiser steps the centre (Dean et al., NIPS 2012, section 4.1).

    Between messages a worker takes steps of its own, as in the paper. It sends the mean of its gradients instead of
    their sum: AdamW has no use for their scale.

    Parameters
    ----------
    apply : callable
        Steps the centre down a gradient, float32 [N]. Only the master calls it.
    """

    rows, adaptive = 1, True

    def __init__(self, apply: Callable[[Tensor], None]) -> None:
        self._apply = apply
        self._sum_N: Tensor | None = None
        self._count = 0

    def accrue(self, gradient_N: Tensor) -> None:
        """Add it up."""
        self._sum_N = gradient_N.clone() if self._sum_N is None else self._sum_N.add_(gradient_N)
        self._count += 1

    def message(self, mine_N: Tensor, fetched_N: Tensor) -> Tensor:  # noqa: ARG002
        """The mean gradient."""
        assert self._sum_N is not None
        mean_N = self._sum_N / self._count
        self._sum_N, self._count = None, 0
        return mean_N[None]

    def serve(self, centre_N: Tensor, message_RN: Tensor) -> None:  # noqa: ARG002
        """One step of the centre."""
        self._apply(message_RN[0])


class Easgd:
    """Workers train by themselves and are tied to the centre by springs (Zhang, Choromanska & LeCun, arXiv:1412.6651).

    Their algorithm Asynchronous EASGD: every few steps ``d = alpha (x - centre)``, ``x -= d``, ``centre += d``, with
    ``alpha = beta / p`` for p workers.

    Parameters
    ----------
    elasticity : float
        The moving rate beta, in (0, 1].
    workers : int
    """

    rows, adaptive = 1, True

    def __init__(self, elasticity: float, workers: int) -> None:
        self._alpha = elasticity / workers

    def accrue(self, gradient_N: Tensor) -> None:
        """Gradients stay with the worker."""

    def message(self, mine_N: Tensor, fetched_N: Tensor) -> Tensor:  # noqa: ARG002
        """The worker's parameters."""
        return mine_N[None].clone()

    def serve(self, centre_N: Tensor, message_RN: Tensor) -> Tensor:
        """Both move towards each other by the same vector."""
        moved_N = self._alpha * (message_RN[0] - centre_N)
        centre_N += moved_N
        return message_RN[0] - moved_N


class Gem:
    """All workers together may move the centre as far as one with momentum would (Hermans & Louppe, arXiv:1805.08469).

    A worker's update u, from plain gradient descent, also goes into its moment, ``m = mu m + u``: the proxy. Since the
    worker has fetched the centre, others have moved it by v. The centre takes ``pi u``, number by number, with
    ``pi = (kappa |m| - |v|) / |u|`` between 0 and 5, the authors' bound, so that ``|v| + |pi u| <= kappa |m|`` wherever
    the others have left a distance.

    Parameters
    ----------
    momentum : float
        mu, in [0, 1).
    amplification : float
        kappa.
    """

    rows, adaptive = 3, False

    def __init__(self, momentum: float, amplification: float) -> None:
        self._momentum, self._amplification = momentum, amplification
        self._moment_N: Tensor | None = None

    def accrue(self, gradient_N: Tensor) -> None:
        """The update holds everything."""

    def message(self, mine_N: Tensor, fetched_N: Tensor) -> Tensor:
        """Update, proxy, and what was fetched."""
        update_N = mine_N - fetched_N
        if self._moment_N is None:
            self._moment_N = torch.zeros_like(update_N)
        self._moment_N.mul_(self._momentum).add_(update_N)
        return torch.stack([update_N, self._amplification * self._moment_N.abs(), fetched_N])

    def serve(self, centre_N: Tensor, message_RN: Tensor) -> None:
        """The update, scaled so that it fits into the energy which is left."""
        update_N, proxy_N, fetched_N = message_RN
        left_N = proxy_N - (centre_N - fetched_N).abs()
        scale_N = (left_N / update_N.abs()).clamp(0.0, _MOST)
        # no update and no distance left are 0 / 0
        centre_N += torch.where(update_N == 0, 0.0, scale_N * update_N)


def make_update_rule(config: ServerConfig, workers: int, apply: Callable[[Tensor], None]) -> UpdateRule:
    """The rule of a configuration's strategy; `apply` steps the centre down a gradient."""
    if isinstance(config, EasgdConfig):
        return Easgd(config.elasticity, workers)
    if isinstance(config, GemConfig):
        return Gem(config.momentum, config.amplification)
    return Downpour(apply)
