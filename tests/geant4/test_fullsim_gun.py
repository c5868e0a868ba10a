# SPDX-License-Identifier: BSD-3-Clause
"""Showers of the gun: as asked for, the same whatever interrupts, and the same again from their seeds."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from helpers.command import process_command, run_command
from helpers.files.shower_files import write_sparse
from helpers.geant4.full_simulation import detector_with, skip_without_geant4
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from fastcalo.detector.description import load_detector
from fastcalo.errors import ConfigError, InputError, OutputError
from fastcalo.fullsim.campaign import repeat_showers, run_campaign
from fastcalo.fullsim.gun import Gun
from fastcalo.io.showers.native import ShowerFile
from fastcalo.io.showers.native_writer import join_showers, write_showers

DETECTOR = load_detector()
QUICK = ("--energy", "0.1", "1", "--part", "4", "--seed", "3")


def assert_same_data(one: Path, other: Path) -> None:
    """Compare files: datasets with their layout, and attributes but for the time."""
    with h5py.File(one) as a, h5py.File(other) as b:
        assert list(a) == list(b)
        for name in a:
            assert (a[name].dtype, a[name].chunks, a[name].maxshape) == (
                b[name].dtype,
                b[name].chunks,
                b[name].maxshape,
            )
            assert_array_equal(a[name][:], b[name][:])
        first, second = ({k: v for k, v in f.attrs.items() if k != "seconds_per_shower"} for f in (a, b))
        assert first == second


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A file of a few showers, made without interruption by one process."""
    skip_without_geant4()
    path = tmp_path_factory.mktemp("gun") / "made.h5"
    done = run_command("fullsim", "gun", "-o", path, "-n", 30, *QUICK)
    assert done.returncode == 0, done.stderr
    assert re.search(r"30 showers; \S+ showers per second and core", done.stdout)
    return path


# files


def test_showers_are_as_asked_for(made):
    with ShowerFile(made) as file:
        file.check_values()
        file.check_detector(DETECTOR)
        assert len(file) == 30
        assert set(file.pdg()) == {11, -11, 22}
        wanted = Gun(energy=(0.1, 1.0), seed=3).conditions(DETECTOR, 0, 30)
        for name, values in wanted.items():
            assert_array_equal(getattr(file, name)(), values)
        energy = file.kinetic_energy()
        for name in file.sections:
            offsets, _, deposit = file.hits(name)
            row = np.repeat(np.arange(30), np.diff(offsets))
            inside = np.bincount(row, deposit, 30)
            # what is stored is rounded, the total is not
            assert (inside <= file.total(name) * (1 + 1e-4)).all()
            assert_allclose(inside.sum(), file.total(name).sum(), rtol=0.1)
            if name == "ECAL":
                assert (inside > 0.005 * energy).all()
                assert 0.015 < (inside / energy).mean() < 0.04
        attributes = file.attributes
    assert attributes["generator"] == "Geant4"
    assert attributes["geant4"].startswith("geant4-")
    assert (attributes["physics_list"], attributes["production_cut_mm"], attributes["cone_degrees"]) == (
        "FTFP_BERT",
        0.1,
        56.0,
    )
    assert json.loads(attributes["species"]) == [11, -11, 22]
    assert json.loads(attributes["kinetic_energy_gev"]) == [0.1, 1.0]
    assert (attributes["spectrum"], attributes["seed"], attributes["units"]) == ("log", 3, "GeV mm")
    assert attributes["seconds_per_shower"] > 0
    assert json.loads(attributes["detector"]) == json.loads(json.dumps(DETECTOR.description))


def test_workers_and_parts_do_not_matter(made, tmp_path):
    other = tmp_path / "other.h5"
    run_campaign(other, DETECTOR, Gun(energy=(0.1, 1.0), seed=3), 30, workers=2, part=7)
    assert_same_data(made, other)
    assert list(tmp_path.iterdir()) == [other]


def test_inspect_describes_the_generator(made):
    printed = run_command("inspect", made).stdout
    assert re.search(r"geant4 +geant4-", printed)
    assert re.search(r"physics_list +FTFP_BERT", printed)
    assert "encoding" not in printed


