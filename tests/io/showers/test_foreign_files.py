# SPDX-License-Identifier: BSD-3-Clause
"""Showers in the formats of others: what is written is read, in our units and frame, and every defect is named."""

from __future__ import annotations

import math
import subprocess
import sys
import tracemalloc

import h5py
import numpy as np
import pytest
from helpers.files.foreign_files import BINNING, VOXELS, calochallenge, calogan, lcd_angle, lcd_fixed, write_h5
from helpers.files.shower_files import SAMPLE
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from fastcalo.errors import InputError
from fastcalo.io.showers import dense_arrays as dense
from fastcalo.io.showers.native import ShowerFile
from fastcalo.io.showers.reader import open_showers
from fastcalo.production.inspect import inspect


def densely(showers, section, start=0, stop=None):
    """Deposits of all voxels, from hits."""
    offsets, voxel, deposit = showers.hits(section, start, stop)
    assert (offsets.dtype, voxel.dtype, deposit.dtype) == (np.int64, np.int32, np.float32)
    assert (deposit > 0).all()
    out = np.zeros((len(offsets) - 1, len(showers.voxels(section))))
    out[np.repeat(np.arange(len(out)), np.diff(offsets)), voxel] = deposit
    return out


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


@settings(max_examples=8)
@given(n=st.integers(0, 12), seed=st.integers(0, 2**31), data=st.data())
@pytest.mark.parametrize("kind", FORMATS)
def test_slices_of_what_was_written_come_back(tmp_path_factory, kind, n, seed, data):
    folder = tmp_path_factory.mktemp(kind)
    name, make, unit, sections = FORMATS[kind]
    written = make(n, seed)
    path = write_h5(folder / name, **written)
    binning_beside(folder)
    start = data.draw(st.integers(0, n))
    stop = data.draw(st.integers(start, n))
    with open_showers(path) as showers:
        assert len(showers) == n
        assert showers.path == path
        assert showers.sections == tuple(sections)
        for section, names in sections.items():
            whole = np.concatenate([written[x].reshape(n, math.prod(written[x].shape[1:])) for x in names], axis=1)
            expected = whole.astype(np.float64) * unit
            assert_allclose(densely(showers, section, start, stop), expected[start:stop], rtol=1e-6)
            overflow = written["overflow"].sum(axis=1) * unit if "overflow" in written else 0
            assert_allclose(
                showers.total(section, start, stop), (expected.sum(axis=1) + overflow)[start:stop], rtol=1e-5
            )
            voxels = showers.voxels(section)
            assert len(voxels) == expected.shape[1]
            assert set(voxels.layer) == set(range(voxels.layers))
        energy = {
            "lcd_fixed": lambda: written["target"].reshape(n, 5)[:, 1],
            "lcd_angle": lambda: written["energy"],
            "calochallenge": lambda: written["incident_energies"][:, 0] / 1000,
            "calogan": lambda: written["energy"][:, 0],
        }[kind]()
        assert_allclose(showers.kinetic_energy(start, stop), energy[start:stop], rtol=1e-6)
        direction = showers.direction(start, stop)
        assert_allclose(np.linalg.norm(direction, axis=1), 1, rtol=1e-6)
        assert (direction[:, 2] > 0).all()
        assert_array_equal(showers.entry(start, stop), np.zeros((stop - start, 2)))
        codes = {"lcd_fixed": lambda: written["target"].reshape(n, 5)[:, 0], "lcd_angle": lambda: np.full(n, 11)}
        assert_array_equal(showers.pdg(start, stop), codes.get(kind, lambda: np.full(n, 22))()[start:stop])


def test_small_blocks_make_no_difference(tmp_path, monkeypatch):
    path = write_h5(tmp_path / "gamma.h5", **calogan(20))
    with open_showers(path) as showers:
        whole, total = showers.hits("CALO", 3, 18), showers.total("CALO", 3, 18)
        monkeypatch.setattr(dense, "_BLOCK", 1500)
        for a, b in zip(whole, showers.hits("CALO", 3, 18), strict=True):
            assert_array_equal(a, b)
        assert_array_equal(total, showers.total("CALO", 3, 18))


