# SPDX-License-Identifier: BSD-3-Clause
"""ONNX graph of the profile: blobs, kernels and rates of all layers, as tables [L, F, N].

What is known of a layer of a shower is a row over the showers, not a column: the Loop over layers takes its rows at
once, and ONNX Runtime broadcasts along the last axis fast.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fastcalo.training.architectures.hit_lists.hit_networks import CODES
from fastcalo.training.architectures.showers import cell_model as reference
from fastcalo.training.architectures.showers.blobs import BLOBS, GATES, NARROW, WIDE
from fastcalo.training.architectures.showers.cell_model import HitModel

from ..hits.graph import raw_profile
from ..onnx_graph import FLOAT, Graph


@dataclass(frozen=True)
class Tables:
    """Names of float32 tensors [L, F, N].

    ``weight``, ``centre_x``, ``centre_y``: of F = BLOBS; ``inverse``: NARROW; ``scale``, ``tail``, ``stretch``: WIDE;
    ``log_rate``, ``chained``, ``kernel``, ``drift``: one; ``kappa``, ``kernel_inverse``: two; ``codes``; ``gates``;
    ``per_layer``: what the sharing network sees of a layer, three.
    """

    weight: str
    centre_x: str
    centre_y: str
    inverse: str
    scale: str
    tail: str
    stretch: str
    log_rate: str
    kappa: str
    chained: str
    kernel: str
    kernel_inverse: str
    drift: str
    codes: str
    gates: str
    per_layer: str


def profile_tables(
    g: Graph, model: HitModel, cond: dict[str, str], energy_NL: str, count_NL: str, latent_normal: str
) -> Tables:
    """Latent vector from the prior, then `HitModel.profile_of`."""
    layers = model.geometry.layers
    raw, counts, energies = raw_profile(g, model, cond, energy_NL, count_NL, latent_normal)
    raw = g.reshape(raw, -1, layers, reference.OUTPUTS)
    raw = g.op("Transpose", raw, perm=[1, 2, 0])
    sizes = [BLOBS, NARROW, WIDE, WIDE, WIDE, BLOBS, BLOBS, 1, 2, 1, 1, 2, 1, CODES, GATES]
    parts = g.ops("Split", len(sizes), raw, g.const(sizes, np.int64), axis=1)
    logits, width, scale, tail, stretch, along, across, rate, kappa, chained, kernel, kernels, drift, codes, gates = (
        parts
    )

    def exp_of(x: str, factor: float, bias: NDArray[np.float32] | float, limits: tuple[float, float]) -> str:
        shifted = g.op("Add", g.op("Mul", x, g.const(factor)), g.const(np.reshape(bias, (-1, 1))))
        return g.op("Exp", g.clip(shifted, *limits))

    weight = g.op("Softmax", g.op("Add", logits, g.const(_column(model.weight_bias))), axis=1)
    inverse = g.op("Reciprocal", exp_of(width, 0.5, _column(model.width_bias), reference.WIDTH_RANGE))
    scale = exp_of(scale, 0.5, _column(model.scale_bias), reference.SCALE_RANGE)
    unit = g.op(
        "Concat",
        g.op("Add", g.op("Mul", inverse, g.const(0.0)), g.const(1.0)),
        g.op("Mul", scale, g.const(0.3)),
        axis=1,
    )
    a, b = g.op("Mul", along, unit), g.op("Mul", across, unit)
    ux, uy = cond["along_x"], cond["along_y"]
    shift_x = g.op("Sub", g.op("Mul", a, ux), g.op("Mul", b, uy))
    shift_y = g.op("Add", g.op("Mul", a, uy), g.op("Mul", b, ux))
    count_L1N = g.op("Unsqueeze", g.op("Transpose", count_NL, perm=[1, 0]), g.const([1], np.int64))
    before = g.op("CumSum", count_L1N, g.const(0, np.int64), exclusive=1)
    begun = g.cast(g.op("Greater", before, g.const(0.0)), FLOAT)
    depth = g.op(
        "Add",
        g.op("Mul", count_L1N, g.const(0.0)),
        g.const((np.arange(layers) / ((layers - 1) / 2) - 1)[:, None, None]),
    )
    of_layer = [
        g.op("Unsqueeze", g.op("Transpose", t, perm=[1, 0]), g.const([1], np.int64)) for t in (energies, counts)
    ]
    largest_kappa = np.array(reference.LARGEST_NEIGHBOUR_RATES)[:, None]
    return Tables(
        weight=weight,
        centre_x=g.op("Add", cond["offset_x"], shift_x),
        centre_y=g.op("Add", cond["offset_y"], shift_y),
        inverse=inverse,
        scale=scale,
        tail=exp_of(tail, 0.5, 0.5, reference.TAIL_RANGE),
        stretch=exp_of(stretch, 0.5, 0.0, reference.STRETCH_RANGE),
        log_rate=g.op("Add", g.op("Log", g.op("Add", count_L1N, g.const(0.8))), g.op("Mul", rate, g.const(0.3))),
        kappa=g.op("Mul", g.op("Sigmoid", g.op("Sub", kappa, g.const(2.0))), g.const(largest_kappa)),
        chained=g.op("Mul", g.op("Sigmoid", chained), begun),
        kernel=g.op("Sigmoid", kernel),
        kernel_inverse=g.op("Reciprocal", exp_of(kernels, 0.5, _column(model.kernel_bias), reference.KERNEL_RANGE)),
        drift=g.op("Add", g.op("Mul", drift, g.const(0.1)), g.const(1.0)),
        codes=codes,
        gates=gates,
        per_layer=g.op("Concat", *of_layer, depth, axis=1),
    )  # fmt: skip


def _column(parameter: nn.Parameter) -> NDArray[np.float32]:
    values: NDArray[np.float32] = parameter.detach().numpy()
    return values[:, None]
