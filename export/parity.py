# SPDX-License-Identifier: BSD-3-Clause
"""Comparison of an exported graph with its torch model on the same noise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastcalo.errors import ExportError
from fastcalo.model.noise import draw_noise
from fastcalo.model.onnx_session import open_session
from fastcalo.model.random_numbers import random_streams
from fastcalo.model.shower_model import ShowerModel

from .exportable import Exportable
from .kinematics import domain

Arrays: TypeAlias = dict[str, NDArray[Any]]
MIN_IDENTICAL = 0.995
"""Least part of showers that must hit the same cells: a number at an edge may be rounded to either side."""
_CHUNK = 250


def check_parity(path: Path, exportable: Exportable) -> dict[str, float]:
    """Compare the graph in a file with the torch model that it was made from.

    Returns
    -------
    dict of str to float
        ``parity_identical_showers``: part of the showers with the same hits; ``parity_cell_median``,
        ``parity_cell_999`` and ``parity_cell_max``: relative difference of cell energies in these, median, 99.9 %
        quantile and largest; ``parity_shower_max``: that of shower energies.

    Raises
    ------
    ExportError
        They differ by more than `MIN_IDENTICAL` and its tolerance allow, or there are no hits to compare.
    """
    contract = ShowerModel(path, threads=1).contract
    session, n = open_session(path, 1), exportable.parity_showers
    pdg, energy, direction = domain(contract, n)
    cell = contract.stack["sections"][0]["cell_mm"]
    entry = np.random.default_rng(1).uniform(-cell / 2, cell / 2, (n, 2)).astype(np.float32)
    zero = np.zeros(n, np.int64)
    random = random_streams(0, zero, zero, np.arange(n))
    same, cells, showers, drawn = [], [], [], 0
    for start in range(0, n, _CHUNK):
        i = np.arange(start, min(start + _CHUNK, n))
        feed = {"kinetic_energy": energy[i], "direction": direction[i], "entry": entry[i], "species": pdg[i]}
        feed |= draw_noise(contract.noise, random.take(i), energy[i])
        names = [
            s + t for s in contract.sections for t in (("_shower", "_cell", "_deposit") if contract.whole else ("",))
        ]
        out = dict(zip(names, session.run(names, feed), strict=True))
        drawn_by_torch = exportable.showers(contract, feed)
        if contract.whole:
            equal, found, wanted, row = _compare_lists(contract.sections, out, drawn_by_torch, len(i))
        else:
            equal, found, wanted, row = _compare_windows(contract.sections, out, drawn_by_torch)
        same.append(equal)
        deposits = "_deposit" if contract.whole else ""
        drawn += sum(int((drawn_by_torch[s + deposits] > 0).sum()) for s in contract.sections)
        cells.append(np.abs(found / wanted - 1))
        sums = [np.bincount(row, x.astype(np.float64), len(i)) for x in (found, wanted)]
        some = sums[1] > 0
        showers.append(np.abs(sums[0][some] / sums[1][some] - 1))
    if not drawn:
        raise ExportError(f"the torch model draws no hit in {n} showers; train it further")
    return _judged(exportable, np.concatenate(same), np.concatenate(cells), np.concatenate(showers))


Compared: TypeAlias = tuple[NDArray[np.bool_], NDArray[np.floating], NDArray[np.floating], NDArray[np.int64]]
"""Which showers have the same hits; of these, deposits of the graph and of the torch model, and the shower of each."""


def _compare_windows(sections: Sequence[str], graph: Arrays, torch: Arrays) -> Compared:
    found, wanted = (np.concatenate([x[s].reshape(len(x[s]), -1) for s in sections], axis=1) for x in (graph, torch))
    equal = ((found > 0) == (wanted > 0)).all(1)
    hit = (wanted > 0) & equal[:, None]
    return equal, found[hit], wanted[hit], np.nonzero(hit)[0]


def _compare_lists(sections: Sequence[str], graph: Arrays, torch: Arrays, n: int) -> Compared:
    keys, deposits = [], []
    for lists in (graph, torch):
        key = [
            (((lists[f"{s}_shower"] * len(sections) + k) * 1024 + cell[:, 0] + 512) * 1024 + cell[:, 1] + 512) * 1024
            + cell[:, 2]
            for k, s in enumerate(sections)
            for cell in [lists[f"{s}_cell"].astype(np.int64)]
        ]
        keys.append(np.concatenate(key))
        deposits.append(np.concatenate([lists[f"{s}_deposit"] for s in sections]))
    per_shower = len(sections) * 1024**3
    equal = np.ones(n, bool)
    equal[np.setxor1d(keys[0], keys[1]) // per_shower] = False
    common, a, b = np.intersect1d(keys[0], keys[1], return_indices=True)
    row = common // per_shower
    kept = equal[row]
    return equal, deposits[0][a][kept], deposits[1][b][kept], row[kept]


def _judged(
    exportable: Exportable, same: NDArray[np.bool_], cells: NDArray[np.floating], showers: NDArray[np.floating]
) -> dict[str, float]:
    """Scores, unless they are bad."""
    beyond = float((cells > exportable.tolerance).mean()) if len(cells) else 1.0
    if not (same.mean() >= MIN_IDENTICAL and beyond <= exportable.allowed_beyond):
        raise ExportError(
            f"the exported graph does not draw the showers of the torch model: {same.mean():.2%} of showers have the "
            f"same hits (at least {MIN_IDENTICAL:.2%} must); in these, {beyond:.2g} of the cell energies differ by "
            f"more than {exportable.tolerance:g} (at most {exportable.allowed_beyond:g} may), the largest by "
            f"{cells.max(initial=0):.2g}"
        )
    return {
        "parity_showers": float(len(same)),
        "parity_identical_showers": float(same.mean()),
        "parity_cell_median": float(np.median(cells)),
        "parity_cell_999": float(np.quantile(cells, 0.999)),
        "parity_cell_max": float(cells.max()),
        "parity_shower_max": float(showers.max()),
    }
