# SPDX-License-Identifier: BSD-3-Clause
"""Topology of asynchronous training: one parameter server, or a tree of them (Anderson et al., arXiv:1712.05878)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ...config import ServerConfig


@dataclass(frozen=True)
class Topology:
    """Rank 0 serves the workers, or `masters` sub-masters of which each serves a block of them.

    Sub-masters are the ranks from 1 on, workers all ranks after them. Both are numbered from 0.

    Attributes
    ----------
    workers : int
    masters : int
        1 if there is none but rank 0.
    """

    workers: int
    masters: int = 1

    @classmethod
    def of(cls, ranks: int, masters: int) -> Topology:
        """The tree that so many ranks make up."""
        return cls(ranks - 1 - (masters if masters > 1 else 0), masters)

    @property
    def between(self) -> int:
        """Number of sub-masters."""
        return self.masters if self.masters > 1 else 0

    def block(self, master: int) -> range:
        """Workers of a sub-master."""
        return range(master * self.workers // self.masters, (master + 1) * self.workers // self.masters)

    def master_of(self, worker: int) -> int:
        """Sub-master of a worker."""
        return next(m for m in range(self.masters) if worker in self.block(m))

    def leases(self, steps: range, config: ServerConfig) -> list[range]:
        """Steps that rank 0 gives away at first: to each worker, or sub-master by sub-master.

        A sub-master gets as many as its workers have made when its first message is due, and what they are at then.
        """
        if not self.between:
            return split_range(steps, [config.push_every] * self.workers)
        rounds = [len(self.block(m)) + config.sync_every - 1 for m in range(self.masters)]
        return split_range(steps, [config.push_every * n for n in rounds])

    def first(self, worker: int, steps: range, config: ServerConfig) -> range:
        """Steps that a worker has to make at first."""
        leases = self.leases(steps, config)
        if not self.between:
            return leases[worker]
        master = self.master_of(worker)
        block = self.block(master)
        return split_range(leases[master], [config.push_every] * len(block))[worker - block.start]


def split_range(steps: range, sizes: Iterable[int]) -> list[range]:
    """Cut off one range after the other, shorter ones and empty ones at the end."""
    out = []
    for size in sizes:
        out.append(steps[:size])
        steps = steps[size:]
    return out
