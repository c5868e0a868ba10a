# SPDX-License-Identifier: BSD-3-Clause
"""Observables of how hits lie to each other, positions by entry point, and the judges that see them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fastcalo.detector.voxels import Voxels
from fastcalo.errors import ConfigError
from fastcalo.io.showers.reader import open_showers
from fastcalo.validation.showers.classifier import auc_of_observables
from fastcalo.validation.showers.hit_patterns import hit_patterns
from fastcalo.validation.showers.network import auc_of_network
from fastcalo.validation.showers.observables import ObservableBins, observables
from fastcalo.validation.showers.position import position_difference
from fastcalo.validation.showers.sample import SampleHits, ShowerSample, read_sample
from fastcalo.validation.showers.validate import validate

SHOWERS = Path(__file__).parents[2] / "examples" / "data" / "em_geant4.h5"
SHAPE = (5, 5, 8)


def made(hits: list[tuple[int, int, int, int, float]], n: int = 1, entry=(0.0, 0.0)) -> ShowerSample:
    """Photons with hits (shower, x, y, layer, deposit) in cells of 10 mm, counted from the middle of the window."""
    table = np.array(hits, float).reshape(-1, 5)
    shower, x, y, layer = table[:, :4].astype(int).T
    voxel = ((x + 2) * 5 + y + 2) * 8 + layer
    section = SampleHits(Voxels.of_window(SHAPE, (10, 10)), shower, voxel, table[:, 4])
    return ShowerSample(
        np.full(n, 22), np.ones(n), np.tile(np.float32([0, 0, 1]), (n, 1)), np.tile(np.float32(entry), (n, 1)),
        {"ECAL": section},
    )  # fmt: skip


def named(sample: ShowerSample) -> dict[str, np.ndarray]:
    found = hit_patterns(sample, ObservableBins.of(sample))
    return {name.removeprefix("ECAL "): column for name, column in zip(found.names, found.values.T, strict=True)}


def test_neighbours_predecessors_and_clusters_are_counted():
    # a pair across a corner, a hit behind both, a lone hit at the window's edge, and one two layers behind it
    sample = made([(0, 0, 0, 1, 4.0), (0, 1, 1, 1, 1.0), (0, 1, 0, 2, 2.0), (0, 2, 2, 3, 3.0), (0, 2, 1, 5, 5.0)])
    found = {name: float(column[0]) for name, column in named(sample).items()}
    assert found["hits around, mean"] == 2 / 5
    assert found["hits around, by energy"] == pytest.approx(2 * math.sqrt(4) / 15)
    assert found["hits 1 layers before, mean"] == 2 / 5
    assert found["hits 1 layers before, by energy"] == pytest.approx(math.sqrt(2 * 5) / 15)
    assert found["hits 2 layers before, mean"] == (1 + 1) / 5
    assert found["hits 5 layers before, mean"] == 0
    assert found["hits without one before, part"] == 4 / 5
    assert found["clusters"] == 3
    assert found["clusters of one hit"] == 2
    assert found["clusters of 4 hits and more"] == 0
    assert found["second cluster"] == pytest.approx(5 / 15)


def test_hits_of_other_showers_and_across_the_edge_are_no_neighbours():
    # the last cell of a row and the first of the next, the last layer of a shower and the first of the next
    sample = made([(0, 0, 2, 0, 1.0), (0, 1, -2, 0, 1.0), (0, 0, 0, 7, 1.0), (1, 0, 0, 0, 1.0)], n=2)
    found = named(sample)
    assert found["hits around, mean"].tolist() == [0, 0]
    assert found["hits 1 layers before, mean"].tolist() == [0, 0]
    assert found["clusters of one hit"].tolist() == [3, 1]


def test_showers_without_hits_have_numbers_too():
    assert all(np.isfinite(column).all() for column in named(made([(1, 0, 0, 0, 1.0)], n=3)).values())
    assert all(len(column) == 2 for column in named(made([], n=2)).values())


def test_voxels_that_are_no_window_have_no_neighbours():
    sample = made([(0, 0, 0, 1, 4.0)])
    hits = sample.sections["ECAL"]
    irregular = replace(sample, sections={"ECAL": replace(hits, voxels=replace(hits.voxels, window=None))})
    assert not any("cluster" in name for name in named(irregular))


def test_far_hits_are_counted_beyond_radii_of_the_reference():
    sample = made([(0, 0, 0, 0, 90.0), (0, 2, 0, 0, 9.9), (0, 2, 2, 0, 0.1)])
    found = named(sample)
    assert found["hits beyond 20 mm"].tolist() == [1]
    assert_allclose(found["energy beyond 20 mm"], 0.001)


def test_showers_beside_their_place_are_seen():
    rng = np.random.default_rng(1)
    entry = rng.uniform(-15, 15, (400, 2))
    here = made([(k, 0, 0, 0, 1.0) for k in range(400)], n=400)
    there = made([(k, *np.sign(entry[k]).astype(int), 0, 1.0) for k in range(400)], n=400)
    here, there = (replace(s, entry=entry.astype(np.float32)) for s in (here, there))
    value, error = position_difference(here, there, "ECAL")
    # one cell along both axes, seen along the way to the entry point: 10 to 14 mm
    assert 10 < value < 14.2
    assert error < 1
    assert position_difference(here, here, "ECAL") == (0.0, 0.0)


@pytest.fixture(scope="module")
def two_samples() -> tuple[ShowerSample, ShowerSample]:
    with open_showers(SHOWERS) as source:
        rows = np.arange(len(source))
        return tuple(read_sample(source, ["ECAL"], {"ECAL": 2e-5}, rows[k::2]) for k in (0, 1))


def hits_turned(sample: ShowerSample) -> ShowerSample:
    """Each hit mirrored or turned by itself: energies, hits and rings stay as they are, clusters do not."""
    hits, rng = sample.sections["ECAL"], np.random.default_rng(2)
    nx, ny, layers = hits.voxels.window
    column, layer = np.divmod(hits.voxel, layers)
    x, y = np.divmod(column, ny)
    turn = rng.integers(8, size=len(x))
    x, y = np.where(turn & 1, nx - 1 - x, x), np.where(turn & 2, ny - 1 - y, y)
    x, y = np.where(turn & 4, y, x), np.where(turn & 4, x, y)
    voxel = (x * ny + y) * layers + layer
    order = np.lexsort((voxel, hits.shower))
    turned = replace(hits, shower=hits.shower[order], voxel=voxel[order], deposit=hits.deposit[order])
    return replace(sample, sections={"ECAL": turned})


def test_patterns_distinguish_what_rings_and_layers_do_not(two_samples):
    reference, other = two_samples
    turned = hits_turned(other)
    rulers = ObservableBins.of(reference)
    names = [n for n in observables(reference, rulers).names if "radius" in n or n.endswith(("hits", "energy"))]

    def auc(sample: ShowerSample, patterns: bool) -> float:
        found = [hit_patterns(s, rulers) if patterns else observables(s, rulers) for s in (reference, sample)]
        chosen = [np.isin(o.names, names) | patterns for o in found]
        return auc_of_observables(*(o.values[:, c] for o, c in zip(found, chosen, strict=True)))[0]

    assert auc(turned, patterns=False) < 0.6
    assert auc(turned, patterns=True) > 0.9
    assert auc(other, patterns=True) < 0.6


@pytest.mark.slow
def test_the_network_learns_to_distinguish_them_and_no_true_showers(two_samples):
    reference, other = two_samples
    assert auc_of_network(reference, hits_turned(other))[0] > 0.7
    assert abs(auc_of_network(reference, other)[0] - 0.5) < 0.1


def test_an_unknown_judge_is_named(tmp_path):
    with pytest.raises(ConfigError, match="judge 'jury' is not known; there is network"):
        validate("em", tmp_path / "none.h5", judges=["jury"])
