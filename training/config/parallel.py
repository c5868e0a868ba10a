# SPDX-License-Identifier: BSD-3-Clause
"""Table ``[parallel]`` of a training's file: how the processes that ``mpiexec`` starts train together."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import Discriminator, Tag

from fastcalo.config.base import Model, about
from fastcalo.errors import ConfigError

_TREE = "Anderson, Vlimant & Spiropulu, arXiv:1712.05878"


class ParallelConfig(Model):
    """``[parallel]``: how processes train together; the keys depend on `strategy`."""

    tag: ClassVar[str] = "strategy"

    strategy: Annotated[str, about("How processes train together")]
    patience_s: Annotated[
        float,
        about(
            "Time without a sign of life of another process after which a training ends",
            unit="s", changes_result=False, ge=1, le=1e7,
        ),
    ] = 600.0  # fmt: skip

    def with_strategy(self, strategy: str, where: str = "") -> ParallelConfig:
        """The same under another strategy: keys that both have are kept, others have their defaults.

        Raises
        ------
        ConfigError
            There is no such strategy.
        """
        if strategy not in STRATEGIES:
            known = ", ".join(map(repr, STRATEGIES))
            raise ConfigError(f"{where}: parallel.strategy: must be one of {known}, but is {strategy!r}")
        kind = STRATEGIES[strategy]
        kept = {key: value for key, value in self.as_dict().items() if key in kind.model_fields and key != "strategy"}
        changed: ParallelConfig = kind(strategy=strategy, **kept)
        return changed


class AllReduceConfig(ParallelConfig):
    """``strategy = "allreduce"``: all in step, with the mean of their gradients."""

    variant: ClassVar[str] = 'strategy = "allreduce"'

    strategy: Annotated[Literal["allreduce"], about("All in step, with the mean of their gradients")] = "allreduce"
    bucket_kib: Annotated[
        int,
        about(
            "Gradients that are sent in one message, while others are still being computed",
            unit="KiB", source="PyTorch DDP, Li et al., arXiv:2006.15704", changes_result=False, ge=1, le=4 << 20,
        ),
    ] = 256  # fmt: skip
    compression: Annotated[
        Literal["none", "fp16", "bf16"],
        about("What gradients are sent as: as they are, or rounded to 16 bits", source="Tang et al., arXiv:1905.05957"),
    ] = "none"
    transport: Annotated[
        Literal["auto", "mpi", "nccl"],
        about("What carries the gradients of GPUs; those of CPUs always go by MPI", changes_result=False),
    ] = "auto"


class ServerConfig(ParallelConfig):
    """A strategy with a parameter server: every worker goes on at its own speed."""

    masters: Annotated[
        int,
        about("Parameter servers below the first rank, each of a part of the workers; 1 is none but the first rank",
              source=_TREE, ge=1, le=1_000_000),
    ] = 1  # fmt: skip
    sync_every: Annotated[
        int, about("Messages of workers between two of such a server to the first rank, where masters is above 1",
                   source=_TREE, ge=1, le=1_000_000)
    ] = 4  # fmt: skip
    push_every: Annotated[
        int, about("A worker's own steps from one message to the next", unit="steps", ge=1, le=1_000_000)
    ] = 1


class DownpourConfig(ServerConfig):
    """``strategy = "downpour"``: workers send gradients, the server steps (Dean et al. 2012)."""

    variant: ClassVar[str] = 'strategy = "downpour"'

    strategy: Annotated[
        Literal["downpour"],
        about("Workers send gradients, the server steps", source="Downpour SGD, Dean et al., NIPS 2012"),
    ]


class EasgdConfig(ServerConfig):
    """``strategy = "easgd"``: workers and server are drawn to each other (Zhang, Choromanska & LeCun)."""

    variant: ClassVar[str] = 'strategy = "easgd"'

    strategy: Annotated[
        Literal["easgd"],
        about("Workers step, and are drawn to the server's weights",
              source="elastic averaging, Zhang, Choromanska & LeCun, arXiv:1412.6651"),
    ]  # fmt: skip
    elasticity: Annotated[
        float, about("Part of the way by which all workers together draw the server's weights, and it them",
                     source="beta of arXiv:1412.6651", gt=0, le=1)
    ] = 0.9  # fmt: skip


class GemConfig(ServerConfig):
    """``strategy = "gem"``: updates scaled by the energy that is left (Hermans & Louppe)."""

    variant: ClassVar[str] = 'strategy = "gem"'

    strategy: Annotated[
        Literal["gem"],
        about("Workers send updates, the server scales them by how far it has moved meanwhile",
              source="gradient energy matching, Hermans & Louppe, arXiv:1805.08469"),
    ]  # fmt: skip
    momentum: Annotated[
        float, about("Decay of the running mean of a worker's updates", source="arXiv:1805.08469", ge=0, lt=1)
    ] = 0.9
    amplification: Annotated[float, about("Factor of that mean", source="arXiv:1805.08469", gt=0, le=1e6)] = 1.0


STRATEGIES: dict[str, type[Any]] = {
    "allreduce": AllReduceConfig,
    "downpour": DownpourConfig,
    "easgd": EasgdConfig,
    "gem": GemConfig,
}
"""How processes may train together: the first in step, the others with a parameter server."""


def _strategy(table: object) -> str | None:
    strategy = table.get("strategy", "allreduce") if isinstance(table, dict) else getattr(table, "strategy", None)
    return strategy if isinstance(strategy, str) else None if strategy is None else repr(type(strategy))


Parallel: TypeAlias = Annotated[
    Annotated[AllReduceConfig, Tag("allreduce")]
    | Annotated[DownpourConfig, Tag("downpour")]
    | Annotated[EasgdConfig, Tag("easgd")]
    | Annotated[GemConfig, Tag("gem")],
    Discriminator(_strategy),
]
"""Any strategy; ``allreduce`` where none is named."""
