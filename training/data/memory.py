# SPDX-License-Identifier: BSD-3-Clause
"""Memory that the showers of a training take, estimated before the training begins."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from fastcalo.errors import InputError
from fastcalo.system.memory import available_bytes, gigabytes

from ..exchange import Exchange
from .showers import ShowerData

log = logging.getLogger(__name__)

_SAMPLE = 64
_PER_HIT = 8
"""Bytes: cell and deposit."""
_PER_SHOWER = 40
_JOINING = 1.5
"""Arrays of a piece are joined one after the other: the largest is there twice for a moment."""
_MOST_PACKED = 50
"""Files in which showers take less than this part of their memory are none that we know."""


def check_showers_fit(data: ShowerData, exchange: Exchange) -> None:
    """Report the memory that showers will take where it may be more than there is; all ranks at the same point.

    Parameters
    ----------
    data : ShowerData
        Those to train on; of those to evaluate with, a sample is kept only.
    exchange : Exchange

    Raises
    ------
    InputError
        The ranks of this node need more memory than there is.
    """
    left = available_bytes()
    looks = left is not None and exchange.computes and not _small(data.paths, left)
    needed = showers_bytes(data, exchange.size) if looks else 0
    _, everyone = exchange.on_node(str(needed))
    together = sum(map(int, everyone))
    if left is None or not together:
        return
    ranks = f" on each of {len(everyone)} ranks of this node" if len(everyone) > 1 else ""
    text = f"{len(data)} showers take about {gigabytes(needed)} of memory{ranks}, and {gigabytes(left)} are left"
    if together > left:
        raise InputError(
            f"{text}: lower data.pool (now {data.pool} showers, of which two pieces are in memory at a time), or start "
            "fewer ranks on each node"
        )
    log.log(logging.WARNING if together > left / 2 else logging.INFO, "%s", text)


def showers_bytes(data: ShowerData, ranks: int) -> int:
    """Bytes that prepared showers take at most on one of some ranks, from a sample of them."""
    sample = data.sample(_SAMPLE)
    each = _PER_SHOWER + _PER_HIT * len(sample.row) / len(sample)
    pieces = -(-len(data) // max(1, data.pool))
    piece = each * len(data) / pieces / ranks
    # one piece is served while the next is read
    return int(piece * (_JOINING if pieces == 1 else 1 + _JOINING))


def _small(paths: Sequence[Path], left: int) -> bool:
    return _MOST_PACKED * sum(path.stat().st_size for path in paths) < left
