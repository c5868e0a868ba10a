# SPDX-License-Identifier: BSD-3-Clause
"""Digests of the identifiers of events: what the random numbers of their particles are keyed by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def event_digest(
    run: NDArray[np.integer],
    event: NDArray[np.integer],
    luminosity_block: NDArray[np.integer] | None = None,
    repeat: NDArray[np.uint64] | None = None,
) -> NDArray[np.uint64]:
    """What an event's particles take their random numbers by: 64 bits that stand for its identifiers.

    Parameters
    ----------
    run, event : int [n_events]
        Negative numbers count as their two's complement of 64 bits.
    luminosity_block : int [n_events], optional
    repeat : uint64 [n_events], optional
        Distinguishes events that have the same identifiers otherwise.

    Returns
    -------
    uint64 [n_events]
        M(block_digest xor event), and M of that xor `repeat` where that is not zero.
    """
    digest = mix(block_digest(run, luminosity_block) ^ event.astype(np.uint64))
    return digest if repeat is None else np.where(repeat == 0, digest, mix(digest ^ repeat))


def block_digest(run: NDArray[np.integer], luminosity_block: NDArray[np.integer] | None = None) -> NDArray[np.uint64]:
    """64 bits that stand for run and luminosity block, uint64 [n]: M(run), and M of that xor a block other than 0.

    A block of zero counts as none, so that files with and without that column give the same showers.
    """
    digest = mix(run.astype(np.uint64))
    if luminosity_block is None:
        return digest
    block = luminosity_block.astype(np.uint64)
    return np.where(block == 0, digest, mix(digest ^ block))


def mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014, fig. 16): one-to-one, and thorough."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
