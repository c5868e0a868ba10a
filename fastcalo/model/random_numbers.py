# SPDX-License-Identifier: BSD-3-Clause
"""Counter-based random numbers (Philox), keyed by the identity of a particle.

Philox4x32-10 (Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11, section 3.3), keyed
by the seed; the counter holds the block of four numbers, the particle's index in its event, and a digest of the event's
identifiers. Whatever the chunk, the process or the thread, the same particle draws the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..event.digests import event_digest

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_ROUNDS = 10
_CHUNK = 16_384
"""Blocks worked on at a time: arrays of this many uint64 stay in a core's cache, and are long for NumPy."""


def philox(counter: Sequence[NDArray[np.uint64]], key: tuple[int, int]) -> NDArray[np.uint32]:
    """Philox4x32-10 of many counters under one key.

    Parameters
    ----------
    counter : four uint64 arrays, broadcast to a common shape [n, ...]
        The words of each counter, below 2**32.
    key : (int, int)
        Two words below 2**32.

    Returns
    -------
    uint32 [n, ..., 4]
    """
    shape = np.broadcast_shapes(*(c.shape for c in counter))
    out = np.empty((*shape, 4), np.uint32)
    step = max(1, _CHUNK // max(1, math.prod(shape[1:])))
    for start in range(0, shape[0], step):
        part = slice(start, start + step)
        words = _rounds([c if len(c) == 1 else c[part] for c in counter], key)
        for k, word in enumerate(words):
            out[part, ..., k] = word
    return out


def _rounds(x: list[NDArray[np.uint64]], key: tuple[int, int]) -> list[NDArray[np.uint64]]:
    # words that are the same along an axis stay so for the first rounds: nothing is broadcast before it must be
    x0, x1, x2, x3 = x
    k0, k1 = key
    for _ in range(_ROUNDS):
        p0, p1 = x0 * _M0, x2 * _M1
        x0, x1 = (p1 >> _32) ^ x1 ^ np.uint64(k0), p1 & _LOW
        x2, x3 = (p0 >> _32) ^ x3 ^ np.uint64(k1), p0 & _LOW
        k0, k1 = (k0 + _W0) & 0xFFFFFFFF, (k1 + _W1) & 0xFFFFFFFF
    return [x0, x1, x2, x3]


@dataclass(frozen=True)
class RandomStreams:
    """One stream of random numbers per particle.

    Attributes
    ----------
    seed : int
        Any integer from 0 to 2**64 - 1.
    particle : uint64 [n]
        Second word of the counter.
    low, high : uint64 [n]
        Third and fourth word: the event's digest, see `event_digest`.
    """

    seed: int
    particle: NDArray[np.uint64]
    low: NDArray[np.uint64]
    high: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.particle)

    def take(self, index: NDArray[np.int64]) -> RandomStreams:
        """Streams of some of the particles."""
        return RandomStreams(self.seed, self.particle[index], self.low[index], self.high[index])

    def blocks(self, row: NDArray[np.int64], block: NDArray[np.int64]) -> NDArray[np.uint32]:
        """Four words for each pair of a stream and a block number below 2**32; broadcast, uint32 [..., 4]."""
        counter = (block.astype(np.uint64), self.particle[row], self.low[row], self.high[row])
        return philox(counter, (self.seed & 0xFFFFFFFF, self.seed >> 32))

    def halves(self, first: int, count: NDArray[np.int64]) -> NDArray[np.uint16]:
        """Halves of the words of each stream from block `first` on, low one first, eight a block.

        Parameters
        ----------
        first : int
        count : int64 [n]
            Blocks of each stream.

        Returns
        -------
        uint16 [sum of count, 8]
            Stream by stream.
        """
        row = np.repeat(np.arange(len(self)), count)
        block = first + np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
        return self.blocks(row, block).astype("<u4", copy=False).view("<u2")

    def words(self, first: int, count: int) -> NDArray[np.uint32]:
        """The first `count` words of every stream from block `first` on, uint32 [n, 4 ceil(count / 4)]."""
        block = np.arange(first, first + -(-count // 4))
        return self.blocks(np.arange(len(self))[:, None], block[None]).reshape(len(self), 4 * len(block))


def random_streams(
    seed: int, run: NDArray[np.integer], event: NDArray[np.integer], particle: NDArray[np.integer]
) -> RandomStreams:
    """Streams of particles known by run, event and index in the event, each int [n].

    Raises
    ------
    InputError
        The seed does not fit 64 bits.
    """
    return streams_of(seed, event_digest(run, event), particle)


def streams_of(seed: int, digest: NDArray[np.uint64], particle: NDArray[np.integer]) -> RandomStreams:
    """Streams of particles known by the digest of their event, uint64 [n], and their index in it, int [n].

    Raises
    ------
    InputError
        The seed is no whole number, or does not fit 64 bits.
    """
    # NumPy's whole numbers are welcome, too; True is 1 to Python, but no seed
    given: object = seed
    if isinstance(given, bool) or not isinstance(given, int | np.integer) or not 0 <= given < 2**64:
        raise InputError(f"seed must be a whole number between 0 and 2**64 - 1, not {seed!r:.80}")
    seed = int(seed)
    return RandomStreams(seed, particle.astype(np.uint64) & _LOW, digest & _LOW, digest >> _32)


def uniform(words: NDArray[np.uint32]) -> NDArray[np.float32]:
    """Uniform float32 strictly between 0 and 1: the middles of 2**23 equal bins."""
    # one bit less than a float32 holds, so that neither end can be rounded to 0 or 1
    return ((words >> np.uint32(9)).astype(np.float32) + np.float32(0.5)) * np.float32(2**-23)


def logistic(words: NDArray[np.uint32]) -> NDArray[np.float32]:
    """Standard logistic float32: ln(u / (1 - u)) of uniform u.

    In double precision, and rounded at the end: NumPy's functions in single precision differ in the last bit from one
    processor to another, and from those of C.
    """
    u = uniform(words).astype(np.float64)
    return np.log(u / (1 - u)).astype(np.float32)


@cache
def table_of(distribution: str) -> NDArray[np.float32]:
    """The numbers of a distribution that halves of words stand for, float32 [2**16].

    Its quantiles at the middles of 2**16 equal bins between 0 and 1.

    Parameters
    ----------
    distribution : str
        ``"uniform"``, ``"logistic"`` or ``"normal"``.
    """
    u = (np.arange(2**16) + 0.5) * 2**-16
    if distribution == "logistic":
        u = np.log(u / (1 - u))
    elif distribution == "normal":
        u = np.array([NormalDist().inv_cdf(x) for x in u.tolist()])
    table = u.astype(np.float32)
    table.flags.writeable = False
    return table


def normal(words: NDArray[np.uint32]) -> NDArray[np.float32]:
    """Standard normal float32 of the same shape [..., even] (Box & Muller, Ann. Math. Stat. 29 (1958) 610).

    In double precision, and rounded at the end, as `logistic`.
    """
    u = uniform(words).astype(np.float64)
    radius = np.sqrt(-2 * np.log(u[..., 0::2]))
    angle = 2 * np.pi * u[..., 1::2]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1).reshape(words.shape).astype(np.float32)
