# SPDX-License-Identifier: BSD-3-Clause
"""Voxel binning of the CaloChallenge, read from its XML files.

``<Bins>`` holds a ``<Bin name="photon" pid="22">`` for every kind of particle, and that a ``<Layer id="1"
r_edges="0,2,4" n_bin_alpha="10"/>`` for every layer. Edges are in mm; a layer with one edge has no voxels. Voxels are
ordered by layer, then by angle, then by radius, the last running fastest; angles begin at -pi. As the challenge's
homepage states (calochallenge.github.io/homepage, "Datasets"), and its ``XMLHandler.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from ...detector.voxels import Voxels
from ...errors import InputError

_Floats = NDArray[np.float64]

_MOST_VOXELS = 10_000_000
"""The finest binning of the challenge, data set 3, has 40 500."""
_CODES = {"photon": 22, "electron": 11, "pion": 211}


@dataclass(frozen=True)
class Binning:
    """Voxels of one kind of particle.

    Attributes
    ----------
    name : str
        Of the particle, in the file's words.
    pdg : int or None
        Its code, if known.
    layer_ids : tuple of int
        Numbers in the file of the layers that have voxels.
    voxels : Voxels
        Only layers that have voxels are counted. x = r cos(alpha) and y = r sin(alpha) of the centre.
    """

    name: str
    pdg: int | None
    layer_ids: tuple[int, ...]
    voxels: Voxels


def read_binnings(path: Path) -> list[Binning]:
    """Read all binnings of a file.

    Raises
    ------
    InputError
        There is no such file, it is not XML, or does not describe voxels.
    """
    try:
        root = ET.fromstring(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ET.ParseError, LookupError, ValueError) as error:
        raise InputError(f"{path}: is not XML: {error}") from error
    binnings = [_binning(path, element) for element in root if element.find("Layer") is not None]
    if not binnings:
        raise InputError(f"{path}: describes no voxels: no <Bin> with a <Layer> in <{root.tag}>")
    return binnings


def _binning(path: Path, element: ET.Element) -> Binning:
    name = element.get("name", "")
    where = f"{path}: <{element.tag} name={name!r}>"
    found = [_layer(where, layer) for layer in element.findall("Layer")]
    layers = [(number, edges, angles) for number, edges, angles in found if len(edges) > 1]
    if not layers:
        raise InputError(f"{where}: no layer has voxels")
    if (count := sum((len(edges) - 1) * angles for _, edges, angles in layers)) > _MOST_VOXELS:
        raise InputError(f"{where}: describes {count} voxels, more than {_MOST_VOXELS}")
    index = [np.full((len(edges) - 1) * angles, i) for i, (_, edges, angles) in enumerate(layers)]
    radius, x, y = (np.concatenate(part) for part in zip(*(_centres(e, n) for _, e, n in layers), strict=True))
    voxels = Voxels(np.concatenate(index).astype(np.int64), x, y, radius, len(layers))
    return Binning(name, _code(where, name, element.get("pid")), tuple(number for number, _, _ in layers), voxels)


def _layer(where: str, layer: ET.Element) -> tuple[int, _Floats, int]:
    try:
        number, angles = int(layer.get("id", "")), int(layer.get("n_bin_alpha", ""))
        edges = np.array([float(edge) for edge in layer.get("r_edges", "").split(",")])
    except ValueError as error:
        raise InputError(
            f"{where}: layer {layer.get('id')!r} needs id, r_edges and n_bin_alpha, all numbers: {error}"
        ) from error
    if angles < 1 or edges[0] < 0 or not np.isfinite(edges).all() or (np.diff(edges) <= 0).any():
        raise InputError(f"{where}: layer {number}: r_edges must rise from 0 or more, and n_bin_alpha be at least 1")
    return number, edges, angles


def _centres(edges: _Floats, angles: int) -> tuple[_Floats, _Floats, _Floats]:
    """Radius, x and y of the voxels of a layer."""
    radius = np.tile((edges[1:] + edges[:-1]) / 2, angles)
    if angles == 1:
        return radius, np.zeros_like(radius), np.zeros_like(radius)
    alpha = np.repeat(-np.pi + (np.arange(angles) + 0.5) * (2 * np.pi / angles), len(edges) - 1)
    return radius, radius * np.cos(alpha), radius * np.sin(alpha)


def _code(where: str, name: str, pid: str | None) -> int | None:
    if name in _CODES:
        return _CODES[name]
    if pid is None:
        return None
    try:
        return int(pid)
    except ValueError as error:
        raise InputError(f"{where}: pid should be a PDG code, not {pid!r}") from error
