# SPDX-License-Identifier: BSD-3-Clause
"""Geant4's processes: the same shower whatever ran before, and nothing that hangs or dies in silence."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
import threading
import time
from dataclasses import fields
from importlib.util import find_spec

import numpy as np
import psutil
import pytest
from helpers.geant4.full_simulation import VARIABLES, detector_with, make_shots, run_without_data, skip_without_geant4
from hypothesis import given
from hypothesis import strategies as st

from fastcalo.detector.description import load_detector
from fastcalo.errors import ConfigError, DetectorError, Geant4Error
from fastcalo.fullsim.data import find_data
from fastcalo.fullsim.pool import Geant4Pool
from fastcalo.fullsim.shots import Shots, seeds_from
from fastcalo.system.install import install_line

DETECTOR = load_detector()
GUN = ("-m", "fastcalo", "fullsim", "gun", "-n", "2", "--energy", "0.1", "0.2")


@pytest.fixture(scope="module")
def pool():
    skip_without_geant4()
    with Geant4Pool(DETECTOR, 2) as started:
        yield started


def showers(results) -> dict[int, bytes]:
    """All bits of every shower, by the number of its shot."""
    found: dict[int, bytes] = {}
    for result in results:
        for row, number in enumerate(result.shots.number.tolist()):
            columns = [
                getattr(cells, name)[cells.shot == row].tobytes()
                for cells in result.sections.values()
                for name in ("ix", "iy", "layer", "deposit")
            ]
            found[number] = b"|".join(columns)
    return found


def taken(shots: Shots, rows) -> Shots:
    return Shots(*(getattr(shots, field.name)[rows] for field in fields(shots)))


# the same shower


def test_a_shower_depends_on_its_shot_only(pool):
    shots = make_shots(12, highest=3.0)
    first = showers(pool.run(shots.split(12)))
    assert len(set(first.values())) == 12
    order = np.random.default_rng(0).permutation(12)
    shuffled = showers(pool.run(taken(shots, order).split(1)))
    with Geant4Pool(DETECTOR) as other:
        alone = showers(other.run([taken(shots, [7])]))
    assert shuffled == first
    assert alone == {107: first[107]}


def test_other_seeds_are_another_shower(pool):
    shots = make_shots(1)
    others = [
        Shots(*(getattr(shots, f.name) for f in fields(shots)[:-1]), shots.seeds + step) for step in ([1, 0], [0, 1])
    ]
    assert len({showers(pool.run([s]))[100] for s in (shots, *others)}) == 3


def test_answers_come_in_the_order_of_the_questions(pool):
    shots = make_shots(40, species=(22,), highest=0.2)
    # the first takes longest by far
    shots.kinetic_energy[0] = 20.0
    numbers = [result.shots.number[0] for result in pool.run(shots.split(1))]
    assert numbers == shots.number.tolist()


def test_deposits_are_in_cells_and_do_not_exceed_the_energy(pool):
    shots = make_shots(30, seed=4)
    total = np.zeros(30)
    for result, start in zip(pool.run(shots.split(10)), range(0, 30, 10), strict=True):
        assert result.seconds > 0
        for section in DETECTOR.sections:
            cells = result.sections[section.name]
            assert (cells.deposit > 0).all()
            assert (np.diff(cells.shot) >= 0).all()
            assert cells.layer.min(initial=0) >= 0
            assert cells.layer.max(initial=0) < section.layers
            total[start : start + 10] += np.bincount(cells.shot, cells.deposit, 10)
    assert (total <= shots.kinetic_energy).all()
    light = np.isin(shots.pdg, (11, 22))
    # the sensors see a few percent of an electromagnetic shower
    assert 0.015 < (total / shots.kinetic_energy)[light].mean() < 0.045


def test_nothing_to_simulate(pool):
    assert list(pool.run([])) == []
    (nothing,) = pool.run([make_shots(0)])
    assert len(nothing.sections["ECAL"].deposit) == 0


def test_whoever_stops_asking_may_ask_again(pool):
    shots = make_shots(6)
    running = pool.run(shots.split(1))
    next(running)
    with pytest.raises(Geant4Error, match="simulates something else already"):
        next(pool.run(shots.split(1)))
    running.close()
    assert len(showers(pool.run(shots.split(1)))) == 6


def test_a_pool_can_be_pickled(pool):
    shots = make_shots(2)
    with pickle.loads(pickle.dumps(pool)) as again:  # noqa: S301 - what this test has pickled itself
        assert again.workers == 2
        assert showers(again.run([shots])) == showers(pool.run([shots]))


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1))
def test_seeds_are_those_that_geant4_takes(words):
    seeds = seeds_from(np.array(words, np.uint32))
    assert seeds.dtype == np.int64
    assert seeds.min() >= 1
    assert seeds.max() <= 2**31 - 2


# what cannot be


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"geant4__physics_list": "FTFP_BART"}, "no physics list 'FTFP_BART'; it has .*FTFP_BERT"),
        ({"geant4__physics_list": "G4Box"}, "no physics list 'G4Box'"),
        ({"section__HCAL__absorber": "G4_Foo"}, "no material 'G4_Foo', which HCAL_absorber0"),
        ({"section__ECAL__cell_mm": 0.5}, r"section\.ECAL: 18.* cells in 25 layers .* geant4\.max_angle_degrees"),
    ],
)
def test_detectors_that_geant4_cannot_build(changes, message):
    skip_without_geant4()
    with Geant4Pool(detector_with(**changes)) as pool, pytest.raises(DetectorError, match=message):
        list(pool.run([make_shots(1)]))


def test_a_pool_has_workers():
    with pytest.raises(ConfigError, match="workers must be from 1 to 1024"):
        Geant4Pool(DETECTOR, 0)


def test_a_death_is_reported_with_all_it_takes_to_repeat_it(monkeypatch):
    skip_without_geant4()
    # would hide that the last words are still in a buffer
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    shots = make_shots(3, species=(2212,))
    # would take minutes
    shots.kinetic_energy[2] = 1000.0
    before = set(psutil.Process().children())
    with Geant4Pool(DETECTOR) as pool:
        assert pool.version.startswith("geant4-")
        (process,) = set(psutil.Process().children()) - before
        timer = threading.Timer(1.5, process.kill)
        timer.start()
        with pytest.raises(Geant4Error) as caught:
            list(pool.run([shots]))
        timer.join()
        a, b = shots.seeds[2].tolist()
        message = str(caught.value)
        assert message.startswith("Geant4 died by signal SIGKILL at shot 102: pdg 2212, 1000 GeV, direction (")
        assert f"seeds ({a}, {b})" in message
        assert "Physics List simulation engine: FTFP_BERT" in message
        # and the pool is not the worse for it
        assert len(showers(pool.run([taken(shots, [0])]))) == 1


def test_a_death_between_showers_is_reported_too():
    skip_without_geant4()
    before = set(psutil.Process().children())
    with Geant4Pool(DETECTOR) as pool:
        assert pool.version
        (process,) = set(psutil.Process().children()) - before
        process.kill()
        with pytest.raises(Geant4Error, match=r"^Geant4 died by signal SIGKILL between two showers\."):
            pool.knows([22])
        assert pool.knows([22]) == [True]


ORPHANS = """
import psutil, sys
sys.path.insert(0, "tests")
from helpers.geant4.full_simulation import make_shots
from fastcalo.detector.description import load_detector
from fastcalo.fullsim.pool import Geant4Pool
pool = Geant4Pool(load_detector(), 2)
shots = make_shots(2000, species=(22,))
for result in pool.run(shots.split(1)):
    print(*(p.pid for p in psutil.Process().children()), flush=True)
