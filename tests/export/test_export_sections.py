# SPDX-License-Identifier: BSD-3-Clause
"""Exported models of several sections: windows and lists of each, and the torch model's showers in all of them."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from helpers.files.shower_files import HADRONS
from numpy.testing import assert_array_equal

import fastcalo
from fastcalo.errors import ExportError
from fastcalo.export.exporter import export
from fastcalo.export.hits.exportable import ExportableHitGan
from fastcalo.export.kinematics import domain
from fastcalo.export.parity import check_parity
from fastcalo.io.showers.native import ShowerFile
from fastcalo.model.onnx_session import open_session
from fastcalo.model.random_numbers import random_streams
from fastcalo.model.shower_model import draw_noise
from fastcalo.training.trainer import load_run

SHAPES = {"ECAL": (25, 25, 25), "HCAL": (25, 25, 60)}
EVENTS = Path(__file__).parents[2] / "examples" / "demo" / "events.root"


@pytest.fixture(scope="module")
def exported(hadron_run, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "hadrons.onnx"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ExportableHitGan, "parity_showers", 500)
        export(hadron_run, path)
    return path


def test_the_graph_gives_windows_and_lists_of_each_section(exported):
    graph = onnx.load(exported).graph
    outputs = {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in graph.output}
    assert len(outputs) == 8
    for name, shape in SHAPES.items():
        assert outputs[name] == ["N", *shape]
        assert outputs[f"{name}_deposit"] == outputs[f"{name}_cell"] == outputs[f"{name}_shower"]
    assert outputs["ECAL_cell"] != outputs["HCAL_cell"]


def test_the_contract_names_both_sections(exported):
    c = fastcalo.load_model(exported).contract
    assert c.sections == ("ECAL", "HCAL")
    assert c.thresholds == {"ECAL": 2e-5, "HCAL": 5e-5}
    rows = dict(fastcalo.load_model(exported).describe())
    assert rows["sections"] == (
        "ECAL (25 x 25 cells, 25 layers, hits above 2e-05 GeV), HCAL (25 x 25 cells, 60 layers, hits above 5e-05 GeV)"
    )


@pytest.mark.parametrize("n", [0, 1, 7])
def test_lists_and_windows_hold_the_same(exported, n):
    model = fastcalo.load_model(exported, threads=1)
    pdg, energy, direction = (x[:n] for x in domain(model.contract, 100))
    random = random_streams(1, *[np.zeros(n, np.int64)] * 2, np.arange(n))
    feed = {"kinetic_energy": energy, "direction": direction, "entry": np.zeros((n, 2), np.float32), "species": pdg}
    feed |= draw_noise(model.contract.noise, random, energy)
    for name, shape in SHAPES.items():
        names = [name, f"{name}_shower", f"{name}_cell", f"{name}_deposit"]
        dense, shower, cell, deposit = open_session(exported, 1).run(names, feed)
        assert dense.shape == (n, *shape)
        assert_array_equal(dense.reshape(n, np.prod(shape))[shower, cell], deposit)
        assert np.count_nonzero(dense) == len(deposit)
        assert (deposit > model.contract.thresholds[name]).all()


def test_parity_holds_and_is_written_down(exported):
    scores = fastcalo.load_model(exported).contract.scores
    assert scores["parity_identical_showers"] >= 0.995
    assert scores["parity_cell_median"] < 1e-5
    assert exported.stat().st_size < 5e6


def test_parity_is_that_of_all_sections(exported, hadron_run, monkeypatch):
    monkeypatch.setattr(ExportableHitGan, "parity_showers", 500)
    _, networks, _ = load_run(hadron_run)
    networks.networks.eval()
    exportable = ExportableHitGan(networks)
    # what moves the deposits of the last layers only is found, too
    right = exportable.showers

    def other(contract, feed):
        windows = right(contract, feed)
        windows["HCAL"][..., 30:] *= 1.05
        return windows

    monkeypatch.setattr(exportable, "showers", other)
    with pytest.raises(ExportError, match="cell energies differ by more than"):
        check_parity(exported, exportable)


@torch.no_grad()
def test_a_graph_of_other_weights_of_the_history_is_refused(exported, hadron_run, monkeypatch):
    monkeypatch.setattr(ExportableHitGan, "parity_showers", 500)
    _, networks, _ = load_run(hadron_run)
    networks.networks.eval()
    first, history = networks.layers.count[0].weight, networks.layers.n_history
    first[:, networks.layers.n_inputs - history :] += 0.2 * torch.randn(len(first), history)
    with pytest.raises(ExportError, match="does not draw the showers of the torch model"):
        check_parity(exported, ExportableHitGan(networks))


def test_hadrons_of_collisions_make_hits_in_both_sections(exported):
    engine = fastcalo.FastSimulation(fastcalo.load_detector(), exported)
    hits = engine.run(next(iter(fastcalo.open_events(EVENTS).iterate(20))))
    for name in SHAPES:
        assert len(hits.sections[name].energy) > 0


def test_the_shipped_hadrons_deposit_what_full_simulation_does():
    model = fastcalo.load_model("hadron", threads=1)
    assert set(model.contract.species) >= {211, -211, 130, 2112, 2212}
    with ShowerFile(HADRONS) as file:
        energy, rows = file.kinetic_energy(), np.arange(len(file))
        particles = {"pdg": file.pdg(), "direction": file.direction(), "entry": file.entry()}
        drawn = [model.generate(kinetic_energy=energy, **particles, seed=seed) for seed in range(3)]
        for section, threshold in model.contract.thresholds.items():
            offsets, _, deposit = file.hits(section)
            row = np.repeat(rows, np.diff(offsets))
            true = np.log1p(1e3 * np.bincount(row, deposit * (deposit > threshold), len(rows)))
            fake = np.log1p(1e3 * np.concatenate([d[section].sum((1, 2, 3)) for d in drawn]))
            # energies of one shower and another differ by more than those of the particles
            assert abs(fake.mean() - true.mean()) < 4 * true.std() / np.sqrt(len(rows))
            assert abs(np.log(fake.std() / true.std())) < 0.15
