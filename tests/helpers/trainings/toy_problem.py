# SPDX-License-Identifier: BSD-3-Clause
"""A convex problem for asynchronous training: a straight line through points that each worker draws for itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import nn

from fastcalo.training.config import CriticStageConfig, ServerConfig, StageConfig
from fastcalo.training.distributed.asynchronous.flat_parameters import FlatParameters
from fastcalo.training.distributed.asynchronous.messages import Pull, Push
from fastcalo.training.distributed.asynchronous.parameter_server import ParameterServer
from fastcalo.training.distributed.asynchronous.sub_server import SubServer
from fastcalo.training.distributed.asynchronous.worker import Worker
from fastcalo.training.stages.gradient_accumulation import PartialLoss
from fastcalo.training.stages.optimisers import make_optimiser

TRUTH = torch.tensor([1.0, -2.0, 0.5])
RATE = {"downpour": 0.05, "easgd": 0.1, "gem": 0.05}


class Line:
    """Least squares; the slope and the rest of it are with two optimisers."""

    def __init__(self) -> None:
        self.slope = nn.Parameter(torch.zeros(2))
        self.offset = nn.Parameter(torch.zeros(1))
        self.parameters = {"generator": [self.slope], "critic": [self.offset]}
        self.made: list[int] = []

    def losses(self, step: int, metrics: dict[str, float]) -> Iterator[PartialLoss]:
        self.made.append(step)
        points = torch.randn(32, 2, generator=torch.Generator().manual_seed(step))
        target = points @ TRUTH[:2] + TRUTH[2]
        for name in ("critic", "generator"):
            loss = (points @ self.slope + self.offset - target).square().mean() / 2
            metrics[name] = loss.item()
            yield PartialLoss(name, loss, first=True, last=True)


def stage(strategy: str, steps: int = 600) -> StageConfig:
    rate = RATE[strategy]
    return CriticStageConfig(
        name="toy", steps=steps, learning_rate=rate, critic_rate=rate, critic_betas=(0.9, 0.999), clip=100.0, warmup=10
    )


def make_centre(config: ServerConfig, workers: int, settings: StageConfig) -> ParameterServer:
    line = Line()
    flat = FlatParameters(line.parameters)
    optimisers = {name: make_optimiser(settings, name, ps) for name, ps in line.parameters.items()}
    return ParameterServer(flat, optimisers, workers, settings, config)


def make_masters(
    config: ServerConfig,
    workers: int,
    settings: StageConfig,
    centre: ParameterServer,
    push_upwards: Callable[[Push], Pull],
) -> list[SubServer]:
    """Between the centre and the workers; none where there is one master."""
    masters = []
    for m in range(config.masters if config.masters > 1 else 0):
        line = Line()
        optimisers = {name: make_optimiser(settings, name, ps) for name, ps in line.parameters.items()}
        flat = FlatParameters(line.parameters)
        masters.append(SubServer(m, flat, optimisers, workers, settings, config, centre.first(m), push_upwards))
    return masters


def make_workers(config: ServerConfig, workers: int, settings: StageConfig) -> list[Worker]:
    return [Worker(k, workers, Line(), settings, config) for k in range(workers)]