def test_memory_does_not_grow_with_the_slice(tmp_path):
    """1000 windows of 65 025 cells are 520 MB in double precision."""
    with h5py.File(tmp_path / "EleEscan_1.h5", "w") as file:
        file.create_dataset("ECAL", (1000, 51, 51, 25), "f4", chunks=(4, 51, 51, 25), fillvalue=0)
        file["ECAL"][999, 25, 25, 3] = 1
        file["energy"] = np.full(1000, 100.0)
        file["theta"] = np.full(1000, np.pi / 2)
    with open_showers(tmp_path / "EleEscan_1.h5") as showers:
        tracemalloc.start()
        offsets, _, deposit = showers.hits("ECAL")
        total = showers.total("ECAL")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 150e6
    assert offsets[-2:].tolist() == [0, 1]
    assert_allclose(deposit, [0.02])
    assert_allclose(total[-2:], [0, 0.02])


# where voxels are


def single(showers, section):
    """Place of the only hit of each shower."""
    offsets, voxel, _ = showers.hits(section)
    assert (np.diff(offsets) == 1).all()
    table = showers.voxels(section)
    return table.layer[voxel], table.x[voxel], table.y[voxel], table.radius[voxel]


def test_cells_of_lcd_windows(tmp_path):
    content = lcd_fixed(2)
    for name in ("ECAL", "HCAL"):
        content[name][:] = 0
    content["ECAL"][0, 12, 12, 0] = content["ECAL"][1, 13, 10, 24] = 1
    content["HCAL"][0, 2, 2, 0] = content["HCAL"][1, 0, 3, 59] = 1
    with open_showers(write_h5(tmp_path / "a.h5", **content)) as showers:
        assert showers.shape("ECAL") == (25, 25, 25)
        assert showers.shape("HCAL") == (5, 5, 60)
        layer, x, y, _ = single(showers, "ECAL")
        assert_array_equal(layer, [0, 24])
        assert_allclose([x, y], [[0, 5.1], [0, -10.2]])
        layer, x, y, radius = single(showers, "HCAL")
        assert_array_equal(layer, [0, 59])
        assert_allclose([x, y], [[0, -60], [0, 30]])
        assert_allclose(radius, np.hypot(x, y))


def test_polar_angle_of_lcd_is_counted_from_the_beam(tmp_path):
    """Along the second axis of the window runs the beam: below 90 degrees a shower drifts to higher y."""
    content = lcd_angle(3) | {"theta": np.radians([90.0, 60.0, 120.0])}
    with open_showers(write_h5(tmp_path / "a.h5", **content)) as showers:
        half, root = 0.5, math.sqrt(0.75)
        assert_allclose(showers.direction(), [[0, 0, 1], [0, half, root], [0, -half, root]], atol=1e-6)


@pytest.mark.parametrize("target", [(1, 5), (5,), (2,), (1, 2)])
def test_targets_of_lcd_come_in_several_shapes(tmp_path, target):
    content = lcd_fixed(5, target=target)
    del content["HCAL"]
    with open_showers(write_h5(tmp_path / "a.h5", **content)) as showers:
        assert showers.sections == ("ECAL",)
        columns = content["target"].reshape(5, -1)
        assert_array_equal(showers.pdg(), columns[:, 0])
        assert_allclose(showers.kinetic_energy(), columns[:, 1], rtol=1e-6)


def test_scale_of_lcd_deposits_can_be_given(tmp_path):
    content = lcd_angle(2)
    path = write_h5(tmp_path / "a.h5", **content)
    with open_showers(path, deposit_scale=0.5) as showers:
        assert_allclose(showers.total("ECAL"), content["ECAL"].sum(axis=(1, 2, 3)) / 2, rtol=1e-5)
        assert showers.attributes["deposit_scale"] == 0.5
    with pytest.raises(InputError, match="'deposit_scale' should be a positive number, not -1"):
        open_showers(path, deposit_scale=-1)


