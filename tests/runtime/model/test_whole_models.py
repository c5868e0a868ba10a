# SPDX-License-Identifier: BSD-3-Clause
"""The shipped models of whole showers: what they hold, and where their hits stand."""

from __future__ import annotations

import numpy as np
import pytest

import fastcalo
from fastcalo.model.random_numbers import random_streams

MODELS = {"em": 11, "hadron": 130, "muon": 13}


def draw(name, energy, cosine=1.0, n=200, seed=1, spread=15.0):
    """Deposits of particles of one kind, and their entry points."""
    model = fastcalo.load_model(name, threads=1)
    direction = np.tile(np.array([np.sqrt(1 - cosine**2), 0, cosine], np.float32), (n, 1))
    entry = np.random.default_rng(seed).uniform(-spread, spread, (n, 2)).astype(np.float32)
    zero = np.zeros(n, np.int64)
    random = random_streams(seed, zero, zero, np.arange(n))
    found = model.sample(np.full(n, MODELS[name]), np.full(n, energy, np.float32), direction, entry, random)
    return found, entry


@pytest.mark.parametrize("name", MODELS)
def test_they_know_soft_particles_and_flat_angles(name):
    contract = fastcalo.load_model(name, threads=1).contract
    assert contract.whole
    assert contract.kinetic_energy == (0.02, 100.0)
    assert np.degrees(contract.max_angle) == pytest.approx(75)
    assert contract.sections == ("ECAL", "HCAL")
    assert MODELS[name] in contract.species
    assert contract.scores["parity_identical_showers"] >= 0.995


@pytest.mark.parametrize("name", MODELS)
def test_hits_lie_beyond_every_window_and_none_twice(name):
    found, _ = draw(name, 20.0, cosine=0.5)
    for s in found.values():
        cells = np.stack([s.shower, s.x, s.y, s.layer], 1)
        assert len(np.unique(cells, axis=0)) == len(cells)
    far = np.maximum(np.abs(found["ECAL"].x), np.abs(found["ECAL"].y))
    assert far.max() > 30
    assert (found["ECAL"].deposit > 2e-5).all()
    assert (found["HCAL"].deposit > 5e-5).all()


def test_muons_leave_a_track_through_all_layers():
    found, _ = draw("muon", 20.0)
    for name, layers in (("ECAL", 25), ("HCAL", 60)):
        hit = np.unique(found[name].shower * layers + found[name].layer)
        assert len(hit) > 0.9 * 200 * layers


def test_electrons_leak_into_the_hcal():
    found, _ = draw("em", 60.0)
    assert found["HCAL"].deposit.sum() > 1e-4 * 60.0


def test_hcal_showers_stand_where_the_particle_enters():
    """In full simulation K0L of 20 GeV that enter 12 to 15 mm off a cell's middle have their centroid 9.5 mm off."""
    found, entry = draw("hadron", 20.0, n=500)
    s = found["HCAL"]
    energy = np.bincount(s.shower, s.deposit, 500)
    shift = []
    for axis, cell in enumerate((s.x, s.y)):
        place = np.clip(cell * 30.0, -300, 300)
        mean = np.bincount(s.shower, s.deposit * place, 500) / np.maximum(energy, 1e-9)
        shift.append((mean * np.sign(entry[:, axis]))[(np.abs(entry[:, axis]) > 8) & (energy > 0.01)])
    assert np.concatenate(shift).mean() > 4
