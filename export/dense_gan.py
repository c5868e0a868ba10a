# SPDX-License-Identifier: BSD-3-Clause
"""Export of ``arch = "3dgan"``: the sampler as one ONNX graph.

Its torch model is `fastcalo.training.architectures.dense_gan.gan.DenseGan.sample`; the export compares the two.
"""

from __future__ import annotations

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from fastcalo._version import __version__
from fastcalo.model.contract import FORMAT, Contract, NoiseSpec
from fastcalo.training.architectures.dense_gan.frame import COSINE_CENTRE, UNIT, gap
from fastcalo.training.architectures.dense_gan.gan import DenseGan
from fastcalo.training.architectures.dense_gan.networks import SLOPE, DenseGenerator, Modulation, Up

from .exportable import Feed
from .onnx_graph import FLOAT, INT64, Graph

LATENT = "latent"


class ExportableDenseGan:
    """The convolutional sampler; see `fastcalo.export.exportable.Exportable`."""

    format = FORMAT
    sparse = False
    parity_showers = 500
    tolerance = 1e-3
    allowed_beyond = 0.0
    measured_showers = 0

    def __init__(self, model: DenseGan) -> None:
        self.model = model

    def noise(self, contract: Contract) -> tuple[NoiseSpec, ...]:  # noqa: ARG002
        """The latent vector."""
        return (NoiseSpec(LATENT, (self.model.latent,), "normal"),)

    def showers(self, contract: Contract, feed: Feed) -> dict[str, NDArray[np.float32]]:
        """Windows that the torch model draws."""
        names = ("kinetic_energy", "direction", "entry", "species", LATENT)
        drawn = self.model.sample(*(torch.from_numpy(feed[n]) for n in names))
        return {contract.sections[0]: np.asarray(drawn.numpy())}

    def graph(self, contract: Contract) -> onnx.ModelProto:
        """The whole sampler."""
        g, section = Graph(), contract.sections[0]
        nx, ny, layers = self.model.section.shape
        energy = g.input("kinetic_energy", FLOAT, ["N"])
        direction = g.input("direction", FLOAT, ["N", 3])
        entry = g.input("entry", FLOAT, ["N", 2])
        species = g.input("species", INT64, ["N"])
        latent = g.input(LATENT, FLOAT, ["N", self.model.latent])
        flip, swap, folded, entry = _fold(g, direction, entry)
        vector, offset = _conditions(g, self.model, energy, folded, entry, species)
        drawn = _generate(g, self.model.generator, g.op("Concat", vector, latent, axis=1), offset, layers)
        deposit = _expand(g, drawn, contract.thresholds[section])
        g.output(_unfold(g, deposit, flip, swap, nx), section, FLOAT, ["N", nx, ny, layers])
        return g.model(f"fastcalo_{section}", __version__)


def _fold(g: Graph, direction: str, entry: str) -> tuple[str, str, str, str]:
    """`frame.fold`: flip bool [N, 2], swap bool [N, 1], direction [N, 3], entry [N, 2]."""
    transverse = g.slice(direction, 1, 0, 2)
    flip, size = g.op("Less", transverse, g.const(0.0)), g.op("Abs", transverse)
    swap = g.op("Greater", g.slice(size, 1, 0, 1), g.slice(size, 1, 1, 2))
    entry = g.op("Where", flip, g.op("Neg", entry), entry)
    size, entry = (g.op("Where", swap, _reversed(g, x, 1, 2), x) for x in (size, entry))
    return flip, swap, g.op("Concat", size, g.slice(direction, 1, 2, 3), axis=1), entry


def _reversed(g: Graph, x: str, axis: int, size: int) -> str:
    return g.op("Gather", x, g.const(np.arange(size)[::-1], np.int64), axis=axis)


def _unfold(g: Graph, window: str, flip: str, swap: str, size: int) -> str:
    """`frame.unfold` of square windows of `size` cells."""
    swap = g.reshape(swap, -1, 1, 1, 1)
    out = g.op("Where", swap, g.op("Transpose", window, perm=[0, 2, 1, 3]), window)
    for axis in (0, 1):
        this = g.reshape(g.slice(flip, 1, axis, axis + 1), -1, 1, 1, 1)
        out = g.op("Where", this, _reversed(g, out, 1 + axis, size), out)
    return out


def _conditions(g: Graph, model: DenseGan, energy: str, direction: str, entry: str, species: str) -> tuple[str, str]:
    """`frame.conditions`: the vector [N, C] and the offsets [N, L, 2]."""
    cell, depth = g.const(model.section.cell_mm), g.const(model.section.sensor_z[None, :, None])
    half = g.column(g.op("Mul", g.op("Log", energy), g.const(0.5)))
    transverse, cosine = g.slice(direction, 1, 0, 2), g.slice(direction, 1, 2, 3)
    middle = g.const([1], np.int64)
    slope = g.op("Unsqueeze", g.op("Div", transverse, cosine), middle)
    crossing = g.op("Add", g.op("Unsqueeze", entry, middle), g.op("Mul", depth, slope))
    crossing = g.op("Div", crossing, cell)
    offset = g.op("Sub", crossing, g.op("Floor", g.op("Add", crossing, g.const(0.5))))
    vector = g.op(
        "Concat",
        half,
        g.op("Div", g.op("Mul", half, half), g.const(3.0)),
        g.op("Mul", transverse, g.const(2.0)),
        g.op("Mul", g.op("Sub", cosine, g.const(COSINE_CENTRE)), g.const(4.0)),
        g.op("Mul", g.op("Div", entry, cell), g.const(3.0)),
        g.cast(g.op("Equal", g.column(species), g.const(model.species, np.int64)), FLOAT),
        g.op("Mul", g.reshape(offset, 0, 2 * model.section.layers), g.const(3.0)),
        axis=1,
    )
    return vector, offset


