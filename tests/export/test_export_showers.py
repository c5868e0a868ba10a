# SPDX-License-Identifier: BSD-3-Clause
"""Exported models of whole showers: lists of hits for entries in the frame of the module, and what is not drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.files.event_lists import make_events
from helpers.files.shower_files import WHOLE_SPECIES
from numpy.testing import assert_array_equal

from fastcalo.detector.description import load_detector
from fastcalo.export import exporter
from fastcalo.export.kinematics import domain
from fastcalo.export.parity import check_parity
from fastcalo.export.showers.exportable import ExportableShowerGan
from fastcalo.model.contract import WHOLE
from fastcalo.model.onnx_session import open_session
from fastcalo.model.random_numbers import random_streams
from fastcalo.model.shower_model import ShowerModel, draw_noise
from fastcalo.simulation.fast import FastSimulation
from fastcalo.simulation.placing import crossed_cells
from fastcalo.training.architectures.showers.gan import ShowerGan
from fastcalo.training.config import read_config

DETECTOR = load_detector()


@pytest.fixture(
    scope="module", params=[(1, 0), (2, 0), (4, 2)], ids=["one candidate", "two candidates", "fewer of large layers"]
)
def exportable(request):
    """Networks as they are before training: they draw something everywhere; a choice with preferences."""
    torch.manual_seed(2)
    candidates, of_large = request.param
    config = read_config(
        {
            "name": "tiny-whole",
            "arch": "showers",
            "species": list(WHOLE_SPECIES),
            "sections": ["ECAL", "HCAL"],
            "data": {"train": ["none.h5"]},
            "network": {
                "section_layers": [25, 20],
                "candidates": candidates,
                "candidates_of_large": of_large,
            },
            "validity": {"kinetic_energy": [0.02, 5.0], "angle_degrees": 75.0},
            "stage": [{"name": name, "steps": 1, "batch": 1} for name in ("layers", "choice")[:candidates]],
        },
        "here",
    )
    model = ExportableShowerGan(ShowerGan(config))
    if model.choice:
        for parameter in model.choice.parameters():
            torch.nn.init.normal_(parameter, std=0.15)
    model.model.networks.eval()
    model.parity_showers, model.measured_showers = 60, 300
    return config, model


@pytest.fixture(scope="module")
def path(exportable, tmp_path_factory):
    config, model = exportable
    contract = exporter._contract(config, model, "")
    file = tmp_path_factory.mktemp("models") / "whole.onnx"
    exporter._write(model.graph(contract), contract, file)
    return file


@pytest.fixture(scope="module")
def model(path):
    return ShowerModel(path, threads=1)


def particles(contract, n):
    pdg, energy, direction = domain(contract, n)
    entry = np.random.default_rng(3).uniform(-900, 900, (n, 2)).astype(np.float32)
    return pdg, energy, direction, entry


def feed_of(contract, n):
    pdg, energy, direction, entry = particles(contract, n)
    zero = np.zeros(n, np.int64)
    feed = {"kinetic_energy": energy, "direction": direction, "entry": entry, "species": pdg}
    return feed | draw_noise(contract.noise, random_streams(5, zero, zero, np.arange(n)), energy)


def test_the_graph_draws_the_hits_of_the_torch_model(path, exportable):
    scores = check_parity(path, exportable[1])
    assert scores["parity_identical_showers"] == 1
    assert scores["parity_cell_999"] < 1e-3


def test_the_contract_is_of_the_format_of_whole_showers(model):
    assert model.contract.format == WHOLE
    assert model.contract.whole
    assert {n.name: n.shape for n in model.contract.noise}["point_uniform"] == ("P", 3)


def test_nothing_is_drawn_for_what_is_not_valid_and_the_others_stay_the_same(path, model):
    session, feed = open_session(path, 1), feed_of(model.contract, 8)
    names = ["valid", "complete", "ECAL_shower", "ECAL_cell", "HCAL_shower", "HCAL_deposit"]
    valid, complete, *before = session.run(names, feed)
    assert valid.all()
    assert complete.dtype == bool
    bad = {k: v.copy() for k, v in feed.items()}
    bad["kinetic_energy"][1] = 7.0
    bad["direction"][2] = [1.0, 0.0, 0.0]
    bad["species"][3] = 22
    bad["entry"][4] = np.nan
    bad["kinetic_energy"][5] = np.nan
    bad["direction"][6] *= 1.01
    valid, _, *after = session.run(names, bad)
    assert valid.tolist() == [True, False, False, False, False, False, False, True]
    assert set(after[0]) <= {0, 7}
    kept = np.isin(before[0], [0, 7])
    assert_array_equal(before[1][kept], after[1])
    assert_array_equal(before[3][np.isin(before[2], [0, 7])], after[3])


def test_noise_that_does_not_suffice_is_reported(path, model):
    session, feed = open_session(path, 1), feed_of(model.contract, 8)
    short = {k: v[:, :40] if k.startswith("point") else v for k, v in feed.items()}
    complete, shower = session.run(["complete", "ECAL_shower"], short)
    assert not complete.all()
    assert len(shower)


def test_no_particle_gives_no_hit(model):
    none = np.zeros(0, np.int64)
    found = model.sample(none, none.astype(np.float32), np.zeros((0, 3), np.float32), np.zeros((0, 2), np.float32),
                         random_streams(1, none, none, none))  # fmt: skip
    assert [len(s.shower) for s in found.values()] == [0, 0]


def test_windows_hold_what_is_inside_them(model):
    pdg, energy, direction, entry = particles(model.contract, 12)
    windows = model.generate(pdg=pdg, kinetic_energy=energy, direction=direction, entry=entry, seed=4)
    zero = np.zeros(12, np.int64)
    lists = model.sample(pdg, energy, direction, entry, random_streams(4, zero, zero, np.arange(12)))
    assert windows["ECAL"].shape == (12, 25, 25, 25)
    assert windows["HCAL"].shape == (12, 25, 25, 60)
    for name, found in lists.items():
        inside = np.maximum(np.abs(found.x), np.abs(found.y)) <= 12
        assert inside.any()
        assert np.count_nonzero(windows[name]) == inside.sum()
        assert windows[name].sum(dtype=np.float64) == pytest.approx(found.deposit[inside].sum(dtype=np.float64))


def test_hits_follow_the_line_of_flight_in_the_cells_of_each_section(model):
    """The engine gives the entry in the frame of the module, and shifts by the cells that are crossed."""
    engine = FastSimulation(DETECTOR, model)
    hits = engine.run(make_events([{"pdg": 130, "momentum": (2.0, 0.3, -0.4)}]), seed=9)
    momentum = np.array([2.0, 0.3, -0.4])
    local = (momentum / np.linalg.norm(momentum))[[1, 2, 0]].astype(np.float32)
    entry = (local[:2] / local[2] * 1500.0).astype(np.float32)
    energy = np.float32(np.sqrt(momentum @ momentum + 0.497611**2) - 0.497611)
    one = np.zeros(1, np.int64)
    random = random_streams(9, one + hits.run[0], one + hits.event[0], one)
    lists = model.sample(np.array([130]), np.array([energy]), local[None], entry[None], random)
    for name, found in lists.items():
        section = DETECTOR.section(name)
        cell = crossed_cells(section, entry[None], local[None])[0][found.layer] + np.stack([found.x, found.y], 1)
        centre = cell * section.cell_mm
        there = hits.sections[name].position
        mine = np.stack([centre[:, 0], centre[:, 1]], 1)
        order, other = np.lexsort(mine.T), np.lexsort(there[:, 1:].T)
        np.testing.assert_allclose(mine[order], there[other][:, 1:], atol=0.1)


def test_nothing_is_drawn_behind_the_layers_that_the_model_covers(path, model):
    ecal, hcal = open_session(path, 1).run(["ECAL_cell", "HCAL_cell"], feed_of(model.contract, 60))
    # networks that are not trained draw hits in all layers that they have
    assert ecal[:, 2].max() == 24
    assert hcal[:, 2].max() == 19