def finished(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*.h5"))


@pytest.mark.parametrize(
    "number",
    [signal.SIGKILL, *(pytest.param(n, marks=pytest.mark.slow) for n in (signal.SIGINT, signal.SIGTERM))],
    ids=lambda n: n.name,
)
def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(number, made, tmp_path):
    output, folder = tmp_path / "made.h5", tmp_path / "made.h5.parts"
    arguments = ("gun", "-o", output, "-n", 30, *QUICK)
    with subprocess.Popen(process_command("fullsim", *arguments), stderr=subprocess.PIPE, text=True) as process:
        begin = time.monotonic()
        while not finished(folder) and time.monotonic() - begin < 60:
            time.sleep(0.005)
        process.send_signal(number)
        assert process.stderr is not None
        errors = process.stderr.read()
    if output.exists():
        pytest.skip("the machine was too slow to interrupt it in time")
    assert process.returncode != 0
    parts = finished(folder)
    assert 0 < len(parts) < 8
    # what is finished can be read
    with ShowerFile(parts[0]) as file:
        assert len(file) == 4
        file.check_values()
    if number != signal.SIGKILL:
        assert f"{folder} keeps {len(parts)} finished parts: the same command with --resume goes on" in errors
        assert "Traceback" not in errors

    resumed = run_command("fullsim", *arguments, "--workers", 2, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert_same_data(made, output)
    assert list(tmp_path.iterdir()) == [output]


def test_an_unfinished_run_is_not_mixed_with_another(tmp_path):
    skip_without_geant4()
    output, folder = tmp_path / "x.h5", tmp_path / "x.h5.parts"
    gun, options = Gun(energy=(0.1, 0.2), seed=3), {"showers": 9, "part": 3}

    def stop(done: int, _: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_campaign(output, DETECTOR, gun, **options, progress=stop)
    (part,) = finished(folder)
    with pytest.raises(OutputError, match=r"holds an unfinished run; .* \(--resume\), .* \(--overwrite\)"):
        run_campaign(output, DETECTOR, gun, **options)
    others = {
        "seed": {"gun": replace(gun, seed=4)},
        "species": {"gun": replace(gun, species=(11,))},
        "production_cut_mm": {"detector": detector_with(geant4__production_cut_mm=0.7)},
        "showers": {"showers": 10},
    }
    for key, changes in others.items():
        with pytest.raises(ConfigError, match=f"cannot be resumed, for {key} was .* and is .* now"):
            run_campaign(output, **{"detector": DETECTOR, "gun": gun, **options, **changes}, resume=True)
    assert finished(folder) == [part]
    done = part.stat().st_mtime_ns
    calls = []

    def look(*numbers: int) -> None:
        calls.append(numbers)
        assert part.stat().st_mtime_ns == done

    run_campaign(output, DETECTOR, gun, **options, resume=True, progress=look)
    assert calls == [(k, 9) for k in range(3, 10)]


def test_a_folder_of_someone_else_is_left_alone(tmp_path):
    skip_without_geant4()
    folder = tmp_path / "x.h5.parts"
    folder.mkdir()
    (folder / "thesis.tex").touch()
    with pytest.raises(OutputError, match=r"holds 'thesis\.tex', which is not of a run"):
        run_campaign(tmp_path / "x.h5", DETECTOR, Gun(), 1, overwrite=True)
    assert list(folder.iterdir()) == [folder / "thesis.tex"]


def test_what_exists_is_kept_unless_asked_otherwise(made, tmp_path):
    output = tmp_path / "out.h5"
    output.write_bytes(b"precious")
    refused = run_command("fullsim", "gun", "-o", output, "-n", 30, *QUICK)
    assert refused.returncode == 1
    assert "exists already" in refused.stderr
    assert output.read_bytes() == b"precious"
    done = run_command(
        "fullsim", "gun", "-o", output, "-n", 30, *QUICK, "--overwrite", "--species", "e-,e+", "--species", "22"
    )
    assert done.returncode == 0, done.stderr
    assert_same_data(made, output)


def test_resuming_what_has_not_begun_begins_it(made, tmp_path):
    skip_without_geant4()
    run_campaign(tmp_path / "x.h5", DETECTOR, Gun(energy=(0.1, 1.0), seed=3), 30, workers=2, resume=True)
    assert_same_data(made, tmp_path / "x.h5")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--species", "bogus"), "'bogus' is neither a PDG code nor a particle's name"),
        (("--species", "1"), "species: Geant4 has no particle of the PDG code 1"),
        (("--cone", "85"), "cone: 85 degrees"),
        (("--detector", "nowhere"), "nowhere"),
    ],
)
def test_wrong_options_are_named(arguments, message, tmp_path):
    skip_without_geant4()
    done = run_command("fullsim", "gun", "-o", tmp_path / "x.h5", *arguments)
    assert done.returncode != 0
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


# again


def test_showers_can_be_made_again_to_the_bit(made, tmp_path):
    path = tmp_path / "again.h5"
    done = run_command("fullsim", "again", made, "--shower", 17, "--shower", 2, "-o", path, "--workers", 2)
    assert done.returncode == 0, done.stderr
    with ShowerFile(made) as old, ShowerFile(path) as new:
        assert len(new) == 2
        for k, row in enumerate((17, 2)):
            for name in ("pdg", "kinetic_energy", "direction", "entry", "seeds"):
                assert_array_equal(getattr(new, name)(k, k + 1), getattr(old, name)(row, row + 1))
            for section in old.sections:
                assert new.total(section)[k] == old.total(section)[row]
                for a, b in zip(old.hits(section, row, row + 1), new.hits(section, k, k + 1), strict=True):
                    assert_array_equal(a, b)
                assert section != "ECAL" or len(old.hits(section, row, row + 1)[1]) > 3
        assert json.loads(new.attributes["again"]) == [17, 2]


def test_what_cannot_be_made_again(made, tmp_path):
    output = tmp_path / "again.h5"
    for row in (30, -1):
        with pytest.raises(InputError, match=f"has no shower {row}; they are numbered 0 to 29"):
            repeat_showers(made, [row], output)
    other = detector_with(section__ECAL__cell_mm=5.0)
    with pytest.raises(InputError, match="from another ECAL"):
        repeat_showers(made, [0], output, detector=other)
    without = write_sparse(tmp_path / "sparse.h5", 3)
    with pytest.raises(InputError, match="does not describe its detector"):
        repeat_showers(without, [0], output)
    with pytest.raises(InputError, match=r"has no dataset 'seeds'"):
        repeat_showers(without, [0], output, detector=DETECTOR)
    assert not output.exists()


# joining


@settings(max_examples=15)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(0, 99))
def test_joined_files_are_as_if_written_at_once(tmp_path_factory, counts, seed):
    folder = tmp_path_factory.mktemp("join")
    ends = np.cumsum(counts)
    whole = write_sparse(folder / "whole.h5", int(ends[-1]), seed)
    parts = []
    with ShowerFile(whole) as file:
        for start, stop in zip(ends - counts, ends, strict=True):
            parts.append(folder / f"{start}.h5")
            names = ("pdg", "kinetic_energy", "direction", "entry")
            conditions = {name: getattr(file, name)(int(start), int(stop)) for name in names}
            hits = {"ECAL": file.hits("ECAL", int(start), int(stop))}
            write_showers(parts[-1], DETECTOR, conditions, hits)
    join_showers(folder / "joined.h5", DETECTOR, parts)
    assert_same_data(whole, folder / "joined.h5")


def test_a_damaged_part_is_named(tmp_path):
    parts = [write_sparse(tmp_path / f"{k}.h5", 4, k) for k in range(2)]
    with h5py.File(parts[1], "r+") as file:
        file["kinetic_energy"][2] = -1
    with pytest.raises(InputError, match=re.escape(f"{parts[1]}: kinetic_energy[2]")):
        join_showers(tmp_path / "joined.h5", DETECTOR, parts)
    assert not (tmp_path / "joined.h5").exists()
