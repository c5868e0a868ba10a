# SPDX-License-Identifier: BSD-3-Clause
"""Models of several sections: layers counted through, each with its own cells and threshold."""

import numpy as np
import pytest
import torch
from helpers.files.shower_files import HADRONS
from helpers.trainings.tiny_training import hadron_config, tiny_config
from numpy.testing import assert_allclose, assert_array_equal

from fastcalo.detector.description import load_detector, parse_detector
from fastcalo.errors import ConfigError, InputError
from fastcalo.io.showers.native import ShowerFile
from fastcalo.training.architectures.dense_gan.config import DenseStageConfig
from fastcalo.training.architectures.hit_lists.conditions import hit_conditions
from fastcalo.training.architectures.hit_lists.gan import geometry_of
from fastcalo.training.architectures.hit_lists.layer_model import RECENT, SHOWERING, LayerModel, log_energy_scale
from fastcalo.training.architectures.hits.cell_model import HitModel, hit_terms, negative_elbo
from fastcalo.training.architectures.hits.critic import features, n_features
from fastcalo.training.architectures.hits.sampler import HitsNoise, sample_hits
from fastcalo.training.architectures.nets import group_sum
from fastcalo.training.config import DataConfig
from fastcalo.training.data.layer_stack import LayerStack
from fastcalo.training.data.showers import ShowerData
from fastcalo.training.trainer import build_architecture

DETECTOR = load_detector()
BOTH = ("ECAL", "HCAL")
STACK = LayerStack.of(DETECTOR, BOTH)
SPECIES = (211, -211, 130, 2112, 2212)
GEOMETRY = geometry_of(hadron_config())


def open_data(sections=BOTH, **options):
    return ShowerData([HADRONS], DETECTOR, sections, SPECIES, **options)


@pytest.fixture(scope="module")
def batch():
    return open_data().sample(60)


def true_conditions(batch, geometry=GEOMETRY):
    return hit_conditions(geometry, batch.kinetic_energy, batch.direction, batch.entry, batch.pdg)


# --- the layers


def test_layers_stand_one_behind_the_other():
    assert (STACK.layers, STACK.shape) == (85, (25, 25, 85))
    assert (np.diff(STACK.sensor_z) > 0).all()
    assert STACK.sensor_z[25] > DETECTOR.section("HCAL").front_mm
    assert STACK.cell_mm.tolist() == [5.1] * 25 + [30.0] * 60
    assert STACK.threshold.tolist() == [2e-5] * 25 + [5e-5] * 60
    assert GEOMETRY.sections == (("ECAL", 25), ("HCAL", 60))
    assert GEOMETRY.first_layers == (0, 25)
    assert GEOMETRY.section_of_layer == (0,) * 25 + (1,) * 60


@pytest.mark.parametrize("names", [("HCAL", "ECAL"), ("ECAL", "ECAL")])
def test_sections_that_do_not_follow_each_other_are_refused(names):
    with pytest.raises(ConfigError, match="must be named once each, front to back"):
        LayerStack.of(DETECTOR, names)


def test_no_section_and_an_unknown_one_are_refused():
    with pytest.raises(ConfigError, match="at least one section"):
        LayerStack.of(DETECTOR, ())
    with pytest.raises(InputError, match="no section 'MUON'"):
        LayerStack.of(DETECTOR, ("ECAL", "MUON"))


def test_sections_of_other_windows_are_refused():
    description = DETECTOR.description
    wider = {**description["section"]["HCAL"], "window": [27, 27]}
    other = parse_detector({**description, "section": {**description["section"], "HCAL": wider}}, "other")
    with pytest.raises(ConfigError, match=r"windows of \[\(25, 25\), \(27, 27\)\] cells"):
        LayerStack.of(other, BOTH)


def test_a_dense_gan_of_two_sections_is_refused():
    stage = DenseStageConfig(name="adversarial", steps=1)
    with pytest.raises(ConfigError, match=r"sections: arch = '3dgan' draws one section only, not \['ECAL', 'HCAL'\]"):
        tiny_config(DataConfig(train=("none.h5",)), arch="3dgan", stage=(stage,), sections=("ECAL", "HCAL"))


