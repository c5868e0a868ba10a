# SPDX-License-Identifier: BSD-3-Clause
"""Showers of hadrons without a window, and what networks of ``arch = "showers"`` are told of them."""

from __future__ import annotations

import torch

from fastcalo.detector.description import load_detector
from fastcalo.training.architectures.hit_lists.drawn_hits import DrawnHits
from fastcalo.training.architectures.showers.conditions import Geometry, ShowerConditions, shower_conditions
from fastcalo.training.architectures.showers.placing import FARTHEST
from fastcalo.training.data.batch import Batch
from fastcalo.training.data.layer_stack import LayerStack
from fastcalo.training.data.showers import ShowerData
from helpers.files.shower_files import WHOLE_HADRONS, WHOLE_SPECIES

SECTIONS = ("ECAL", "HCAL")


def whole_geometry() -> Geometry:
    """Both sections of the default calorimeter."""
    stack = LayerStack.of(load_detector(), SECTIONS)
    return Geometry(
        tuple((s.name, s.layers) for s in stack.sections),
        tuple(stack.sensor_z.tolist()),
        tuple(stack.cell_mm.tolist()),
        tuple(stack.threshold.tolist()),
        25,
        WHOLE_SPECIES,
    )


def whole_hadrons(showers: int) -> Batch:
    """Some of the showers, always the same."""
    return ShowerData([WHOLE_HADRONS], load_detector(), SECTIONS, WHOLE_SPECIES, seed=3, whole=True).sample(showers)


def conditions_of(geometry: Geometry, batch: Batch) -> ShowerConditions:
    """Conditions of showers."""
    return shower_conditions(geometry, batch.kinetic_energy, batch.direction, batch.entry, batch.pdg)


def check_drawn_hits(hits: DrawnHits, batch: Batch) -> None:
    """Assert that drawn hits have the numbers and energies asked for, each in a cell of its own, none too far away."""
    group = hits.row * 85 + hits.layer
    number = torch.bincount(group, minlength=batch.layer_count.numel()).view_as(batch.layer_count)
    assert (number <= batch.layer_count).all()
    assert number.sum() > 0.95 * batch.layer_count.sum()
    energy = torch.zeros(number.numel()).index_add(0, group, hits.deposit).view_as(batch.layer_energy)
    full = number == batch.layer_count
    assert torch.allclose(energy[full], batch.layer_energy[full], rtol=1e-3, atol=2e-6)
    cells = torch.stack([group, hits.x.long(), hits.y.long()], 1)
    assert len(torch.unique(cells, dim=0)) == len(cells)
    assert torch.maximum(hits.x.abs(), hits.y.abs()).max() <= FARTHEST
