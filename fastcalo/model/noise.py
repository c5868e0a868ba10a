# SPDX-License-Identifier: BSD-3-Clause
"""Noise tensors of a contract, drawn from one stream of random numbers per shower."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .contract import NoiseSpec
from .random_numbers import RandomStreams, logistic, normal, table_of, uniform

_TENSOR_STRIDE = 1 << 24
"""Blocks of random numbers set aside for each noise tensor of a shower."""
_HALVES = 8
"""Numbers of 16 bits that a block of random numbers holds."""
_BLOCK = np.dtype((np.void, 4 * _HALVES))
"""As many float32."""
_CONVERT = {"uniform": uniform, "normal": normal, "logistic": logistic}


def draw_noise(
    specs: tuple[NoiseSpec, ...], random: RandomStreams, kinetic_energy: NDArray[np.float32]
) -> dict[str, NDArray[np.float32]]:
    """The noise tensors of a contract, each float32 [N, ...], from one stream per shower.

    Tensor k of a shower takes its numbers, in C order, from block k 2**24 of the shower's stream on. Rows beyond a
    shower's capacity may be left zero: the graph never reads them.
    """
    return {spec.name: _drawn(spec, random, kinetic_energy, k * _TENSOR_STRIDE) for k, spec in enumerate(specs)}


def _drawn(
    spec: NoiseSpec, random: RandomStreams, kinetic_energy: NDArray[np.float32], first: int
) -> NDArray[np.float32]:
    n, tail = len(random), tuple(int(s) for s in spec.shape if s != "P")
    width = math.prod(tail)
    if spec.capacity is None:
        values = _CONVERT[spec.distribution](random.words(first, width))[:, :width]
        return np.ascontiguousarray(values).reshape(n, *tail)
    a, b, c = spec.capacity
    # one row more than the formula: the graph evaluates it in single precision
    rows = np.floor(a + b * kinetic_energy.astype(np.float64) ** c).astype(np.int64) + 1
    count = -(-rows * width // _HALVES)
    # as many rows as a block has numbers fill whole blocks
    most = -(-int(rows.max(initial=1)) // _HALVES)
    tensor = np.zeros((n, most * width, _HALVES), np.float32)
    drawn = table_of(spec.distribution).take(random.halves(first, count))
    # a block at a time, not a number
    tensor.view(_BLOCK)[..., 0][np.arange(most * width) < count[:, None]] = drawn.view(_BLOCK)[:, 0]
    return tensor.reshape(n, most * _HALVES, *tail)
