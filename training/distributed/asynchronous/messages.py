# SPDX-License-Identifier: BSD-3-Clause
"""Contents of the messages between workers and the parameter server."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Push:
    """From a worker after some steps of its own, or from a sub-master after some of its workers'.

    Attributes
    ----------
    worker : int
        Number of the worker, or of the sub-master.
    steps : int
        How many.
    version : int
        Of the centre that it had fetched before.
    moved : tuple of str
        Optimisers that made a step.
    metrics : dict of str to float
        Means over the steps.
    rows_RN : float32 [R, N]
        What the rules make of them, in the order of the parameters.
    signal : int
        The one that was received; 0 for none.
    """

    worker: int
    steps: int
    version: int
    moved: tuple[str, ...]
    metrics: dict[str, float]
    rows_RN: Tensor = field(repr=False)
    signal: int = 0


@dataclass(frozen=True)
class Pull:
    """From the master: what to do next.

    Attributes
    ----------
    step : int
        Number of the first step to make.
    steps : int
        How many; with 0 there are no more.
    version : int
        Of the centre.
    values_N : float32 [N]
        Parameters to go on with.
    checkpoint : int
        Step of a checkpoint that was written since the last answer; 0 for none.
    """

    step: int
    steps: int
    version: int
    values_N: Tensor = field(repr=False)
    checkpoint: int = 0
