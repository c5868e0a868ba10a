# SPDX-License-Identifier: BSD-3-Clause
"""Optimisers of a stage and their learning-rate schedule."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ..config import CriticStageConfig, StageConfig

_STEP = inspect.unwrap(torch.optim.AdamW.step)


class AdamW(torch.optim.AdamW):
    """AdamW of torch that does not load torch's compiler.

    Decorators of torch keep the compiler from looking into these methods, and import it for that: more than a second of
    each process's start, for nothing here is compiled.
    """

    add_param_group = inspect.unwrap(torch.optim.AdamW.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.AdamW.zero_grad)
    state_dict = inspect.unwrap(torch.optim.AdamW.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.AdamW.load_state_dict)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step by the gradients of the parameters."""
        return _STEP(self, closure)


def make_optimiser(stage: StageConfig, name: str, parameters: list[nn.Parameter]) -> AdamW:
    """AdamW with the stage's settings for the optimiser `name`."""
    if name == "critic" and isinstance(stage, CriticStageConfig):
        return AdamW(parameters, lr=stage.critic_rate, betas=stage.critic_betas, weight_decay=0.0)
    return AdamW(parameters, lr=stage.learning_rate, betas=stage.betas, weight_decay=stage.weight_decay)


def load_optimiser(optimiser: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Give an optimiser the state that a checkpoint holds.

    Raises
    ------
    ValueError
        It is the state of other parameters. torch itself compares their number only.
    """
    optimiser.load_state_dict(state)
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            for name, value in optimiser.state.get(parameter, {}).items():
                if value.shape not in ((), parameter.shape):
                    raise ValueError(
                        f"{name} of a parameter of {list(parameter.shape)} has the shape {list(value.shape)}"
                    )


def set_rate(optimiser: torch.optim.Optimizer, stage: StageConfig, name: str, step: int) -> None:
    """Give an optimiser the rate of a step; the critic's stays what it is."""
    if name == "generator":
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(stage, step)


def learning_rate(stage: StageConfig, step: int) -> float:
    """Linear warm-up, then half a cosine down to `final_rate` (or constant, where `anneal` is false)."""
    if step < stage.warmup:
        return stage.learning_rate * (step + 1) / stage.warmup
    if not stage.anneal:
        return stage.learning_rate
    part = (step - stage.warmup) / max(1, stage.steps - stage.warmup)
    return stage.final_rate + (stage.learning_rate - stage.final_rate) * 0.5 * (1 + math.cos(math.pi * part))
