# SPDX-License-Identifier: BSD-3-Clause
"""Showers of hadrons without a window, and what networks of ``arch = "showers"`` are told of them."""

from __future__ import annotations

from fastcalo.detector.description import load_detector
from fastcalo.training.architectures.showers.conditions import Geometry, ShowerConditions, shower_conditions
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