# --- showers


def test_hits_of_both_sections_are_those_of_each(batch):
    assert batch.layer_energy.shape == (60, 85)
    for name, first, layers in (("ECAL", 0, 25), ("HCAL", 25, 60)):
        alone = open_data((name,)).sample(60)
        mine = (batch.layer >= first) & (batch.layer < first + layers)
        for key in ("row", "x", "y", "deposit"):
            assert torch.equal(getattr(batch, key)[mine], getattr(alone, key))
        assert torch.equal(batch.layer[mine] - first, alone.layer)
        assert torch.equal(batch.layer_energy[:, first : first + layers], alone.layer_energy)
        assert torch.equal(batch.layer_count[:, first : first + layers], alone.layer_count)


def test_hits_are_those_of_the_file():
    batch = open_data().sample(240)
    with ShowerFile(HADRONS) as file:
        for section, first in (("ECAL", 0), ("HCAL", 25)):
            offsets, cell, deposit = file.hits(section)
            layers, threshold = DETECTOR.section(section).layers, DETECTOR.section(section).threshold
            row, above = np.repeat(np.arange(240), np.diff(offsets)), deposit > threshold
            wanted = np.zeros((240, 25, 25, layers))
            wanted.reshape(240, -1)[row[above], cell[above]] = deposit[above]
            mine = ((batch.layer >= first) & (batch.layer < first + layers)).numpy()
            at = (batch.row, batch.x.long() + 12, batch.y.long() + 12, batch.layer - first)
            found = np.zeros_like(wanted)
            found[tuple(index.numpy()[mine] for index in at)] = batch.deposit.numpy()[mine]
            assert_array_equal(found, wanted)


def test_hits_are_sorted_by_layer_and_distance_in_each_layers_own_cells(batch):
    offset = STACK.offsets(batch.direction.numpy(), batch.entry.numpy())
    d = np.stack([batch.x, batch.y], 1) - offset[batch.row, batch.layer]
    group, distance = (batch.row * 85 + batch.layer).numpy(), (d**2).sum(1)
    assert (np.diff(group) >= 0).all()
    assert (np.diff(distance)[np.diff(group) == 0] >= -1e-9).all()
    seen = true_conditions(batch).offset_BL2.numpy()
    assert (np.minimum(np.abs(seen - offset), 1 - np.abs(seen - offset)) < 1e-3).all()


def test_other_sections_have_another_hash_and_cache(tmp_path):
    both, one = (open_data(sections, cache=tmp_path) for sections in (BOTH, ("ECAL",)))
    assert both.hash != one.hash
    assert len(both.sample(240).row) > len(one.sample(240).row)
    assert len(list(tmp_path.glob("*.json"))) == 2


# --- the first network


def test_what_came_before_a_layer_is_what_one_counts_by_hand(batch):
    model, c = LayerModel(GEOMETRY, 8), true_conditions(batch)
    layers = torch.tensor([0, 1, 7, 25, 40, 84])
    history = ((2 * model.history(batch.layer_count, layers)).exp() - 1).numpy()
    root = model.recent(batch.layer_count.sqrt().expand(6, -1, -1), layers).numpy()
    for n, layer in enumerate(layers.tolist()):
        for b, count in enumerate(batch.layer_count.numpy().astype(int)[:20]):
            before = count[:layer].tolist()
            many = [i for i, number in enumerate(before) if number >= SHOWERING]
            track = [i for i, number in enumerate(before) if number != 1]
            hit = [i for i, number in enumerate(before) if number]
            since = [layer - (x[-1] + 1 if x else 0) for x in (many, track, hit)]
            assert_allclose(history[n, b], [layer - many[0] if many else 0, *since], atol=1e-3)
            assert root[n, b, 0] == pytest.approx(np.sqrt(before[-RECENT:]).sum() / RECENT, abs=1e-5)
    x = model.inputs(c, torch.zeros(60, 85, 2), batch.layer_energy, batch.layer_count, layers)
    assert x.shape == (6 * 60, model.n_inputs)
    assert torch.isfinite(x).all()