"""


def test_processes_do_not_outlive_a_parent_that_is_killed():
    # no guard of the main module in that script
    skip_without_geant4()
    with subprocess.Popen([sys.executable, "-c", ORPHANS], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        children = [psutil.Process(pid) for pid in pids]
        parent.kill()
    assert len(children) == 2
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive


def test_the_end_of_a_pool_is_the_end_of_its_processes():
    skip_without_geant4()
    before = set(psutil.Process().children())
    pool = Geant4Pool(DETECTOR, 2)
    assert set(psutil.Process().children()) == before
    assert pool.knows([22, 0, 1, 130]) == [True, False, False, True]
    mine = set(psutil.Process().children()) - before
    assert len(mine) == 2
    del pool
    _, alive = psutil.wait_procs(mine, timeout=5)
    assert not alive


def test_an_interrupt_at_the_terminal_leaves_the_end_to_the_parent():
    skip_without_geant4()
    before = set(psutil.Process().children())
    with Geant4Pool(DETECTOR) as pool:
        assert pool.version
        (process,) = set(psutil.Process().children()) - before
        for number in (signal.SIGINT, signal.SIGTERM):
            process.send_signal(number)
        time.sleep(0.2)
        assert len(showers(pool.run([make_shots(1)]))) == 1


# what is missing


@pytest.mark.parametrize("variables", [{}, {"CI": "true"}], ids=["asks", "downloads"])
def test_missing_data_are_named_and_nothing_waits(tmp_path, variables):
    if find_spec("geant4_pybind") is None:
        pytest.skip("needs geant4-pybind")
    done = run_without_data(*GUN, "-o", tmp_path / "x.h5", home=tmp_path, **variables)
    assert done.returncode == 1
    for variable in VARIABLES[1:]:
        assert f"{variable} is not set, and there is no " in done.stderr
    assert f"there is no PhotonEvaporation* in {tmp_path}/.geant4_pybind" in done.stderr
    assert "-c 'import geant4_pybind'\nand answer y" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_variables_that_point_to_nothing_are_named(tmp_path):
    skip_without_geant4()
    data = {name: str(path) for name, path in find_data().items()}
    wrong = {**data, "G4LEDATA": str(tmp_path / "nowhere")}
    done = run_without_data(*GUN, "-o", tmp_path / "x.h5", home=tmp_path, **wrong)
    assert done.returncode == 1
    assert f"G4LEDATA points to {tmp_path}/nowhere, which is no folder" in done.stderr
    assert "G4SAIDXSDATA" not in done.stderr.split("run\n")[0]
    assert "env -u GEANT4_DATA_DIR -u G4LEDATA " in done.stderr


def test_data_are_found_where_geant4_pybind_puts_them(tmp_path):
    skip_without_geant4()
    home = tmp_path / ".geant4_pybind"
    home.mkdir()
    for path in find_data().values():
        if path.name.startswith(("G4EMLOW", "G4ENSDF", "Photon", "G4PARTICLEXS", "G4SAID")):
            (home / path.name).symlink_to(path)
    done = run_without_data(*GUN, "-o", tmp_path / "x.h5", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "x.h5").exists()


def test_damaged_data_are_reported_in_the_words_of_geant4(tmp_path):
    skip_without_geant4()
    data = {name: str(path) for name, path in find_data().items()}
    (tmp_path / "empty").mkdir()
    done = run_without_data(
        *GUN, "-o", tmp_path / "x.h5", home=tmp_path, **{**data, "G4LEDATA": str(tmp_path / "empty")}
    )
    assert done.returncode == 1
    assert "Geant4 died by signal SIGABRT while it started" in done.stderr
    assert f"data file <{tmp_path}/empty/" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_missing_extra_is_named(tmp_path):
    code = (
        "import sys\nsys.modules['geant4_pybind'] = None\n"
        "from fastcalo.cli import main\n"
        f"main(['fullsim', 'gun', '-o', {str(tmp_path / 'x.h5')!r}])\n"
    )
    done = run_without_data("-c", code, home=tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"fastcalo: error: full simulation needs geant4-pybind: {install_line('geant4')}\n"
