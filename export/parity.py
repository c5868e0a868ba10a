"""Comparison of an exported graph with its torch model on the same noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastcalo.errors import ExportError
from fastcalo.model.noise import draw_noise
from fastcalo.model.onnx_session import open_session
from fastcalo.model.random_numbers import random_streams
from fastcalo.model.shower_model import ShowerModel

from .exportable import Exportable
from .kinematics import domain

MIN_IDENTICAL = 0.995
"""Least part of showers that must hit the same cells: a number at an edge may be rounded to either side."""
_CHUNK = 250


def check_parity(path: Path, twin: Exportable) -> dict[str, float]:
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
        They differ by more than `MIN_IDENTICAL` and the twin's tolerance allow, or there are no hits to compare.
    """
    contract = ShowerModel(path, threads=1).contract
    session, n = open_session(path, 1), twin.parity_showers
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
        found = _flat(session.run(contract.sections, feed))
        windows = twin.showers(contract, feed)
        wanted = _flat([windows[name] for name in contract.sections])
        equal = ((found > 0) == (wanted > 0)).all(1)
        same.append(equal)
        drawn += int((wanted > 0).sum())
        hit = (wanted > 0) & equal[:, None]
        cells.append(np.abs(found[hit] / wanted[hit] - 1))
        some = hit.any(1)
        sums = [x[some].sum(1, dtype=np.float64) for x in (found, wanted)]
        showers.append(np.abs(sums[0] / sums[1] - 1))
    if not drawn:
        raise ExportError(f"the torch model draws no hit in {n} showers; train it further")
    return _judged(twin, np.concatenate(same), np.concatenate(cells), np.concatenate(showers))


def _flat(windows: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Windows of all sections [n, nx, ny, layers] as one row per shower."""
    return np.concatenate([window.reshape(len(window), -1) for window in windows], axis=1)


def _judged(
    twin: Exportable, same: NDArray[np.bool_], cells: NDArray[np.floating], showers: NDArray[np.floating]
) -> dict[str, float]:
    """Scores, unless they are bad."""
    beyond = float((cells > twin.tolerance).mean()) if len(cells) else 1.0
    if not (same.mean() >= MIN_IDENTICAL and beyond <= twin.allowed_beyond):
        raise ExportError(
            f"the exported graph does not draw the showers of the torch model: {same.mean():.2%} of showers have the "
            f"same hits (at least {MIN_IDENTICAL:.2%} must); in these, {beyond:.2g} of the cell energies differ by "
            f"more than {twin.tolerance:g} (at most {twin.allowed_beyond:g} may), the largest by "
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
