# SPDX-License-Identifier: BSD-3-Clause
"""Training takes others' showers if their windows are those of the detector, and no others."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.files.foreign_files import BINNING, calochallenge, calogan, lcd_angle, lcd_fixed, write_h5
from numpy.testing import assert_allclose, assert_array_equal

from fastcalo.detector.description import load_detector
from fastcalo.errors import InputError
from fastcalo.training.data.showers import ShowerData

DETECTOR = load_detector()
ECAL = DETECTOR.section("ECAL")


def open_data(path, section="ECAL", species=(11, 22, -211), **options):
    return ShowerData([path], DETECTOR, (section,), species, **options)


@pytest.mark.parametrize("make", [lcd_fixed, lcd_angle], ids=["fixed angle", "perpendicular"])
def test_a_batch_of_lcd_showers(tmp_path, make):
    content = make(9, seed=4, shape=ECAL.shape)
    if make is lcd_angle:
        content["theta"][:] = np.pi / 2
    unit = 1.0 if make is lcd_fixed else 0.02
    # one cell above threshold by far, one below
    content["ECAL"][:, 0, 0, 0], content["ECAL"][:, 24, 24, 24] = 0.5, 1e-7
    batch = next(open_data(write_h5(tmp_path / "a.h5", **content), block=4).batches(9))
    energy = content["target"][:, 0, 1] if make is lcd_fixed else content["energy"]
    rows = np.argmin(np.abs(energy - batch.kinetic_energy.numpy()[:, None]), axis=1)
    assert sorted(rows) == list(range(9))
    codes = content["target"][:, 0, 0] if make is lcd_fixed else content["pdgID"]
    assert_array_equal(batch.pdg, codes[rows])
    assert_allclose(batch.direction, np.tile([0, 0, 1], (9, 1)), atol=1e-6)
    assert_array_equal(batch.entry, np.zeros((9, 2)))
    expected = content["ECAL"][rows].astype(np.float64) * unit
    expected[expected <= ECAL.threshold] = 0
    got = np.zeros_like(expected)
    x, y, layer = batch.x.numpy().astype(int) + 12, batch.y.numpy().astype(int) + 12, batch.layer.numpy()
    got[batch.row.numpy(), x, y, layer] = batch.deposit.numpy()
    assert_allclose(got, expected, rtol=1e-6)
    assert_allclose(batch.layer_energy, expected.sum(axis=(1, 2)), rtol=1e-4)
    assert_array_equal(batch.layer_count, (expected > 0).sum(axis=(1, 2)))


def test_native_and_lcd_showers_mix(tmp_path):
    from helpers.files.shower_files import write_sparse

    ours = write_sparse(tmp_path / "ours.h5", 10)
    theirs = write_h5(tmp_path / "theirs.h5", **lcd_fixed(6))
    assert len(ShowerData([ours, theirs], DETECTOR, ("ECAL",), (11, -11, 22, -211))) == 16


@pytest.mark.parametrize(
    ("make", "section", "message"),
    [
        (lcd_fixed, "HCAL", r"windows of HCAL are 5 x 5 x 60 \(1500 cells\), but 'clic-like' has 25 x 25 x 60"),
        (lcd_angle, "ECAL", r"windows of ECAL are 51 x 51 x 25 \(65025 cells\), but 'clic-like' has 25 x 25 x 25"),
        (lcd_angle, "HCAL", "has no section 'HCAL'"),
        (lambda n: lcd_angle(n, shape=(25, 25, 25)), "ECAL", r"theta\[\d\] is not 90 degrees.*validation only"),
        (calochallenge, "ECAL", "no regular window.*validation only, not training"),
        (calogan, "ECAL", "no regular window.*validation only, not training"),
    ],
)
def test_showers_that_do_not_fit_are_refused(tmp_path, make, section, message):
    (tmp_path / "b.xml").write_text(BINNING)
    path = write_h5(tmp_path / "gamma.h5", **make(3))
    with pytest.raises(InputError, match=f"gamma.h5: .*{message}"):
        open_data(path, section)
