"""Counter-based random numbers: what a particle draws depends on who it is, not on when it is its turn.

Philox4x32-10 (Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11, section 3.3), keyed
by the seed; the counter holds the block of four numbers, the particle's index in its event, and a digest of run and
event. Whatever the chunk, the process or the thread, the same particle draws the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_ROUNDS = 10
_CHUNK = 4096
"""Blocks worked on at a time: six arrays of this many uint64 stay in a core's cache."""


def philox(counter: Sequence[NDArray[np.uint64]], key: tuple[int, int]) -> NDArray[np.uint32]:
    """Philox4x32-10 of many counters under one key.

    Parameters
    ----------
    counter : four uint64 [n]
        The words of each counter, below 2**32.
    key : (int, int)
        Two words below 2**32.

    Returns
    -------
    uint32 [n, 4]
    """
    n = len(counter[0])
    out = np.empty((n, 4), np.uint32)
    for start in range(0, n, _CHUNK):
        part = [np.array(c[start : start + _CHUNK], np.uint64) for c in counter]
        out[start : start + _CHUNK] = np.stack(_rounds(part, key), 1)
    return out


def _rounds(x: list[NDArray[np.uint64]], key: tuple[int, int]) -> list[NDArray[np.uint64]]:
    x0, x1, x2, x3 = x
    k0, k1 = key
    p0, p1 = np.empty_like(x0), np.empty_like(x0)
    for _ in range(_ROUNDS):
        np.multiply(x0, _M0, out=p0)
        np.multiply(x2, _M1, out=p1)
        np.right_shift(p1, _32, out=x0)
        np.bitwise_xor(x0, x1, out=x0)
        np.bitwise_xor(x0, np.uint64(k0), out=x0)
        np.right_shift(p0, _32, out=x2)
        np.bitwise_xor(x2, x3, out=x2)
        np.bitwise_xor(x2, np.uint64(k1), out=x2)
        np.bitwise_and(p1, _LOW, out=x1)
        np.bitwise_and(p0, _LOW, out=x3)
        k0, k1 = (k0 + _W0) & 0xFFFFFFFF, (k1 + _W1) & 0xFFFFFFFF
    return [x0, x1, x2, x3]


@dataclass(frozen=True)
class Streams:
    """One stream of random numbers per particle.

    Attributes
    ----------
    seed : int
        Any integer from 0 to 2**64 - 1.
    particle : uint64 [n]
        Second word of the counter.
    low, high : uint64 [n]
        Third and fourth word: a digest of run and event.
    """

    seed: int
    particle: NDArray[np.uint64]
    low: NDArray[np.uint64]
    high: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.particle)

    def take(self, index: NDArray[np.int64]) -> Streams:
        """Streams of some of the particles."""
        return Streams(self.seed, self.particle[index], self.low[index], self.high[index])

    def blocks(self, row: NDArray[np.int64], block: NDArray[np.int64]) -> NDArray[np.uint32]:
        """Four words for each pair of a stream and a block number below 2**32, uint32 [m, 4]."""
        counter = (block.astype(np.uint64), self.particle[row], self.low[row], self.high[row])
        return philox(counter, (self.seed & 0xFFFFFFFF, self.seed >> 32))


def streams(seed: int, run: NDArray[np.int64], event: NDArray[np.int64], particle: NDArray[np.int64]) -> Streams:
    """Streams of particles known by run, event and index in the event, each int64 [n].

    Raises
    ------
    InputError
        The seed does not fit 64 bits.
    """
    if not 0 <= seed < 2**64:
        raise InputError(f"seed must be between 0 and 2**64 - 1, not {seed}")
    digest = _mix(_mix(run.astype(np.uint64)) ^ event.astype(np.uint64))
    return Streams(seed, particle.astype(np.uint64) & _LOW, digest & _LOW, digest >> _32)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014, fig. 16): one-to-one, and thorough."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def uniform(words: NDArray[np.uint32]) -> NDArray[np.float32]:
    """Uniform float32 strictly between 0 and 1: the middles of 2**23 equal bins."""
    # one bit less than a float32 holds, so that neither end can be rounded to 0 or 1
    return ((words >> np.uint32(9)).astype(np.float32) + np.float32(0.5)) * np.float32(2**-23)


def normal(words: NDArray[np.uint32]) -> NDArray[np.float32]:
    """Standard normal float32 of the same shape [n, 4] (Box & Muller, Ann. Math. Stat. 29 (1958) 610)."""
    u = uniform(words)
    radius = np.sqrt(np.float32(-2) * np.log(u[:, 0::2]))
    angle = np.float32(2 * np.pi) * u[:, 1::2]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 2).reshape(len(words), 4)