def test_inputs_do_not_look_ahead(batch):
    model, c = LayerModel(GEOMETRY, 8), true_conditions(batch)
    folded = c.offset_BL2
    known = model.inputs(c, folded, batch.layer_energy, batch.layer_count, torch.tensor([30]))
    energy, count = batch.layer_energy.clone(), batch.layer_count.clone()
    energy[:, 30:], count[:, 30:] = 1.0, 7.0
    assert torch.equal(known, model.inputs(c, folded, energy, count, torch.tensor([30])))


def test_a_model_of_one_section_has_no_further_input():
    one = LayerModel(geometry_of(tiny_config(DataConfig(train=("none.h5",)))), 8)
    assert (one.n_inputs, LayerModel(GEOMETRY, 8).n_history) == (97, 8)
    assert log_energy_scale(torch.zeros(1)).item() == 0


def test_drawn_layers_hold_the_energy_that_each_sections_threshold_asks_for(batch):
    torch.manual_seed(0)
    model, c = LayerModel(GEOMETRY, 8), true_conditions(batch)
    noise = HitsNoise.draw(batch.layer_count)
    energy, count = model.sample(c, noise.layer_uniform, noise.layer_logistic, noise.layer_normal)
    threshold = torch.tensor(GEOMETRY.threshold)
    assert (energy >= count * threshold * (1 - 1e-6)).all()
    assert all(torch.isfinite(x) for x in model.nll(c, energy, count))
    assert all(torch.isfinite(x) for x in model.nll(c, batch.layer_energy, batch.layer_count))


# --- the second network


def test_drawn_hits_are_above_the_threshold_of_their_section(batch):
    torch.manual_seed(0)
    model, c = HitModel(GEOMETRY, 16, 8), true_conditions(batch)
    energy, count = batch.layer_energy, batch.layer_count
    hits = sample_hits(model, c, energy, count, HitsNoise.draw(count))
    threshold = torch.tensor(GEOMETRY.threshold)
    assert (hits.deposit > threshold[hits.layer]).all()
    assert (hits.deposit[hits.layer < 25] < 5e-5).any()
    group = hits.row * 85 + hits.layer
    total = group_sum(hits.deposit.double(), group, 60 * 85).view(60, 85)
    number = torch.bincount(group, minlength=60 * 85).view(60, 85)
    tolerance = 0.025 * threshold * number + 1e-5 * energy
    assert ((total - energy).abs() <= tolerance)[number > 0].all()


def test_likelihoods_of_true_hits_are_finite(batch):
    model, c = HitModel(GEOMETRY, 16, 8), true_conditions(batch)
    terms = negative_elbo(model, batch, c, torch.zeros(60, 16))
    assert all(torch.isfinite(value) for value in terms.values())
    x = model.inputs(c, batch.layer_energy, batch.layer_count)
    assert set(hit_terms(model, batch, c, model.profile_of(c, x, batch.layer_count, torch.zeros(60, 16)))) == {
        "cells",
        "energy",
    }


# --- the critic


def test_the_critic_sees_of_each_section_what_a_model_of_it_alone_would(batch):
    seen = features(GEOMETRY, true_conditions(batch), batch, torch.ones_like(batch.deposit))
    assert seen.shape == (60, n_features(GEOMETRY))
    assert torch.isfinite(seen).all()
    parts = []
    for name in BOTH:
        geometry = geometry_of(hadron_config(sections=(name,)))
        alone = open_data((name,)).sample(60)
        part = features(geometry, true_conditions(alone, geometry), alone, torch.ones_like(alone.deposit))
        parts.append(part[:, : n_features(geometry) - 8 * geometry.layers])
    whole = torch.cat(parts, 1)
    assert torch.allclose(seen[:, : whole.shape[1]], whole, atol=1e-4)


def test_the_networks_of_a_configuration_know_both_sections():
    networks = build_architecture(hadron_config()).networks
    assert networks["layers"].geometry.layers == networks["hits"].geometry.layers == 85