def _generate(g: Graph, net: DenseGenerator, known: str, offset: str, layers: int) -> str:
    """`DenseGenerator.forward`: compressed deposits, [N, X, Y, L]."""
    style = _linear(g, net.style[2], _leaky(g, _linear(g, net.style[0], known)))
    style = _leaky(g, style)
    x = g.reshape(_leaky(g, _linear(g, net.start, style)), 0, *net.coarse)
    grid: tuple[int, ...] = net.coarse[1:]
    for up in net.ups:
        x, grid = _double(g, up, x, style, grid)
    x = g.op("Add", x, _convolve(g, net.place, _flight_maps(g, offset, net.window, layers)))
    x = _modulate(g, net.modulation, _convolve(g, net.near, x), style, grid)
    x = _convolve(g, net.last, x)
    return g.op("Relu", g.op("Squeeze", x, g.const([1], np.int64)))


def _double(g: Graph, up: nn.Module, x: str, style: str, grid: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """`Up.forward`: activations and the finer grid."""
    assert isinstance(up, Up)
    more = [int(n) for n in up.conv.output_padding]
    x = g.op(
        "ConvTranspose", x, g.const(up.conv.weight.detach().numpy()), strides=[2] * 3, pads=[1] * 6, output_padding=more
    )
    fine = tuple(2 * n - 1 + m for n, m in zip(grid, more, strict=True))
    return _modulate(g, up.modulation, x, style, fine), fine


def _flight_maps(g: Graph, offset: str, window: tuple[int, int], layers: int) -> str:
    """`frame.flight_maps`."""
    nx, ny = window
    zero = g.const(np.zeros((1, 1, nx, ny, layers)))
    distances = []
    for axis, size in enumerate(window):
        index = (np.arange(size) - float(size // 2)).reshape(1, 1, *((size, 1) if axis == 0 else (1, size)), 1)
        along = g.op("Transpose", g.slice(offset, 2, axis, axis + 1), perm=[0, 2, 1])
        along = g.op("Unsqueeze", along, g.const([2, 3], np.int64))
        distances.append(g.op("Sub", g.const(index), along))
    square = g.op("Add", *(g.op("Mul", d, d) for d in distances))
    maps = [g.op("Div", g.op("Add", d, zero), g.const(8.0)) for d in distances]
    log = g.op("Div", g.op("Log", g.op("Add", square, g.const(0.1))), g.const(2.0))
    return g.op("Concat", *maps, log, axis=1)


def _modulate(g: Graph, net: Modulation, x: str, style: str, grid: tuple[int, ...]) -> str:
    """`Modulation.forward`, for activations on a grid."""
    groups, channels = net.norm.num_groups, net.norm.num_channels
    # sizes spelt out: what is left to be inferred cannot be where there are no showers
    flat = g.reshape(x, 0, groups, channels // groups * int(np.prod(grid)))
    one, none = g.const(np.ones(groups)), g.const(np.zeros(groups))
    normal = g.op("InstanceNormalization", flat, one, none, epsilon=net.norm.eps)
    normal = g.reshape(normal, 0, channels, *grid)
    change = g.reshape(_linear(g, net.change, style), 0, 2 * channels, 1, 1, 1)
    scale, shift = g.slice(change, 1, 0, channels), g.slice(change, 1, channels, 2 * channels)
    return _leaky(g, g.op("Add", g.op("Mul", normal, g.op("Add", g.const(1.0), scale)), shift))


def _expand(g: Graph, value: str, threshold: float) -> str:
    """`frame.expand`."""
    root = g.op("Add", value, g.const(gap(threshold)))
    square = g.op("Mul", root, root)
    deposit = g.op("Mul", g.op("Mul", g.const(UNIT), square), square)
    hit = g.op("And", g.op("Greater", value, g.const(0.0)), g.op("Greater", deposit, g.const(threshold)))
    return g.op("Where", hit, deposit, g.const(0.0))


def _leaky(g: Graph, x: str) -> str:
    return g.op("LeakyRelu", x, alpha=SLOPE)


def _linear(g: Graph, layer: nn.Module, x: str) -> str:
    assert isinstance(layer, nn.Linear)
    return g.gemm(x, layer.weight.detach().numpy().T, layer.bias.detach().numpy())


def _convolve(g: Graph, layer: nn.Conv3d, x: str) -> str:
    bias = [] if layer.bias is None else [g.const(layer.bias.detach().numpy())]
    return g.op("Conv", x, g.const(layer.weight.detach().numpy()), *bias, pads=2 * [int(p) for p in layer.padding])
