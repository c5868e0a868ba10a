# SPDX-License-Identifier: BSD-3-Clause
"""Two files of hits side by side: every difference of schema is found, and the comparison of the physics is right."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import matplotlib.image
import numpy as np
import pytest
import uproot
from helpers.files.hit_files import SECTIONS, Content, N
from numpy.testing import assert_allclose

from fastcalo.detector.description import load_detector
from fastcalo.errors import InputError
from fastcalo.validation.hits.compare import HitsComparison, compare
from fastcalo.validation.hits.figure import draw


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> Path:
    return Content().write(tmp_path_factory.mktemp("full") / "full.root")


def against(full: Path, folder: Path, spoil: Callable[[Content], None], **options: Any) -> HitsComparison:
    content = Content(**options)
    spoil(content)
    return compare(full, content.write(folder / "fast.root"))


# schema


def test_a_file_differs_in_nothing_from_itself(full):
    found = compare(full, full)
    assert found.drop_in
    assert found.differences == found.notes == ()
    physics = found.physics
    assert physics is not None
    assert physics.events == physics.events_alike == N
    for sums in physics.all.values():
        for pair in sums.scalars.values():
            assert pair.n == N
            assert pair.ratio == (1, pytest.approx(0, abs=1e-8))
            assert pair.p_value == 1
        assert [spectrum.test for spectrum in sums.spectra.values()] == [(0, 0, 1)] * 4


def renamed(c: Content) -> None:
    c.set("e", c.lists["ECAL"][1].pop("energy"))


def retyped(c: Content) -> None:
    c.set("energy", c.column("energy").astype(np.float64))


def unjagged(c: Content) -> None:
    c.events["ECAL_layer"] = np.zeros(N, np.int16)
    del c.lists["ECAL"][1]["layer"]


def without_section(c: Content) -> None:
    del c.lists["HCAL"]
    assert c.provenance
    del c.provenance["detector"]["sections"]["HCAL"]


def in_mev(c: Content) -> None:
    assert c.provenance
    c.provenance["units"]["energy"] = "MeV"


def other_encoding(c: Content) -> None:
    assert c.provenance
    c.provenance["detector"]["sections"]["ECAL"]["encoding"] = "system:5,layer:8,module:5,x:32:-16,y:-16"


def other_threshold(c: Content) -> None:
    assert c.provenance
    c.provenance["detector"]["sections"]["ECAL"]["threshold_gev"] = 1e-5


def other_tree(c: Content) -> None:
    c.tree = "hits"


def of_the_other_section(c: Content) -> None:
    c.set("cell_id", c.column("cell_id") ^ np.uint64(20 ^ 22))


def module_31(c: Content) -> None:
    c.column("cell_id")[5] |= np.uint64(31 << 5)


def layer_200(c: Content) -> None:
    c.column("cell_id")[5] |= np.uint64(200 << 10)


def layer_off_by_one(c: Content) -> None:
    c.set("layer", c.column("layer") + np.int16(1))


def moved(c: Content) -> None:
    c.column("y")[7] += 5.1


def in_metres(c: Content) -> None:
    c.set("z", c.column("z") / np.float32(1000))


def weak(c: Content) -> None:
    c.column("energy")[3] = 1e-5


def not_a_number(c: Content) -> None:
    c.column("energy")[3] = np.nan


def twice(c: Content) -> None:
    for column in c.lists["ECAL"][1].values():
        column[1] = column[0]


def reversed_order(c: Content) -> None:
    c.permute(np.arange(N)[::-1])


def other_events(c: Content) -> None:
    c.events["event"] += 1000


def shorter(c: Content) -> None:
    c.permute(np.arange(N - 10))


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (
            renamed,
            ["tree 'Events': branch 'ECAL_energy': in FULL, but not in FAST", "'ECAL_e': in FAST, but not in FULL"],
        ),
        (retyped, ["tree 'Events': branch 'ECAL_energy': float[] in FULL, but double[] in FAST"]),
        (unjagged, ["'ECAL_layer': int16_t[] in FULL, but int16_t in FAST (a list per event against one value"]),
        (
            without_section,
            ["branch 'HCAL_cell_id': in FULL, but not", "provenance: section 'HCAL': in FULL, but not in"],
        ),
        (in_mev, ["provenance: unit of energy: 'GeV' in FULL, but 'MeV' in FAST"]),
        (
            other_encoding,
            ["provenance: section 'ECAL': encoding: 'system:5,module", "ECAL_layer is not the layer of the"],
        ),
        (other_threshold, ["provenance: section 'ECAL': threshold_gev: 2e-05 in FULL, but 1e-05 in FAST"]),
        (other_tree, ["tree 'Events': in FULL, but not in FAST", "tree 'hits': in FAST, but not in FULL"]),
        (
            of_the_other_section,
            ["FAST: ECAL_cell_id is not of system 20: ", "of them, first in entry 0, run 1, event 0 ("],
        ),
        (
            module_31,
            ["FAST: ECAL_cell_id is of a module that does not exist: 1 of them, first in entry 0, run 1, event 0"],
        ),
        (
            layer_200,
            ["FAST: ECAL_cell_id is of a layer that does not exist: 1 of them", "is not the layer of the cell ID"],
        ),
        (layer_off_by_one, ["FAST: ECAL_layer is not the layer of the cell ID: "]),
        (
            moved,
            ["FAST: ECAL_x, _y, _z is not the centre of the cell (more than 0.01 mm away): 1 of them", "(5.09995)"],
        ),
        (in_metres, ["FAST: ECAL_x, _y, _z is not the centre of the cell"]),
        (
            weak,
            ["ECAL_energy is below the threshold of 2e-05 GeV: 1 of them, first in entry 0, run 1, event 0 (1e-05)"],
        ),
        (not_a_number, ["FAST: ECAL_energy is not a finite number: 1 of them, first in entry 0, run 1, event 0 (nan)"]),
        (twice, ["FAST: ECAL_cell_id comes twice in an event: 1 of them, first in entry 0, run 1, event 0"]),
        (
            reversed_order,
            [f"the same events, in another order: {N} of {N} entries differ; entry 0 is run 1, event 0 in"],
        ),
        (other_events, [f"events: other events: {N} of {N} entries differ; entry 0 is", "event 1000 in FAST"]),
        (shorter, [f"events: {N} in FULL, but {N - 10} in FAST"]),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_every_difference_is_reported_with_its_place(full, tmp_path, spoil, expected):
    found = against(full, tmp_path, spoil)
    assert not found.drop_in
    text = "\n".join(found.differences)
    for part in expected:
        assert part in text
    if spoil not in (unjagged, without_section, renamed, other_tree, other_encoding):
        # one cause, not an avalanche
        assert len(found.differences) <= 2


def test_the_reference_is_checked_too(full, tmp_path):
    content = Content()
    weak(content)
    found = compare(content.write(tmp_path / "weak.root"), full)
    assert [line.split(":")[0] for line in found.differences] == ["FULL"]


@pytest.mark.parametrize("spoil", [reversed_order, other_events, shorter, other_tree])
def test_other_events_have_no_common_physics(full, tmp_path, spoil):
    found = against(full, tmp_path, spoil)
    if spoil is other_tree:
        # the only tree: it is taken for what it is
        assert found.physics is not None
    else:
        assert found.physics is None
        assert "the events are not the same: the physics is not compared" in found.notes


def test_a_file_of_other_origin_is_compared_as_far_as_it_goes(full, tmp_path):
    content = Content()
    content.provenance = None
    content.events["particles_simulated"] = content.events["particles_simulated"].astype(np.int64)
    found = compare(full, content.write(tmp_path / "foreign.root"))
    assert any("'particles_simulated': int32_t in FULL, but int64_t in FAST" in line for line in found.differences)
    assert not any("unit" in line or "encoding" in line for line in found.differences)
    assert any("FAST has no fastcalo_provenance" in note for note in found.notes)
    assert any("FAST does not state how the cell IDs of ECAL, HCAL are made" in note for note in found.notes)
    assert found.accounts == {}
    assert found.physics is not None
    assert found.physics.all["ECAL"].scalars["energy"].ratio[0] == 1


def test_a_detector_given_by_hand_checks_positions_of_other_files(tmp_path):
    content = Content()
    content.provenance = None
    moved(content)
    path = content.write(tmp_path / "foreign.root")
    assert compare(path, path).drop_in
    lines = compare(path, path, load_detector()).differences
    assert len(lines) == 2
    assert all("is not the centre of the cell" in line for line in lines)


def test_doubts_are_notes(full, tmp_path):
    content = Content()
    assert content.provenance
    content.provenance["inputs"] = [{"path": "else/where/events.root"}, {"path": "more.root"}]
    content.provenance["detector"]["hash"] = "0" * 64
    found = compare(full, content.write(tmp_path / "fast.root"))
    assert found.drop_in
    notes = "\n".join(found.notes)
    assert "different descriptions of the detector" in notes
    assert "FULL of ['events.root'], FAST of ['events.root', 'more.root']" in notes
    assert "FAST: its detector is not at hand (--detector)" in notes


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda whole: whole[: len(whole) // 2], "fast.root: is cut short"),
        (lambda _: b"", "fast.root: is empty"),
        (lambda _: b"no ROOT at all", "fast.root: is not a ROOT file"),
    ],
)
def test_damaged_files_are_refused(full, tmp_path, damage, message):
    path = tmp_path / "fast.root"
    path.write_bytes(damage(full.read_bytes()))
    with pytest.raises(InputError, match=message):
        compare(full, path)


def test_an_encoding_that_is_none_is_refused_with_its_place(full, tmp_path):
    def spoil(content: Content) -> None:
        assert content.provenance
        content.provenance["detector"]["sections"]["ECAL"]["encoding"] = "system:5,layer"

    with pytest.raises(InputError, match=r"fast\.root: provenance: section 'ECAL': 'layer' is neither"):
        against(full, tmp_path, spoil)


# physics


@pytest.mark.parametrize(
    ("provenance", "message"),
    [
        (["a", "list"], r"fastcalo_provenance should be of type dict, but is \['a', 'list'\]"),
        ({"units": ["GeV"]}, r"fastcalo_provenance\.units should be of type dict"),
        ({"inputs": ["events.root"]}, r"fastcalo_provenance\.inputs\[0\] should be of type dict, but is 'events.root'"),
        (
            {"detector": {"sections": {"ECAL": {"threshold_gev": "low"}}}},
            r"sections\.ECAL\.threshold_gev .* but is 'low'",
        ),
        ({"accounts": {"reasons": {"simulated": 3}}}, r"accounts\.reasons\.simulated should be of type dict"),
    ],
)
def test_a_provenance_that_is_none_is_refused_with_its_place(full, tmp_path, provenance, message):
    content = Content()
    content.tree, content.provenance = "tree", provenance
    with pytest.raises(InputError, match=r"fast\.root: .*" + message):
        compare(full, content.write(tmp_path / "fast.root"))


def louder(c: Content) -> None:
    c.set("energy", c.column("energy") * np.float32(1.1))


def test_a_shift_of_energy_by_a_tenth_is_seen(full, tmp_path):
    found = against(full, tmp_path, louder, spread=0.2)
    assert found.drop_in
    assert found.physics is not None
    ecal, hcal = (found.physics.all[name].scalars["energy"] for name in ("ECAL", "HCAL"))
    ratio, error = ecal.ratio
    assert error < 0.02
    assert ratio == pytest.approx(1.1, abs=4 * error)
    assert ecal.p_value < 1e-6
    assert hcal.p_value > 1e-3
    assert found.physics.all["ECAL"].scalars["hits"].ratio[0] == 1


def test_layers_that_are_exchanged_show_in_the_profile_only(full, tmp_path):
    # as many hits and as much energy, but elsewhere: 20 % of the deposits of even layers go to the odd one behind
    def shifted(c: Content) -> None:
        even = (c.column("layer") % 2 == 0) & (c.column("layer") < 24)
        moves = even & (np.random.default_rng(3).random(len(even)) < 0.2)
        c.set("layer", c.column("layer") + moves.astype(np.int16))

    found = against(full, tmp_path, shifted, n_events=N)
    assert found.physics is not None
    sums = found.physics.all["ECAL"]
    assert sums.scalars["energy"].p_value == 1
    # 25 layers need 100 events
    assert np.isnan(sums.spectra["profile"].test[2])
    many = Content(200).write(tmp_path / "many.root")
    other = Content(200)
    shifted(other)
    physics = compare(many, other.write(tmp_path / "other.root")).physics
    assert physics is not None
    _, degrees, p_value = physics.all["ECAL"].spectra["profile"].test
    # what an even layer and the odd one behind it hold together is the same
    assert degrees == 12
    assert p_value < 1e-6
    assert physics.all["ECAL"].spectra["cells"].test[2] == 1


def test_events_with_refusals_are_set_apart(full, tmp_path):
    def refused(c: Content) -> None:
        c.events["particles_unknown_species"][:20] = 1
        offsets, columns = c.lists["ECAL"]
        columns["energy"][: offsets[20]] /= 2
        assert c.provenance
        c.provenance["accounts"]["reasons"]["unknown_species"] = {"count": 20, "energy": 12.5}

    found = against(full, tmp_path, refused)
    physics = found.physics
    assert physics is not None
    assert (physics.events, physics.events_alike) == (N, N - 20)
    assert physics.all["ECAL"].scalars["energy"].ratio[0] < 0.9
    assert physics.alike["ECAL"].scalars["energy"].ratio[0] == pytest.approx(1)
    assert found.accounts["unknown_species"] == {
        "full": {"count": 0, "energy": 0.0},
        "fast": {"count": 20, "energy": 12.5},
    }
    draw(physics, ("full", "fast"), tmp_path / "alike.png")
    assert matplotlib.image.imread(tmp_path / "alike.png").std() > 0.05


def test_the_numbers_are_those_of_the_file(full):
    physics = compare(full, full).physics
    assert physics is not None
    arrays = uproot.open(full)["Events"].arrays()
    for name, layers in SECTIONS.items():
        scalars = physics.all[name].scalars
        energy, layer = arrays[f"{name}_energy"], arrays[f"{name}_layer"]
        assert scalars["hits"].mean[0] == pytest.approx(np.mean(arrays[f"n{name}"]))
        assert scalars["energy"].mean[0] == pytest.approx(np.mean(ak.sum(energy, axis=1)), rel=1e-5)
        assert scalars["energy"].rms[0] == pytest.approx(np.std(ak.sum(energy, axis=1), ddof=1), rel=1e-4)
        depth = ak.sum(energy * layer, axis=1) / ak.sum(energy, axis=1)
        assert scalars["depth"].mean[0] == pytest.approx(np.mean(depth), rel=1e-5)
        profile = physics.all[name].spectra["profile"].mean[0]
        assert_allclose(profile[:layers], [ak.sum(energy[layer == k]) / N for k in range(layers)], rtol=1e-4)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path):
    def peak(n_events: int) -> int:
        path = Content(n_events).write(tmp_path / f"{n_events}.root")
        tracemalloc.start()
        compare(path, path)
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    peak(100)
    assert peak(16_000) < 1.5 * peak(4_000)
