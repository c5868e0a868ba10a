# SPDX-License-Identifier: BSD-3-Clause
"""Showers in HDF5: what is written is read back, and every defect is reported with its place."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastcalo.detector.description import load_detector
from fastcalo.errors import InputError, OutputError
from fastcalo.io.showers.native import ShowerFile
from fastcalo.io.showers.native_writer import write_showers

SAMPLE = Path(__file__).parents[3] / "examples" / "data" / "em_geant4.h5"
DETECTOR = load_detector()


def make_showers(n: int, seed: int = 0) -> tuple[dict, dict]:
    """Random showers with 0 to 30 hits in each section."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 0.9, n)
    direction = np.stack([np.sin(angle), np.zeros(n), np.cos(angle)], axis=1)
    conditions = {
        "pdg": rng.choice([11, -11, 22], n),
        "kinetic_energy": rng.uniform(0.1, 100, n),
        "direction": direction,
        "entry": rng.uniform(-2.5, 2.5, (n, 2)),
        "seeds": rng.integers(1, 2**31, (n, 2)),
    }
    hits = {}
    for section in DETECTOR.sections:
        counts = rng.integers(0, 30, n)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        size = int(np.prod(section.shape))
        hits[section.name] = (offsets, rng.integers(0, size, offsets[-1]), rng.exponential(1e-3, offsets[-1]))
    return conditions, hits


@settings(max_examples=25, deadline=None)
@given(n=st.integers(0, 40), seed=st.integers(0, 2**31), data=st.data())
def test_slices_of_what_was_written_come_back(tmp_path_factory, n, seed, data):
    path = tmp_path_factory.mktemp("showers") / "a.h5"
    conditions, hits = make_showers(n, seed)
    write_showers(path, DETECTOR, conditions, hits, attributes={"generator": "none"})
    start = data.draw(st.integers(0, n))
    stop = data.draw(st.integers(start, n))
    with ShowerFile(path) as showers:
        assert len(showers) == n
        assert showers.sections == ("ECAL", "HCAL")
        assert showers.attributes["generator"] == "none"
        showers.check_detector(DETECTOR)
        for name in ("pdg", "kinetic_energy", "direction", "entry"):
            got = getattr(showers, name)(start, stop)
            np.testing.assert_array_equal(got, conditions[name][start:stop].astype(got.dtype))
        for name, (offsets, cell, deposit) in hits.items():
            first, last = offsets[start], offsets[stop]
            got_offsets, got_cell, got_deposit = showers.hits(name, start, stop)
            np.testing.assert_array_equal(got_offsets, offsets[start : stop + 1] - first)
            np.testing.assert_array_equal(got_cell, cell[first:last])
            np.testing.assert_array_equal(got_deposit, deposit[first:last].astype(np.float32))
            sums = [deposit[a:b].sum() for a, b in zip(offsets[start:stop], offsets[start + 1 : stop + 1], strict=True)]
            np.testing.assert_allclose(showers.total(name, start, stop), sums, rtol=1e-5)


def test_the_shipped_sample_is_whole_and_from_the_default_detector():
    with ShowerFile(SAMPLE) as showers:
        showers.check_values()
        showers.check_detector(DETECTOR)
        assert showers.shape("ECAL") == DETECTOR.section("ECAL").shape
        assert showers.attributes["seconds_per_shower"] > 0
        assert isinstance(showers.attributes["seconds_per_shower"], float)


def test_a_slice_reads_only_its_hits():
    with ShowerFile(SAMPLE) as showers:
        offsets, cell, deposit = showers.hits("ECAL", 100, 110)
        everything = showers.hits("ECAL")
    assert offsets[0] == 0
    assert offsets[-1] == len(cell) == len(deposit)
    first = everything[0][100]
    np.testing.assert_array_equal(cell, everything[1][first : first + len(cell)])


@pytest.fixture
def copy(tmp_path):
    path = tmp_path / "copy.h5"
    shutil.copy(SAMPLE, path)
    return path


def change(path: Path, name: str, row: int, value: object) -> None:
    with h5py.File(path, "r+") as file:
        file[name][row] = value


@pytest.mark.parametrize(
    ("name", "row", "value", "message"),
    [
        ("kinetic_energy", 7, np.nan, r"kinetic_energy\[7\] = nan"),
        ("kinetic_energy", 7, -1, r"kinetic_energy\[7\] = -1"),
        ("kinetic_energy", 7, np.inf, r"kinetic_energy\[7\] = inf"),
        ("direction", 3, [0, 0, -1], r"direction\[3\].*unit vector"),
        ("direction", 3, [0, 0, 0.5], r"direction\[3\].*unit vector"),
        ("entry", 1199, [np.nan, 0], r"entry\[1199\]"),
        ("ECAL_deposit", 12345, np.nan, r"ECAL_deposit\[12345\] = nan"),
        ("ECAL_deposit", 12345, -1e-3, r"ECAL_deposit\[12345\]"),
        ("ECAL_cell", 12345, 15625, r"ECAL_cell\[12345\] = 15625 is outside a window of \(25, 25, 25\)"),
        ("ECAL_total", 5, np.inf, r"ECAL_total\[5\]"),
        ("ECAL_offsets", 10, 10**6, r"ECAL_offsets must begin with 0 and never fall"),
        ("ECAL_offsets", 0, 1, r"ECAL_offsets must begin with 0"),
        ("ECAL_offsets", 1200, 298282, r"ECAL_offsets end at 298282, but there are 298281"),
    ],
)
def test_a_wrong_value_is_named(copy, name, row, value, message):
    change(copy, name, row, value)
    with ShowerFile(copy) as showers, pytest.raises(InputError, match=message):
        showers.check_values()


def test_a_wrong_value_outside_the_slice_does_not_matter(copy):
    change(copy, "ECAL_deposit", 298280, np.nan)
    with ShowerFile(copy) as showers:
        showers.hits("ECAL", 0, 1000)
        with pytest.raises(InputError, match="298280"):
            showers.hits("ECAL", 1000, 1200)


@pytest.mark.parametrize("name", ["pdg", "direction", "ECAL_cell", "ECAL_deposit", "HCAL_total"])
def test_a_missing_dataset_is_named(copy, name):
    with h5py.File(copy, "r+") as file:
        del file[name]
    with pytest.raises(InputError, match=f"has no dataset '{name}'"):
        ShowerFile(copy)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("entry", np.zeros((1200, 3), np.float32), "entry has shape"),
        ("pdg", np.zeros(1200, np.float32), "pdg has shape.*integer"),
        ("entry", np.zeros((1199, 2), np.float32), "entry has 1199 rows"),
        ("ECAL_total", np.zeros(1201, np.float32), "ECAL_total has 1201 rows"),
        ("ECAL_deposit", np.zeros(5, np.float32), "ECAL_deposit has 5 rows"),
        ("ECAL_offsets", np.zeros(1200, np.int64), "ECAL_offsets has 1200 rows"),
    ],
)
def test_a_dataset_of_the_wrong_shape_is_named(copy, name, data, message):
    with h5py.File(copy, "r+") as file:
        del file[name]
        file[name] = data
    with pytest.raises(InputError, match=message):
        ShowerFile(copy)


@pytest.mark.parametrize("text", [None, "not json", "[]", '{"ECAL": {}}', '{"ECAL": {"window": 25, "layers": 3}}'])
def test_a_file_that_does_not_describe_its_calorimeter_is_refused(copy, text):
    with h5py.File(copy, "r+") as file:
        del file.attrs["sections"]
        if text is not None:
            file.attrs["sections"] = text
    with pytest.raises(InputError, match=r"'sections' does not describe|deposits of no section"):
        ShowerFile(copy)


def test_files_that_are_no_shower_files(tmp_path, copy):
    with pytest.raises(InputError, match="no such file"):
        ShowerFile(tmp_path / "none.h5")
    (tmp_path / "empty.h5").touch()
    with pytest.raises(InputError, match="cannot be read as HDF5"):
        ShowerFile(tmp_path / "empty.h5")
    (tmp_path / "cut.h5").write_bytes(copy.read_bytes()[:200_000])
    with pytest.raises(InputError, match="cut short"):
        ShowerFile(tmp_path / "cut.h5")


def test_asking_for_what_is_not_there():
    with ShowerFile(SAMPLE) as showers:
        with pytest.raises(InputError, match="has no section 'MUON'"):
            showers.hits("MUON", 0, 1)
        with pytest.raises(InputError, match="showers 1190 to 1201 are asked for, but there are 1200"):
            showers.pdg(1190, 1201)


def test_showers_of_another_calorimeter_are_refused(copy):
    with h5py.File(copy, "r+") as file:
        file.attrs["sections"] = file.attrs["sections"].replace("G4_Si", "G4_Ge")
    with ShowerFile(copy) as showers:
        with pytest.raises(InputError, match=r"ECAL.*sensor is 'G4_Ge' here, but 'G4_Si' there"):
            showers.check_detector(DETECTOR)
        showers.check_detector(DETECTOR, ("HCAL",))


def test_misfitting_arrays_are_not_written(tmp_path):
    path = tmp_path / "a.h5"
    conditions, hits = make_showers(5)
    offsets, cell, deposit = hits["ECAL"]
    wrong = [
        ({**conditions, "colour": np.zeros(5)}, hits, "colour"),
        ({k: v for k, v in conditions.items() if k != "entry"}, hits, "entry.*missing"),
        ({**conditions, "direction": -conditions["direction"]}, hits, "direction"),
        (conditions, {"ECAL": (offsets, cell, deposit[:-1])}, "ECAL"),
        (conditions, {"ECAL": (offsets, cell + 20_000, deposit)}, "fit a window"),
        (conditions, {"ECAL": (offsets[:-1], cell[: offsets[-2]], deposit[: offsets[-2]])}, "ECAL_offsets has 5 rows"),
        (conditions, {"ECAL": (offsets, cell, np.full_like(deposit, np.nan))}, "ECAL_deposit"),
    ]
    for bad_conditions, bad_hits, message in wrong:
        with pytest.raises(InputError, match=message):
            write_showers(path, DETECTOR, bad_conditions, bad_hits)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_stays_unless_it_may_go(tmp_path):
    path = tmp_path / "a.h5"
    path.write_text("precious")
    with pytest.raises(OutputError, match="exists already"):
        write_showers(path, DETECTOR, *make_showers(5))
    assert path.read_text() == "precious"
    write_showers(path, DETECTOR, *make_showers(5), overwrite=True)
    with ShowerFile(path) as showers:
        assert len(showers) == 5
    assert list(tmp_path.iterdir()) == [path]
