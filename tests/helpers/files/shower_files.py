# SPDX-License-Identifier: BSD-3-Clause
"""Small files of showers for tests of training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fastcalo.detector.description import Detector, load_detector
from fastcalo.io.showers.native import ShowerFile
from fastcalo.io.showers.native_writer import write_showers

SAMPLE = Path(__file__).parents[3] / "examples" / "data" / "em_geant4.h5"
HADRONS = Path(__file__).parents[2] / "data" / "hadrons.h5"
WHOLE_HADRONS = Path(__file__).parents[2] / "data" / "hadrons_whole.h5"
WHOLE_SPECIES = (211, -211, 130, 2112, 2212, 321, -321, -2212, -2112)
"""240 showers of pions, K0L, neutrons and protons in both sections, by Geant4."""


def write_sparse(
    path: Path, n: int, seed: int = 0, species: Sequence[int] = (11, -11, 22), detector: Detector | None = None
) -> Path:
    """Showers of few random hits. No two have the same kinetic energy, by which they are distinguished."""
    detector = detector or load_detector()
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 0.9, n)
    conditions = {
        "pdg": rng.choice(species, n),
        "kinetic_energy": 1 + (seed + rng.permutation(n) / (n + 1)),
        "direction": np.stack([np.sin(angle), np.zeros(n), np.cos(angle)], axis=1),
        "entry": rng.uniform(-2.5, 2.5, (n, 2)),
    }
    section = detector.sections[0]
    counts = rng.integers(0, 6, n)
    cell = rng.integers(0, np.prod(section.shape), counts.sum())
    hits = (np.concatenate([[0], np.cumsum(counts)]), cell, rng.exponential(1e-4, counts.sum()))
    write_showers(path, detector, conditions, {section.name: hits})
    return path


def write_real(path: Path, n: int, highest: float = 3.0, start: int = 0) -> Path:
    """The first `n` showers from `start` on of the shipped sample below an energy in GeV, ECAL only."""
    detector = load_detector()
    with ShowerFile(SAMPLE) as sample:
        energy = sample.kinetic_energy()
        chosen = start + np.flatnonzero(energy[start:] < highest)[:n]
        assert len(chosen) == n, "the shipped sample has not so many"
        conditions = {name: getattr(sample, name)()[chosen] for name in ("pdg", "direction", "entry")}
        conditions["kinetic_energy"] = energy[chosen]
        offsets, cell, deposit = sample.hits("ECAL")
    counts = np.diff(offsets)[chosen]
    ends = np.cumsum(counts)
    index = np.arange(ends[-1]) + np.repeat(offsets[chosen] - (ends - counts), counts)
    hits = {"ECAL": (np.concatenate([[0], ends]), cell[index], deposit[index])}
    write_showers(path, detector, conditions, hits)
    return path
