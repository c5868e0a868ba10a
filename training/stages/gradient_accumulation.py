# SPDX-License-Identifier: BSD-3-Clause
"""Gradient accumulation: a step on a batch in parts, with the gradients of the whole."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import NamedTuple

import torch
from torch import Tensor

from ..architectures.base import Architecture, Metrics
from ..config import StageConfig
from ..data.batch import Batch
from ..random_numbers import ShowerRandom


class PartialLoss(NamedTuple):
    """What one part of a batch adds to a loss.

    Attributes
    ----------
    name : str
        Of the optimiser that is to lower the loss.
    loss : Tensor
        The terms of all parts add up to the mean over all showers.
    first, last : bool
        Whether this is the first, or the last, part.
    """

    name: str
    loss: Tensor
    first: bool
    last: bool


def partial_losses(
    architecture: Architecture,
    stage: StageConfig,
    batch: Batch,
    step: int,
    metrics: Metrics,
    key: int,
    device: torch.device | str = "cpu",
) -> Iterator[PartialLoss]:
    """Terms of the losses of one step, those of a loss one after the other.

    After the last term of a loss its optimiser must be stepped before the next is asked for, and after each its graph
    should be gone: that is what saves memory. A shower draws the same numbers in whichever part it is, so that only
    rounding depends on how many there are.

    Parameters
    ----------
    architecture : Architecture
    stage : StageConfig
        Its `accumulate` is the number of parts; there are fewer where there are fewer showers.
    batch : Batch
        A rank's part of the global batch.
    step : int
    metrics : dict
        Means over the showers come in at the end.
    key : int
        Of the step's random numbers.
    device : torch.device or str
        Where losses are computed.
    """
    parts = [part.to(device) for part in batch.split(stage.accumulate)]
    shares = [len(part) / len(batch) for part in parts]
    notes: list[Metrics] = [{} for _ in parts]
    running = [
        architecture.losses(stage, part, step, note, ShowerRandom(key, part.slot))
        for part, note in zip(parts, notes, strict=True)
    ]
    last = len(parts) - 1
    for k, losses in cycle(enumerate(running)):
        found = next(losses, None)
        if found is None:
            break
        # a single part is the loss itself, to the bit
        yield PartialLoss(found[0], found[1] * shares[k] if last else found[1], k == 0, k == last)
    for name in notes[0]:
        metrics[name] = sum(share * note[name] for share, note in zip(shares, notes, strict=True))
