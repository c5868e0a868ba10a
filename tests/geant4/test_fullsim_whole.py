# SPDX-License-Identifier: BSD-3-Clause
"""Whole showers of the gun: entry points anywhere, every deposit with its time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.command import run_command
from helpers.files.shower_files import write_sparse
from helpers.geant4.full_simulation import skip_without_geant4
from numpy.testing import assert_allclose, assert_array_equal

from fastcalo.detector.description import load_detector
from fastcalo.errors import ConfigError, InputError
from fastcalo.fullsim.campaign import repeat_showers
from fastcalo.fullsim.extent import with_window
from fastcalo.fullsim.gun import Gun
from fastcalo.io.showers.native import ShowerFile
from fastcalo.training.data.showers import ShowerData

DETECTOR = load_detector()


def test_entry_points_are_spread_as_far_as_asked_for():
    entry = Gun(seed=2, entry_spread_mm=15.0).conditions(DETECTOR, 0, 20_000)["entry"].astype(np.float64)
    assert np.abs(entry).max() <= 15
    assert_allclose(np.abs(entry).mean(0), 7.5, atol=0.12)
    with pytest.raises(ConfigError, match=r"entry-spread: -1 mm is not within 0 to"):
        Gun(entry_spread_mm=-1.0).check(DETECTOR)


@pytest.mark.parametrize(("cells", "message"), [(24, "24 is neither an odd number"), (20_001, r"20001 x 20001 cells")])
def test_windows_that_cannot_be(cells, message):
    with pytest.raises(ConfigError, match=f"window: {message}"):
        with_window(DETECTOR, cells)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A file of whole showers with times."""
    skip_without_geant4()
    path = tmp_path_factory.mktemp("gun") / "whole.h5"
    options = ("--entry-spread", "15", "--window", "0", "--times", "--cone", "75", "--species", "pi+", "--seed", "4")
    done = run_command("fullsim", "gun", "-o", path, "-n", 12, "--energy", "0.02", "2", "--part", "5", *options)
    assert done.returncode == 0, done.stderr
    return path


def test_whole_showers_keep_every_deposit_and_its_time(whole):
    with ShowerFile(whole) as file:
        assert np.abs(file.entry()).max() > 5
        assert file.kinetic_energy().min() < 0.1
        energy, beyond = 0.0, 0
        for name in file.sections:
            offsets, cell, deposit = file.hit_lists(name)
            beyond += int((np.abs(cell[:, :2]) > 12).sum())
            row = np.repeat(np.arange(len(file)), np.diff(offsets))
            # nothing lies beyond the window; deposits are rounded to 13 bits
            assert_allclose(np.bincount(row, deposit, len(file)), file.total(name), rtol=2e-4, atol=1e-9)
            energy += float(deposit.sum())
            section = DETECTOR.section(name)
            # nothing is faster than light from the gun, 1 mm in front of the face, to the sensor
            least = (section.sensor_z[cell[:, 2]] - section.sensor_mm / 2 + 1.0) / 299.792458
            times = file.times(name)
            assert (times > least * (1 - 1e-4)).all()
            assert np.median(times) < 1_000
        assert energy > 0
        assert beyond > 0


def test_whole_showers_are_the_same_again(whole, tmp_path):
    repeat_showers(whole, [3, 7], tmp_path / "again.h5")
    with ShowerFile(whole) as one, ShowerFile(tmp_path / "again.h5") as other:
        for name in one.sections:
            assert one.shape(name) == other.shape(name)
            for row, again in enumerate((3, 7)):
                for a, b in zip(one.hits(name, again, again + 1), other.hits(name, row, row + 1), strict=True):
                    assert_array_equal(a, b)
                assert_array_equal(one.times(name, again, again + 1), other.times(name, row, row + 1))


def test_a_file_without_times_is_reported(tmp_path):
    with ShowerFile(write_sparse(tmp_path / "windows.h5", 4)) as file:
        assert not file.has_times("ECAL")
        with pytest.raises(InputError, match=r"has no times of ECAL; fullsim gun --times keeps them"):
            file.times("ECAL")


def test_training_reads_whole_showers(whole):
    data = ShowerData([whole], DETECTOR, ("ECAL", "HCAL"), (211,), whole=True)
    batch = data.sample(12)
    with ShowerFile(whole) as file:
        number = sum(int((file.hits(name)[2] > DETECTOR.section(name).threshold).sum()) for name in ("ECAL", "HCAL"))
    assert len(batch.deposit) == number