def test_voxels_of_the_calochallenge(tmp_path):
    """The radius runs fastest, then the angle from -pi on, then the layer; layers without voxels don't count."""
    binning_beside(tmp_path)
    content = calochallenge(VOXELS)
    content["showers"] = np.eye(VOXELS)
    with open_showers(write_h5(tmp_path / "a.h5", **content)) as showers:
        layer, x, y, radius = single(showers, "CALO")
        assert showers.voxels("CALO").layers == 3
        assert showers.attributes["layer_ids"] == "0, 1, 12"
    assert_array_equal(layer, [0] * 3 + [1] * 8 + [2] * 2)
    assert_allclose(radius, [2.5, 7.5, 20, *[1, 4] * 4, 50, 250])
    around = layer != 1
    assert_array_equal(x[around], 0)
    assert_array_equal(y[around], 0)
    # four quarters, from -x through -y to +x and +y
    s = math.sqrt(0.5)
    assert_allclose(x[3:11], [-s, -4 * s, s, 4 * s, s, 4 * s, -s, -4 * s])
    assert_allclose(y[3:11], [-s, -4 * s, -s, -4 * s, s, 4 * s, s, 4 * s])


@pytest.mark.parametrize(
    ("layers", "radii", "angles", "count"), [(45, 9, 16, 6480), (45, 18, 50, 40500)], ids=["data set 2", "data set 3"]
)
def test_regular_data_sets_of_the_calochallenge(tmp_path, layers, radii, angles, count):
    edges = ",".join(str(4.65 * i) for i in range(radii + 1))
    rows = "".join(f'<Layer id="{i}" r_edges="{edges}" n_bin_alpha="{angles}"/>' for i in range(layers))
    (tmp_path / "x.xml").write_text(f'<Bins><Bin pid="11" name="electron">{rows}</Bin></Bins>')
    content = calochallenge(1, voxels=count)
    content["showers"][:] = 0
    layer, angle, radius = 7, 3, 5
    content["showers"][0, (layer * angles + angle) * radii + radius] = 2
    with open_showers(write_h5(tmp_path / "a.h5", **content)) as showers:
        assert showers.pdg().tolist() == [11]
        got_layer, x, y, r = single(showers, "CALO")
        alpha = -math.pi + (angle + 0.5) * 2 * math.pi / angles
        assert got_layer.tolist() == [layer]
        assert_allclose([r[0], math.atan2(y[0], x[0])], [5.5 * 4.65, alpha])
        assert_allclose(showers.total("CALO"), [2e-3])


def test_cells_of_calogan(tmp_path):
    content = calogan(3)
    for name in ("layer_0", "layer_1", "layer_2"):
        content[name][:] = 0
    content["layer_0"][0, 0, 95] = content["layer_1"][1, 6, 5] = content["layer_2"][2, 11, 0] = 1
    with open_showers(write_h5(tmp_path / "eplus.h5", **content)) as showers:
        layer, x, y, _ = single(showers, "CALO")
        assert showers.pdg().tolist() == [-11] * 3
    assert_array_equal(layer, [0, 1, 2])
    assert_allclose(x, [-160, 20, 220])
    assert_allclose(y, [237.5, -20, -200])


# which format, which species


def test_the_native_format_is_opened_as_ever():
    with open_showers(SAMPLE) as showers:
        assert isinstance(showers, ShowerFile)
        assert len(showers) == 1200


def test_an_unknown_format_is_refused_with_what_was_looked_for(tmp_path):
    path = write_h5(tmp_path / "a.h5", jets=np.zeros(3))
    with pytest.raises(InputError, match=r"a.h5: is in no known format.*'ECAL_offsets'.*showers.*layer_0.*\['jets'\]"):
        open_showers(path)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (lcd_fixed, {"binning": "b.xml"}, "LCD.*'binning' has no use"),
        (calogan, {"deposit_scale": 1.0}, "CaloGAN.*'deposit_scale' has no use"),
        (calochallenge, {"deposit_scale": 1.0}, "CaloChallenge.*'deposit_scale' has no use"),
        (lcd_fixed, {"pdg": 11}, "states its particles in target: leave the option 'pdg' out"),
    ],
)
def test_options_without_use_are_refused(tmp_path, make, options, message):
    path = write_h5(tmp_path / "a.h5", **make(2))
    with pytest.raises(InputError, match=message):
        open_showers(path, **options)


