# SPDX-License-Identifier: BSD-3-Clause
"""Files of showers in foreign formats that are damaged or inconsistent: refused, with the name of the dataset."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from helpers.files.foreign_files import BINNING, VOXELS, calochallenge, calogan, lcd_angle, lcd_fixed, write_h5

from fastcalo.errors import InputError
from fastcalo.io.showers.reader import open_showers


def binning_beside(folder):
    (folder / "binning.xml").write_text(BINNING)


# by format: name of a file that gives the species, what is in it, GeV per unit of deposit by section and its datasets
FORMATS = {
    "lcd_fixed": (
        "Ele_1.h5",
        lambda n, seed=0: lcd_fixed(n, seed, (7, 7, 10)),
        1.0,
        {"ECAL": ["ECAL"], "HCAL": ["HCAL"]},
    ),
    "lcd_angle": ("EleEscan_1_1.h5", lambda n, seed=0: lcd_angle(n, seed, (11, 9, 5)), 0.02, {"ECAL": ["ECAL"]}),
    "calochallenge": ("dataset_1_photons_1.hdf5", calochallenge, 1e-3, {"CALO": ["showers"]}),
    "calogan": ("gamma.hdf5", calogan, 1e-3, {"CALO": ["layer_0", "layer_1", "layer_2"]}),
}


# defects


def spoil(array, index, value):
    array = array.copy()
    array[index] = value
    return array


WRONG_VALUES = [
    ("Ele.h5", lcd_fixed, "ECAL", (3, 1, 2, 4), np.nan, r"ECAL\[3, 1, 2, 4\] = nan"),
    ("Ele.h5", lcd_fixed, "HCAL", (3, 1, 2, 40), -1, r"HCAL\[3, 1, 2, 40\] = -1.0 should be a number of at least 0"),
    ("Ele.h5", lcd_fixed, "target", (2, 0, 1), -1, r"energy in target\[2\] = -1.0 should be a positive"),
    ("Ele.h5", lcd_fixed, "target", (2, 0, 0), 11.5, r"target\[2\] = 11.5 should begin with a PDG code"),
    ("Ele.h5", lcd_fixed, "target", (2, 0, 0), np.inf, r"target\[2\] = inf should begin with a PDG code"),
    ("Ele.h5", lcd_angle, "theta", (4,), 90, r"theta\[4\] = 90.0 should be between 0 and pi"),
    ("Ele.h5", lcd_angle, "theta", (4,), np.nan, r"theta\[4\] = nan"),
    ("Ele.h5", lcd_angle, "energy", (0,), 0, r"energy\[0\] = 0.0 should be a positive"),
    ("a.h5", calochallenge, "showers", (4, 7), -2, r"showers\[4, 7\] = -2.0"),
    ("a.h5", calochallenge, "showers", (4, 7), np.inf, r"showers\[4, 7\] = inf"),
    ("a.h5", calochallenge, "incident_energies", (1, 0), np.nan, r"incident_energies\[1\] = nan"),
    ("gamma.h5", calogan, "layer_2", (4, 11, 5), np.nan, r"layer_2\[4, 11, 5\] = nan"),
    ("gamma.h5", calogan, "overflow", (4, 2), -1, r"overflow\[4, 2\] = -1.0"),
    ("gamma.h5", calogan, "energy", (2, 0), -5, r"energy\[2\] = -5.0"),
]


def read_all(showers, start=0, stop=None):
    showers.pdg(start, stop)
    showers.kinetic_energy(start, stop)
    showers.direction(start, stop)
    for section in showers.sections:
        showers.hits(section, start, stop)
        showers.total(section, start, stop)


@pytest.mark.parametrize(("name", "make", "dataset", "index", "value", "message"), WRONG_VALUES)
def test_a_wrong_value_is_named(tmp_path, name, make, dataset, index, value, message):
    content = make(6)
    binning_beside(tmp_path)
    path = write_h5(tmp_path / name, **content | {dataset: spoil(content[dataset], index, value)})
    with open_showers(path) as showers:
        read_all(showers, index[0] + 1)
        with pytest.raises(InputError, match=f"{name}: {message}"):
            read_all(showers)


WRONG_SHAPES = [
    (lcd_fixed, "ECAL", np.zeros((6, 25, 25)), r"ECAL has shape \(6, 25, 25\).*numbers \[N, any, any, any\]"),
    (lcd_fixed, "ECAL", np.zeros((5, 25, 25, 25)), "HCAL has 6 rows, but the rest of the file asks for 5"),
    (lcd_fixed, "HCAL", np.zeros((6, 5, 0, 60)), r"HCAL has shape \(6, 5, 0, 60\)"),
    (lcd_fixed, "target", np.zeros((6, 3)), r"target has shape \(6, 3\).*\[N, 1, 5\] or \[N, 5\]"),
    (lcd_angle, "ECAL", np.zeros((6, 5, 5, 5), bool), "ECAL has shape.*type bool"),
    (lcd_angle, "theta", np.zeros((6, 2)), r"theta has shape \(6, 2\).*\[N\] or \[N, 1\]"),
    (lcd_angle, "pdgID", np.zeros(5), "pdgID has 5 rows"),
    (calochallenge, "showers", np.zeros((6, 2, 2)), r"showers has shape \(6, 2, 2\).*\[N, any\]"),
    (calochallenge, "showers", np.zeros((5, VOXELS)), "incident_energies has 6 rows"),
    (calochallenge, "incident_energies", np.zeros((6, 2)), r"incident_energies has shape \(6, 2\)"),
    (calochallenge, "incident_energies", np.float64(3), r"incident_energies has shape \(\)"),
    (calogan, "layer_0", np.zeros((6, 96, 3)), r"layer_0 has shape \(6, 96, 3\).*\[N, 3, 96\]"),
    (calogan, "layer_1", np.zeros((4, 12, 12)), "layer_1 has 4 rows"),
    (calogan, "overflow", np.zeros((6, 4)), r"overflow has shape \(6, 4\)"),
]


@pytest.mark.parametrize(("make", "dataset", "data", "message"), WRONG_SHAPES)
def test_a_dataset_of_the_wrong_shape_is_named(tmp_path, make, dataset, data, message):
    binning_beside(tmp_path)
    path = tmp_path / "gamma.h5"
    with h5py.File(path, "w") as file:
        for name, values in (make(6) | {dataset: data}).items():
            file[name] = values
    with pytest.raises(InputError, match=f"gamma.h5: {message}"):
        open_showers(path)


@pytest.mark.parametrize("angle", ["eta", "phi"])
def test_an_lcd_file_with_another_angle_is_not_taken_for_perpendicular(tmp_path, angle):
    content = lcd_angle(3)
    content[angle] = content.pop("theta")
    with pytest.raises(InputError, match=rf"has \['{angle}'\], but no dataset 'theta'"):
        open_showers(write_h5(tmp_path / "Ele.h5", **content))


def test_a_group_is_no_dataset(tmp_path):
    with h5py.File(tmp_path / "Ele.h5", "w") as file:
        file["ECAL/ECAL"], file["energy"] = np.zeros((2, 3, 3, 3)), np.ones(2)
    with pytest.raises(InputError, match="has no dataset 'ECAL'"):
        open_showers(tmp_path / "Ele.h5")


@pytest.mark.parametrize("kind", FORMATS)
def test_files_that_are_cut_short(tmp_path, kind):
    name, make, _, _ = FORMATS[kind]
    binning_beside(tmp_path)
    whole = write_h5(tmp_path / name, **make(20))
    (tmp_path / f"cut_{name}").write_bytes(whole.read_bytes()[:-500])
    with pytest.raises(InputError, match=f"cut_{name}: .*cannot be read as HDF5; the file may be cut short"):
        open_showers(tmp_path / f"cut_{name}")


@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_blocks_are_named(tmp_path, kind):
    name, make, _, sections = FORMATS[kind]
    binning_beside(tmp_path)
    path = write_h5(tmp_path / name, **make(20))
    section, datasets = next(iter(sections.items()))
    with h5py.File(path) as file:
        chunk = file[datasets[0]].id.get_chunk_info(0)
    with path.open("r+b") as file:
        file.seek(chunk.byte_offset)
        file.write(b"\xff" * min(64, chunk.size))
    with open_showers(path) as showers, pytest.raises(InputError, match=rf"{name}: {datasets[0]}\[0:20\] cannot be"):
        showers.hits(section)


def test_files_that_are_none(tmp_path):
    with pytest.raises(InputError, match=r"none.h5: no such file"):
        open_showers(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("showers")
    with pytest.raises(InputError, match=r"text.h5: the file cannot be read as HDF5"):
        open_showers(tmp_path / "text.h5")


@pytest.mark.parametrize("kind", FORMATS)
def test_asking_for_what_is_not_there(tmp_path, kind):
    name, make, _, sections = FORMATS[kind]
    binning_beside(tmp_path)
    with open_showers(write_h5(tmp_path / name, **make(3))) as showers:
        for method in (showers.hits, showers.total, showers.voxels):
            with pytest.raises(InputError, match="has no section 'MUON'"):
                method("MUON")
        section = next(iter(sections))
        for method in (showers.pdg, showers.kinetic_energy, showers.direction, showers.entry):
            with pytest.raises(InputError, match="showers 2 to 4 are asked for, but there are 3"):
                method(2, 4)
        with pytest.raises(InputError, match="showers 2 to 4 are asked for, but there are 3"):
            showers.hits(section, 2, 4)
