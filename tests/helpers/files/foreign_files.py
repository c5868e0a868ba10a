# SPDX-License-Identifier: BSD-3-Clause
"""Tiny files in other projects' layouts, written from their descriptions and not by our code."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

# a particle whose layers are like those of data set 1: gaps, layers without angles, uneven radii
BINNING = """<Bins>
  <Bin pid="22" etaMin="0" etaMax="130" name="photon">
    <Layer id="0" r_edges="0,5,10,30" n_bin_alpha="1" />
    <Layer id="1" r_edges="0,2,6" n_bin_alpha="4"/>
    <Layer id="2" r_edges="0" n_bin_alpha="1" />
    <Layer id="3" r_edges="0" n_bin_alpha="1" />
    <Layer id="12" r_edges="0,100,400" n_bin_alpha="1" />
  </Bin>
</Bins>
"""
VOXELS = 3 + 2 * 4 + 2


def write_h5(path: Path, **datasets: object) -> Path:
    with h5py.File(path, "w") as file:
        for name, data in datasets.items():
            file.create_dataset(name, data=data, compression="gzip")
    return path


def sparse(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Deposits about 1, three in four of them zero."""
    return (rng.exponential(1.0, shape) * (rng.random(shape) < 0.25)).astype(np.float32)


def lcd_fixed(n: int, seed: int = 0, shape=(25, 25, 25), target=(1, 5)) -> dict[str, np.ndarray]:
    """Fixed angle: GeV; PDG code and energy (GeV) in the first two columns of target."""
    rng = np.random.default_rng(seed)
    columns = np.zeros((n, target[-1]))
    columns[:, 0], columns[:, 1] = rng.choice([11, 22, -211], n), rng.uniform(10, 500, n)
    return {
        "ECAL": sparse(rng, n, *shape) * 1e-3,
        "HCAL": sparse(rng, n, 5, 5, 60) * 1e-3,
        "target": columns.reshape(n, *target),
    }


def lcd_angle(n: int, seed: int = 0, shape=(51, 51, 25)) -> dict[str, np.ndarray]:
    """Variable angle: deposits in GeV times 50, theta from the beam."""
    rng = np.random.default_rng(seed)
    return {
        "ECAL": sparse(rng, n, *shape) * 1e-2,
        "energy": rng.uniform(2, 500, n),
        "theta": rng.uniform(np.radians(60), np.radians(120), n),
        "pdgID": np.full(n, 11),
    }


def calochallenge(n: int, seed: int = 0, voxels: int = VOXELS) -> dict[str, np.ndarray]:
    """MeV."""
    rng = np.random.default_rng(seed)
    return {
        "incident_energies": rng.uniform(256, 4e6, (n, 1)),
        "showers": sparse(rng, n, voxels).astype(np.float64) * 10,
    }


def calogan(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Deposits in MeV, energy in GeV."""
    rng = np.random.default_rng(seed)
    return {
        "layer_0": sparse(rng, n, 3, 96) * 100,
        "layer_1": sparse(rng, n, 12, 12) * 100,
        "layer_2": sparse(rng, n, 12, 6) * 100,
        "overflow": sparse(rng, n, 3) * 100,
        "energy": rng.uniform(1, 100, (n, 1)),
    }