def test_options_are_refused_for_native_files():
    with pytest.raises(InputError, match="native format: the option 'pdg' has no use"):
        open_showers(SAMPLE, pdg=11)


@pytest.mark.parametrize(("name", "pdg"), [("gamma.hdf5", 22), ("eplus_2.h5", -11), ("my_PiPlus.h5", 211)])
def test_names_of_calogan_files_give_the_species(tmp_path, name, pdg):
    with open_showers(write_h5(tmp_path / name, **calogan(2))) as showers:
        assert showers.pdg().tolist() == [pdg] * 2


@pytest.mark.parametrize(("name", "pdg"), [("Ele_1.h5", 11), ("GammaEscan_1_1.h5", 22), ("Pi0Escan.h5", None)])
def test_names_of_lcd_files_give_the_species(tmp_path, name, pdg):
    content = lcd_angle(2)
    del content["pdgID"]
    path = write_h5(tmp_path / name, **content)
    if pdg is None:
        with pytest.raises(InputError, match=r"neither pdgID nor the file's name.*option 'pdg'"):
            open_showers(path)
        with open_showers(path, pdg=111) as showers:
            assert showers.pdg().tolist() == [111] * 2
    else:
        with open_showers(path) as showers:
            assert showers.pdg().tolist() == [pdg] * 2


@pytest.mark.parametrize("name", ["a.h5", "gamma_or_eplus.h5"])
def test_a_calogan_file_of_unknown_species_needs_an_option(tmp_path, name):
    path = write_h5(tmp_path / name, **calogan(2))
    with pytest.raises(InputError, match=r"does not state its species \(gamma, eplus, piplus\).*option 'pdg'"):
        open_showers(path)
    with open_showers(path, pdg=130) as showers:
        assert showers.pdg().tolist() == [130, 130]


def test_a_calogan_file_without_overflow_is_read(tmp_path):
    content = calogan(4)
    del content["overflow"]
    with open_showers(write_h5(tmp_path / "gamma.h5", **content)) as showers:
        assert_allclose(showers.total("CALO"), densely(showers, "CALO").sum(axis=1), rtol=1e-5)


# inspect


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("lcd_fixed", {"format": "LCD (3DGAN)", "ECAL": "window 7 x 7 x 10, ", "HCAL": "window 5 x 5 x 60, "}),
        ("lcd_angle", {"format": "LCD (3DGAN)", "deposit_scale": "0.02", "species": "11"}),
        ("calochallenge", {"format": "CaloChallenge", "layer_ids": "0, 1, 12", "CALO": "13 voxels in 3 layers, "}),
        ("calogan", {"format": "CaloGAN", "species": "22", "CALO": "504 voxels in 3 layers, "}),
    ],
)
def test_inspect_describes_the_files_of_others(tmp_path, kind, expected):
    name, make, unit, sections = FORMATS[kind]
    binning_beside(tmp_path)
    content = make(5)
    path = write_h5(tmp_path / name, **content)
    report = inspect(path)
    rows = dict(report.parts[0][1])
    assert rows["showers"] == "5"
    for key, text in expected.items():
        assert rows[key].startswith(text), key
    section, names = next(iter(sections.items()))
    hits = sum((content[x] > 0).sum() for x in names) / 5
    assert f"{hits:.1f} cells with a deposit per shower" in rows[section]
    deposit = sum(content[x].sum(dtype=float) for x in [*names, "overflow"] if x in content) * unit
    with open_showers(path) as showers:
        energy = showers.kinetic_energy().sum(dtype=float)
    assert f"{deposit / energy:.2%} of the kinetic energy" in rows[section]


def test_inspect_takes_binning_and_species_on_the_command_line(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    binning_beside(tmp_path / "elsewhere")
    shower, gan = write_h5(tmp_path / "a.h5", **calochallenge(3)), write_h5(tmp_path / "b.h5", **calogan(3))
    for arguments, expected in (
        ((shower, "--binning", tmp_path / "elsewhere" / "binning.xml"), "13 voxels in 3 layers"),
        ((gan, "--pdg", "-11"), "-11"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "fastcalo", "inspect", *map(str, arguments)],
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout
