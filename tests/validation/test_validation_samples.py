# SPDX-License-Identifier: BSD-3-Clause
"""ThreeSamples, observables, response tables and classifiers."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.models.tiny_model import write_tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st

import fastcalo
from fastcalo.detector.description import parse_detector
from fastcalo.detector.voxels import Voxels
from fastcalo.errors import ContractError, InputError
from fastcalo.io.showers.native_writer import write_showers
from fastcalo.io.showers.reader import open_showers
from fastcalo.validation.showers.classifier import auc_of_cells, auc_of_observables
from fastcalo.validation.showers.compare import ThreeSamples, compare_showers
from fastcalo.validation.showers.figures import draw_figures
from fastcalo.validation.showers.observables import (
    ObservableBins,
    all_species,
    conditions,
    first_interaction,
    layer_groups,
    observables,
)
from fastcalo.validation.showers.response import ResponseBin, decades, response_table
from fastcalo.validation.showers.sample import SampleHits, ShowerSample, generate_sample, read_sample
from fastcalo.validation.showers.selection import DataOptions, common_sections

SHOWERS = Path(__file__).parents[2] / "examples" / "data" / "em_geant4.h5"
ECAL = fastcalo.load_detector().section("ECAL")
THRESHOLD = {"ECAL": ECAL.threshold}


@pytest.fixture(scope="module")
def real() -> ShowerSample:
    with open_showers(SHOWERS) as source:
        return read_sample(source, ["ECAL"], THRESHOLD, np.arange(len(source)))


def made(energies, hits, shape=(3, 3, 2), direction=(0.0, 0.0, 1.0)) -> ShowerSample:
    """Photons with given hits (shower, voxel, deposit) in a small window of cells of 10 mm."""
    n = len(energies)
    shower, voxel, deposit = (np.array(x) for x in zip(*hits, strict=True)) if hits else (np.zeros(0, int),) * 3
    section = SampleHits(Voxels.of_window(shape, (10, 10)), shower, voxel, deposit.astype(float))
    return ShowerSample(
        np.full(n, 22), np.array(energies, float), np.tile(np.float32(direction), (n, 1)),
        np.zeros((n, 2), np.float32), {"ECAL": section},
    )  # fmt: skip


def named(sample: ShowerSample, rulers: ObservableBins | None = None) -> dict[str, np.ndarray]:
    found = observables(sample, rulers or ObservableBins.of(sample))
    return dict(zip(found.names, found.values.T, strict=True))


def test_only_hits_above_threshold_of_the_chosen_showers_are_read():
    rows = np.array([3, 4, 700, 1199])
    with open_showers(SHOWERS) as source:
        sample = read_sample(source, ["ECAL"], THRESHOLD, rows)
        energy = source.kinetic_energy()[rows]
        for k, row in enumerate(rows):
            _, cell, deposit = source.hits("ECAL", row, row + 1)
            hit = deposit > ECAL.threshold
            mine = sample.sections["ECAL"].shower == k
            assert sample.sections["ECAL"].voxel[mine].tolist() == cell[hit].tolist()
            assert sample.energy("ECAL")[k] == pytest.approx(deposit[hit].sum(dtype=float))
    assert sample.kinetic_energy.tolist() == energy.tolist()


@settings(max_examples=20)
@given(st.sets(st.integers(0, 1199), min_size=1, max_size=30))
def test_some_of_a_sample_are_the_same_showers(rows):
    with open_showers(SHOWERS) as source:
        whole = read_sample(source, ["ECAL"], THRESHOLD, np.arange(1200))
    chosen = np.array(sorted(rows))
    part = whole.take(chosen)
    assert part.energy("ECAL") == pytest.approx(whole.energy("ECAL")[chosen])
    assert part.by_layer("ECAL") == pytest.approx(whole.by_layer("ECAL")[chosen])
    assert part.count("ECAL").tolist() == whole.count("ECAL")[chosen].tolist()


def test_observables_of_a_shower_that_can_be_calculated_by_hand():
    # cells in C order of (x, y, layer): 8 is the middle one in layer 0, 9 in layer 1, 14 is x + 10 mm in layer 0
    found = named(made([2.0, 1.0], [(0, 8, 0.3), (0, 9, 0.1), (0, 14, 0.2)]))
    assert found["ECAL response"].tolist() == pytest.approx([0.3, 0.0])
    assert found["ECAL hits"].tolist() == [3, 0]
    assert found["ECAL mean depth [layers]"][0] == pytest.approx(0.1 / 0.6)
    assert found["ECAL mean x [mm]"][0] == pytest.approx(10 * 0.2 / 0.6)
    assert found["ECAL width x [mm]"][0] == pytest.approx(10 * np.sqrt(1 / 3 - 1 / 9))
    assert found["ECAL mean y [mm]"][0] == 0
    assert found["ECAL hottest hit"][0] == pytest.approx(0.5)
    assert found["ECAL layer 0: energy"].tolist() == pytest.approx([0.25, 0.0])
    assert found["ECAL layer 0: x [mm]"][0] == pytest.approx(4)
    assert found["ECAL layer 1: width [mm]"][0] == 0
    assert all(np.isfinite(column).all() for column in found.values())


def test_rings_and_spectrum_count_everything_once(real):
    found = named(real)
    rings = sum(v for k, v in found.items() if k.startswith("ECAL energy at radius"))
    hits = sum(v for k, v in found.items() if k.startswith("ECAL hits ") and k.endswith("MeV"))
    assert rings[real.count("ECAL") > 0] == pytest.approx(1)
    assert hits.tolist() == real.count("ECAL").tolist()


def test_along_and_across_follow_the_azimuth_of_incidence():
    # along the diagonal of x and y
    found = named(made([1.0], [(0, 16, 0.1)], direction=(0.5, 0.5, np.sqrt(0.5))))
    assert found["ECAL mean along [mm]"][0] == pytest.approx(10 * np.sqrt(2))
    assert found["ECAL mean across [mm]"][0] == pytest.approx(0, abs=1e-9)


def test_a_layer_of_rings_has_a_width():
    # two rings about the axis, as in layers of the CaloChallenge that are not cut in angle
    rings = Voxels(np.zeros(2, int), np.zeros(2), np.zeros(2), np.array([3.0, 10.0]), 1)
    section = SampleHits(rings, np.array([0, 0, 1]), np.array([0, 1, 1]), np.array([0.3, 0.1, 0.7]))
    found = named(replace(made([1.0, 1.0], []), sections={"ECAL": section}))
    assert found["ECAL layer 0: width [mm]"].tolist() == pytest.approx([np.sqrt((0.3 * 9 + 0.1 * 100) / 0.4), 10])
    assert found["ECAL layer 0: x [mm]"].tolist() == [0, 0]


@given(st.floats(1e-6, 10))
def test_a_single_hit_has_no_width_at_all(deposit):
    # rounding would do, and count as much as any other observable once it is divided by its own spread
    found = named(made([1.0], [(0, 16, deposit)]))
    assert {column[0] for key, column in found.items() if "width" in key} == {0}


def test_many_layers_are_taken_together():
    first, labels = layer_groups(60)
    assert len(first) == 30
    assert labels[0] == "layers 0-1"
    assert layer_groups(7)[1][-1] == "layer 6"


def test_sharing_is_an_observable_where_there_are_two_sections():
    one = made([1.0], [(0, 8, 0.3)])
    two = replace(one, sections={"A": one.sections["ECAL"], "B": one.scaled(3).sections["ECAL"]})
    assert named(two)["share of A"][0] == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([1] * 12, 12),  # a track
        ([1, 1, 3, 1, 1, 1, 4, 5, 9, 8, 2, 1], 6),  # the third layer has a delta electron
        ([0, 0, 3, 3, 0, 3, 0, 0, 0, 0, 0, 0], 2),
        ([1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 3, 3], 9),
        ([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 3], 12),  # too late to be sure
        ([0] * 12, 12),
    ],
)
def test_the_first_interaction_is_where_layers_of_many_hits_begin(counts, expected):
    layers, cell = np.repeat(np.arange(12), counts), np.concatenate([np.arange(n) for n in counts]).astype(int)
    ahead, behind = (
        SampleHits(Voxels.of_window((9, 9, 6), (10, 10)), at * 0, cell[part] * 6 + at, np.full(len(at), 0.1))
        for part, at in ((layers < 6, layers[layers < 6]), (layers >= 6, layers[layers >= 6] - 6))
    )
    sample = replace(made([1.0], []), sections={"A": ahead, "B": behind})
    assert first_interaction(sample).tolist() == [expected]


@pytest.mark.parametrize(
    ("energies", "expected"),
    [
        ([np.float32(0.1), 50.0, np.float32(100)], [(0.1, 1), (1, 10), (10, 100)]),
        ([50.0, 50.0], [(10, 100)]),
        ([100.0], [(100, 1000)]),
        ([0.03, 0.2], [(0.01, 0.1), (0.1, 1)]),
    ],
)
def test_decades_hold_all_particles(energies, expected):
    sample = made(energies, [])
    found = decades(sample)
    assert np.array(found) == pytest.approx(np.array(expected), rel=1e-6)
    assert sum(len(ResponseBin(None, energy, None).rows(sample)) for energy in found) == len(energies)


def test_the_response_table_sees_a_scale(real):
    rows = [r for r in response_table(real, real.scaled(1.1), real) if r.cell.species is None]
    assert [r.cell.decade for r in rows] == ["0.1-1", "1-10", "10-100"]
    for row in rows:
        assert row.numbers["response"].value == pytest.approx(0.1)
        assert row.numbers["width"].value == pytest.approx(0, abs=1e-9)
        assert row.numbers["response"].baseline == 0
        assert row.numbers["response"].error > 0


def test_the_response_table_has_species_and_angles(real):
    table = response_table(real, real, real)
    assert {r.cell.species for r in table} == {None, 11, -11, 22}
    assert {r.cell.angle for r in table} == {None, (0.0, 30.0), (30.0, 45.0), (45.0, 90.0)}
    assert all(r.showers >= 30 for r in table)


def test_a_section_without_energy_is_no_error():
    n = 40
    empty = made(np.linspace(1, 9, n), [])
    full = made(np.linspace(1, 9, n), [(k, 8, 0.1) for k in range(n)])
    (row,) = response_table(empty, empty, empty)
    assert row.numbers["response"].value == 0
    assert np.isinf(response_table(empty, full, empty)[0].numbers["response"].value)


SPARSE = [(k, 8 + k % 2, 0.1 + 0.001 * k) for k in range(100)]


def photons(hits, shape=(3, 3, 2), **changes) -> ShowerSample:
    return replace(made(np.linspace(1, 9, 100), hits, shape), **changes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reference", "candidate"),
    [
        (photons(SPARSE), photons([])),
        (photons([]), photons(SPARSE)),
        (photons([]), photons([])),
        (photons(SPARSE), photons(SPARSE)),
        (photons([(k, k % 2, d) for k, _, d in SPARSE], (1, 1, 2)), photons([], (1, 1, 2))),
        (photons(SPARSE), photons(SPARSE, pdg=np.where(np.arange(100) % 2, 11, 22))),
        (photons(SPARSE), photons(SPARSE, direction=np.tile(np.float32([0.6, 0, 0.8]), (100, 1)))),
    ],
    ids=["no hits in the candidate", "none in the reference", "none at all", "the same", "one cell to a layer",
         "species that the reference lacks", "angles that the reference lacks"],
)  # fmt: skip
def test_odd_samples_are_compared_and_drawn(reference, candidate):
    samples = ThreeSamples(reference, candidate, reference)
    comparison = compare_showers(samples)
    assert len({figure.png for figure in draw_figures(samples, comparison, "odd")}) >= 8
    assert all(np.isfinite((n.error, n.baseline, n.baseline_error)).all() for n in comparison.numbers.values())


@pytest.fixture(scope="module")
def halves(real) -> ThreeSamples:
    generated, seconds = generate_sample(fastcalo.load_model("em", threads=1), real, seed=1)
    assert seconds > 0
    return ThreeSamples(real.take(np.arange(0, 1200, 2)), generated.take(np.arange(1, 1200, 2)),
                   real.take(np.arange(1, 1200, 2)))  # fmt: skip


def test_generated_showers_are_of_the_same_particles(halves):
    assert halves.candidate.kinetic_energy.tolist() == halves.baseline.kinetic_energy.tolist()
    assert halves.candidate.sections["ECAL"].deposit.min() > ECAL.threshold
    assert (np.diff(halves.candidate.sections["ECAL"].shower) >= 0).all()


def test_a_classifier_on_observables_is_blind_to_the_same_and_sees_another(halves):
    rulers = ObservableBins.of(halves.reference)

    def auc(sample):
        pair = halves.reference, sample
        rows = (np.hstack([observables(s, rulers).values, conditions(s, all_species(*pair))]) for s in pair)
        return auc_of_observables(*rows)

    baseline, error = auc(halves.baseline)
    assert abs(baseline - 0.5) < 4 * error
    assert 0.005 < error < 0.03
    assert auc(halves.baseline.scaled(1.3))[0] > 0.7


def test_a_classifier_on_cells_is_blind_to_the_same_and_sees_another(halves):
    def shuffled(sample):
        hits = sample.sections["ECAL"]
        order = np.random.default_rng(0).permutation(len(hits.deposit))
        moved = replace(hits, deposit=hits.deposit[order])
        return replace(sample, sections={"ECAL": moved})

    baseline, error = auc_of_cells(halves.reference, halves.baseline)
    assert abs(baseline - 0.5) < 4 * error
    assert auc_of_cells(halves.reference, shuffled(halves.baseline))[0] > 0.7


@pytest.mark.parametrize("described", [True, False])
def test_the_detector_of_a_model_is_found_in_the_data_that_describe_it(tmp_path, described):
    description = json.loads(json.dumps(fastcalo.load_detector().description))
    description["name"] = "mine"
    description["section"]["ECAL"]["threshold_gev"] = 1.2e-4
    description["section"]["ECAL"]["sensor_mm"] = 0.4
    mine = parse_detector(description, "mine.toml")
    conditions = {"pdg": [22], "kinetic_energy": [1.0], "direction": [[0, 0, 1.0]], "entry": [[0, 0]]}
    attributes = {"detector": json.dumps(mine.description)} if described else {}
    write_showers(tmp_path / "a.h5", mine, conditions, {"ECAL": ([0, 1], [0], [0.5])}, attributes=attributes)
    model = fastcalo.load_model(write_tiny_model(tmp_path / "tiny.onnx", mine))
    with open_showers(tmp_path / "a.h5") as source:
        if described:
            assert common_sections(model, [source], DataOptions()) == (("ECAL",), {"ECAL": mine.sections[0].threshold})
        else:
            with pytest.raises(ContractError, match="name the detector it was made for"):
                common_sections(model, [source], DataOptions())


def test_samples_that_memory_cannot_hold_are_refused_before_they_are_read(monkeypatch):
    def never(*_, **__):
        raise AssertionError("showers were read")

    monkeypatch.setattr("fastcalo.system.memory.available_bytes", lambda: 1_000_000)
    monkeypatch.setattr("fastcalo.validation.showers.selection.read_sample", never)
    with pytest.raises(
        InputError, match=r"comparing \d+ showers of .* hits needs about .* of memory, but 0.001 GB are"
    ):
        fastcalo.validate("em", SHOWERS, showers=400)
