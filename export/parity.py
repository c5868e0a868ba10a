"""Does the exported graph draw the same showers as the torch model, from the same noise?"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fastcalo.contract import Contract
from fastcalo.errors import ExportError
from fastcalo.model import ShowerModel, draw_noise
from fastcalo.noise import streams
from fastcalo.training.hits.conditions import conditions
from fastcalo.training.hits.gan import HitGan
from fastcalo.training.hits.sampler import Noise, sample_showers

SHOWERS = 3_000
MIN_IDENTICAL = 0.995
"""Least part of showers that must hit the same cells: a number at an edge may be rounded to either side."""
MAX_DIFFERENCE = 1e-2
"""Largest relative difference of cell energies, but for one cell in a thousand."""


def domain(contract: Contract, n: int, seed: int = 0) -> tuple[NDArray[Any], ...]:
    """Kinematics that fill a contract's validity, its corners among them.

    Returns
    -------
    tuple
        ``pdg`` int64 [n], ``kinetic_energy`` float32 [n], ``direction`` float32 [n, 3]; energies are uniform in
        their logarithm, directions in solid angle.
    """
    rng = np.random.default_rng(seed)
    low, high = contract.kinetic_energy
    energy = low * (high / low) ** rng.random(n)
    cosine = rng.uniform(math.cos(contract.max_angle), 1, n)
    azimuth = rng.uniform(-math.pi, math.pi, n)
    corners = [(e, c) for e in (low, high) for c in (1.0, math.cos(contract.max_angle))]
    k = min(n, 10 * len(corners))
    energy[:k], cosine[:k] = np.tile(np.array(corners), (10, 1))[:k].T
    sine = np.sqrt(1 - cosine**2)
    direction = np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), cosine], 1)
    return rng.choice(contract.species, n), energy.astype(np.float32), direction.astype(np.float32)


def check_parity(path: Path, model: HitGan) -> dict[str, float]:
    """Compare the graph in a file with the torch model that it was made from.

    Returns
    -------
    dict of str to float
        ``parity_identical_showers``: part of the showers with the same hits; ``parity_cell_999`` and
        ``parity_cell_max``: relative difference of cell energies in these, 99.9 % quantile and largest;
        ``parity_shower_max``: that of shower energies.

    Raises
    ------
    ExportError
        They differ by more than `MIN_IDENTICAL` and `MAX_DIFFERENCE` allow.
    """
    onnx = ShowerModel(path, threads=1)
    contract = onnx.contract
    section = contract.sections[0]
    pdg, energy, direction = domain(contract, SHOWERS)
    half = model.geometry.cell / 2
    entry = np.random.default_rng(1).uniform(-half, half, (SHOWERS, 2)).astype(np.float32)
    zero = np.zeros(SHOWERS, np.int64)
    random = streams(0, zero, zero, np.arange(SHOWERS))
    same, cells, showers = [], [], []
    for start in range(0, SHOWERS, 250):
        i = np.arange(start, min(start + 250, SHOWERS))
        noise = draw_noise(contract.noise, random.take(i), energy[i])
        feed = {"kinetic_energy": energy[i], "direction": direction[i], "entry": entry[i], "species": pdg[i]}
        found = onnx._session.run([section], {**feed, **noise})[0].reshape(len(i), -1)
        wanted = _torch_showers(model, contract, feed, noise).reshape(len(i), -1)
        equal = ((found > 0) == (wanted > 0)).all(1)
        same.append(equal)
        hit = (wanted > 0) & equal[:, None]
        cells.append(np.abs(found[hit] / wanted[hit] - 1))
        showers.append(np.abs(found.sum(1, dtype=np.float64) / wanted.sum(1, dtype=np.float64) - 1)[equal])
    difference = np.concatenate(cells)
    result = {
        "parity_showers": float(SHOWERS),
        "parity_identical_showers": float(np.concatenate(same).mean()),
        "parity_cell_median": float(np.median(difference)),
        "parity_cell_999": float(np.quantile(difference, 0.999)),
        "parity_cell_max": float(difference.max()),
        "parity_shower_max": float(np.concatenate(showers).max()),
    }
    if not (result["parity_identical_showers"] >= MIN_IDENTICAL and result["parity_cell_999"] <= MAX_DIFFERENCE):
        raise ExportError(
            f"the exported graph does not draw the showers of the torch model: {result['parity_identical_showers']:.2%} "
            f"of showers have the same hits (at least {MIN_IDENTICAL:.2%} must), cell energies differ by "
            f"{result['parity_cell_999']:.2g} at the 99.9 % quantile (at most {MAX_DIFFERENCE:g} may)"
        )
    return result


def _torch_showers(
    model: HitGan, contract: Contract, feed: dict[str, NDArray[Any]], noise: dict[str, NDArray[np.float32]]
) -> NDArray[np.float32]:
    g = model.geometry
    c = conditions(g, *(torch.from_numpy(feed[k]) for k in ("kinetic_energy", "direction", "entry", "species")))
    capacity = next(n.capacity for n in contract.noise if n.capacity)
    rows = torch.floor(capacity[0] + capacity[1] * torch.from_numpy(feed["kinetic_energy"]) ** capacity[2]).long()
    tensors = (torch.from_numpy(noise[n.name]) for n in contract.noise)
    hits = sample_showers(model.layers, model.hits, c, Noise(*tensors, capacity=rows))
    dense = torch.zeros(len(c), g.window, g.window, g.layers)
    dense[hits.row, (hits.x + g.half).long(), (hits.y + g.half).long(), hits.layer] = hits.deposit
    return np.asarray(dense.numpy())
