# SPDX-License-Identifier: BSD-3-Clause
"""Random numbers of a training step, keyed by seed, step and shower.

A counter is hashed, as in SplitMix64 (Steele, Lea & Flood, OOPSLA 2014, fig. 16), in integer arithmetic that is the
same on every device. So the shower in one place of the global batch draws the same numbers whichever rank it falls to,
however many there are, and whatever else is in the batch.
"""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor

_GAMMA = -0x61C8864680B583EB  # 0x9E3779B97F4A7C15 as a signed number, and so on
_A, _B = -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15


class ShowerRandom:
    """Random numbers for the showers of one rank's part of a batch.

    Parameters
    ----------
    key : int
        Of the step.
    slot_B : int64 [B]
        Places of the showers in the global batch.
    """

    def __init__(self, key: int, slot_B: Tensor) -> None:
        self._key, self._slot_B = key, slot_B
        self._shower_B = _mix(_mix(torch.full_like(slot_B, _signed(key))) ^ slot_B)

    @classmethod
    def fresh(cls, showers: int, device: torch.device | str = "cpu") -> ShowerRandom:
        """Some for as many showers, with a key from torch's own generator."""
        return cls(int(torch.randint(1 << 62, ())), torch.arange(showers, device=device))

    def __getitem__(self, index_K: Tensor) -> ShowerRandom:
        """Those of some of the showers."""
        return ShowerRandom(self._key, self._slot_B[index_K])

    def uniform(self, stream: int, *shape: int) -> Tensor:
        """Uniform numbers strictly between 0 and 1, float32 [B, *shape].

        Parameters
        ----------
        stream : int
            One for each use in a step; numbers of different streams have nothing to do with each other.
        *shape : int
            Number k of a shower, in C order, does not depend on the first axis' length.
        """
        start_B1 = _mix(self._shower_B ^ _signed(stream + 1))[:, None]
        index = torch.arange(math.prod(shape), device=start_B1.device)
        # 23 bits, so that neither end can be rounded to 0 or 1
        bits = _shifted(_mix(start_B1 + index * _GAMMA), 41)
        return bits.float().add_(0.5).mul_(2.0**-23).view(-1, *shape)

    def logistic(self, stream: int, *shape: int) -> Tensor:
        """Standard logistic numbers, float32 [B, *shape]."""
        u = self.uniform(stream, *shape)
        return torch.log(u) - torch.log(1 - u)

    def normal(self, stream: int, *shape: int) -> Tensor:
        """Standard normal numbers, float32 [B, *shape] (Box & Muller, Ann. Math. Stat. 29 (1958) 610)."""
        u, v = self.uniform(stream, *shape, 2).unbind(-1)
        return torch.sqrt(-2 * torch.log(u)) * torch.cos(2 * math.pi * v)


def _mix(z: Tensor) -> Tensor:
    z = z + _GAMMA
    # in place: this is most of what random numbers cost
    for shift, factor in ((30, _A), (27, _B)):
        z.bitwise_xor_(_shifted(z, shift)).mul_(factor)
    return z.bitwise_xor_(_shifted(z, 31))


def _shifted(z: Tensor, bits: int) -> Tensor:
    """Shifted to the right as a number without a sign."""
    return (z >> bits).bitwise_and_((1 << 64 - bits) - 1)


def _signed(word: int) -> int:
    word &= (1 << 64) - 1
    return word - (1 << 64) if word >> 63 else word


def combine_seeds(*words: int) -> int:
    """A 63-bit number that depends on all of `words`."""
    return int(short_digest(repr(words).encode()), 16) >> 1


def short_digest(data: bytes) -> str:
    """Digest of 8 bytes, in hexadecimal."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()
