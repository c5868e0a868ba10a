# SPDX-License-Identifier: BSD-3-Clause
"""A model of windows: what goes in, what comes out, and that a shower depends on its particle only."""

import hashlib
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.models.windowed_model import WINDOWED_MODEL
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import fastcalo
from fastcalo.errors import InputError
from fastcalo.model.contract import NoiseSpec
from fastcalo.model.noise import draw_noise
from fastcalo.model.random_numbers import random_streams

ROOT = Path(__file__).parents[3]
EM = fastcalo.load_model(WINDOWED_MODEL, threads=1)
ECAL = fastcalo.load_detector().section("ECAL")
AHEAD, CENTRE = [0.0, 0.0, 1.0], [0.0, 0.0]


def towards(theta, phi=0.0):
    theta, phi = np.radians(theta), np.radians(phi)
    return np.array([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)])


def particles(n, seed=0, lowest=0.1, highest=5.0):
    """Kinematics that fill the validity."""
    rng = np.random.default_rng(seed)
    cosine, azimuth = rng.uniform(np.cos(EM.contract.max_angle), 1, n), rng.uniform(-np.pi, np.pi, n)
    sine = np.sqrt(1 - cosine**2)
    return (
        rng.choice([11, -11, 22], n),
        np.exp(rng.uniform(np.log(lowest), np.log(highest), n)).astype(np.float32),
        np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), cosine], 1).astype(np.float32),
        rng.uniform(-2.55, 2.55, (n, 2)).astype(np.float32),
    )


def draw(kinematics, random):
    """Deposits of `ShowerModel.sample`: shower, cell and deposit, sorted."""
    shower, cell, deposit = EM.sample(*kinematics, random)["ECAL"].in_window(EM.window_shape("ECAL"))
    order = np.lexsort((cell, shower))
    return shower[order], cell[order], deposit[order]


def streams_of(n, seed=1):
    return random_streams(seed, np.zeros(n, np.int64), np.zeros(n, np.int64), np.arange(n))


# --- shapes and units


def test_showers_have_the_windows_shape_and_hits_above_the_threshold():
    pdg, energy, direction, entry = particles(50)
    showers = EM.generate(pdg=pdg, kinetic_energy=energy, direction=direction, entry=entry, seed=3)
    assert list(showers) == ["ECAL"]
    deposit = showers["ECAL"]
    assert deposit.shape == (50, 25, 25, 25)
    assert deposit.dtype == np.float32
    assert deposit[deposit != 0].min() > ECAL.threshold
    # GeV: silicon sees a few per cent of the energy
    visible = deposit.sum((1, 2, 3), dtype=np.float64) / energy
    assert 0.02 < visible.mean() < 0.04


def test_no_particles_make_no_showers():
    showers = EM.generate(
        pdg=np.zeros(0, int), kinetic_energy=np.zeros(0), direction=np.zeros((0, 3)), entry=np.zeros((0, 2))
    )
    assert showers["ECAL"].shape == (0, 25, 25, 25)
    assert showers["ECAL"].dtype == np.float32


def test_scalars_are_repeated():
    n = 5
    repeated = EM.generate(pdg=22, kinetic_energy=[1.0] * n, direction=AHEAD, entry=CENTRE, seed=2)
    full = EM.generate(pdg=[22] * n, kinetic_energy=[1.0] * n, direction=[AHEAD] * n, entry=[CENTRE] * n, seed=2)
    assert_array_equal(repeated["ECAL"], full["ECAL"])
    # of one particle, all of it scalar, there is one shower
    assert EM.generate(pdg=11, kinetic_energy=1, direction=AHEAD, entry=CENTRE)["ECAL"].shape == (1, 25, 25, 25)


def test_the_ends_of_the_ranges_are_inside():
    low, high = EM.contract.kinetic_energy
    edge = towards(np.degrees(EM.contract.max_angle))
    showers = EM.generate(pdg=[11, -11], kinetic_energy=[low, high], direction=edge, entry=CENTRE)
    assert (showers["ECAL"].sum((1, 2, 3)) > 0).all()


# --- what is refused


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"pdg": 211}, "pdg must be one of"),
        ({"pdg": -22}, "pdg must be one of"),
        ({"kinetic_energy": 0.09}, "kinetic_energy must be within"),
        ({"kinetic_energy": 101.0}, "kinetic_energy must be within"),
        ({"kinetic_energy": np.nan}, "kinetic_energy must be within"),
        ({"kinetic_energy": -1.0}, "kinetic_energy must be within"),
        ({"direction": [0.0, 0.0, 2.0]}, "direction must be a unit vector"),
        ({"direction": [np.nan, 0.0, 1.0]}, "direction must be a unit vector"),
        ({"direction": towards(57.0)}, "direction must be within 56 degrees"),
        ({"direction": [0.0, 0.0, -1.0]}, "direction must be within 56 degrees"),
        ({"entry": [0.0, np.inf]}, r"entry must be within 2\.55 mm of the centre"),
    ],
    ids=lambda value: "" if isinstance(value, str) else str(value),
)
def test_a_particle_outside_the_validity_is_named_by_its_index(changed, message):
    bad = 3
    kinematics = {
        "pdg": np.full(6, 22),
        "kinetic_energy": np.full(6, 1.0),
        "direction": np.tile(AHEAD, (6, 1)),
        "entry": np.zeros((6, 2)),
    }
    for name, value in changed.items():
        kinematics[name][bad] = value
    with pytest.raises(InputError, match=rf"'windows'.*{message}.*1 of 6 .*index {bad} "):
        EM.generate(**kinematics)


@pytest.mark.parametrize(
    "shapes",
    [
        {"kinetic_energy": (3,), "pdg": (2,)},
        {"kinetic_energy": (3,), "direction": (2, 3)},
        {"direction": (3, 2)},
        {"direction": (3, 4)},
        {"entry": (3, 3)},
        {"entry": ()},
        {"kinetic_energy": (2, 3)},
    ],
    ids=str,
)
def test_shapes_that_do_not_fit_are_refused(shapes):
    values = {"pdg": 22, "kinetic_energy": 1.0, "direction": AHEAD, "entry": CENTRE}
    values |= {name: np.ones(shape) for name, shape in shapes.items()}
    with pytest.raises(InputError, match="do not fit together"):
        EM.generate(**values)


def test_ragged_lists_are_refused():
    with pytest.raises(InputError, match="do not fit together"):
        EM.generate(pdg=22, kinetic_energy=1.0, direction=[[0, 0, 1], [0, 1]], entry=CENTRE)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_of_more_than_64_bits_is_refused(seed):
    with pytest.raises(InputError, match="seed"):
        EM.generate(pdg=22, kinetic_energy=1.0, direction=AHEAD, entry=CENTRE, seed=seed)


# --- randomness


def test_the_same_seed_gives_the_same_showers_and_another_one_others():
    pdg, energy, direction, entry = particles(20)
    kinematics = {"pdg": pdg, "kinetic_energy": energy, "direction": direction, "entry": entry}
    first, again, other = (EM.generate(**kinematics, seed=seed)["ECAL"] for seed in (7, 7, 8))
    assert_array_equal(first, again)
    assert (first != other).any(axis=(1, 2, 3)).all()


def test_like_particles_draw_unlike_showers():
    showers = EM.generate(pdg=22, kinetic_energy=[2.0] * 30, direction=AHEAD, entry=CENTRE)["ECAL"]
    assert len(np.unique(showers.reshape(30, -1), axis=0)) == 30


def test_showers_do_not_depend_on_the_order():
    n = 300
    kinematics, random = particles(n), streams_of(n)
    shower, cell, deposit = draw(kinematics, random)
    order = np.random.default_rng(5).permutation(n)
    got = draw(tuple(a[order] for a in kinematics), random.take(order))
    back = np.lexsort((got[1], order[got[0]]))
    assert_array_equal(order[got[0]][back], shower)
    assert_array_equal(got[1][back], cell)
    assert_allclose(got[2][back], deposit, rtol=1e-5)


def test_a_shower_is_the_same_alone_and_in_company():
    n = 260  # more than are drawn in one call
    kinematics, random = particles(n, seed=4), streams_of(n)
    shower, cell, deposit = draw(kinematics, random)
    checked, off = 0, 0
    for i in range(0, n, 13):
        alone = draw(tuple(a[[i]] for a in kinematics), random.take(np.array([i])))
        mine = shower == i
        assert_array_equal(alone[1], cell[mine])
        # single precision rounds otherwise in another company, and hits of a layer share its energy one by one
        assert_allclose(alone[2].sum(dtype=np.float64), deposit[mine].sum(dtype=np.float64), rtol=1e-5)
        checked, off = checked + mine.sum(), off + (np.abs(alone[2] / deposit[mine] - 1) > 1e-3).sum()
    assert off <= 0.01 * checked


def test_a_model_sent_to_another_process_draws_the_same(tmp_path):
    sent = pickle.dumps(EM)
    assert len(sent) < 100_000, "the session went along"
    code = (
        "import pickle, sys, numpy as np\n"
        "model = pickle.load(open(sys.argv[1], 'rb'))\n"
        "showers = model.generate(pdg=22, kinetic_energy=[1.0] * 4, direction=[0, 0, 1], entry=[0, 0], seed=9)\n"
        "np.save(sys.argv[2], showers['ECAL'])\n"
    )
    (tmp_path / "model.pickle").write_bytes(sent)
    subprocess.run(
        [sys.executable, "-c", code, tmp_path / "model.pickle", tmp_path / "showers.npy"], check=True, cwd=ROOT
    )
    here = EM.generate(pdg=22, kinetic_energy=[1.0] * 4, direction=AHEAD, entry=CENTRE, seed=9)["ECAL"]
    assert_array_equal(np.load(tmp_path / "showers.npy"), here)


# --- noise

SPECS = (
    NoiseSpec("a", (5, 3), "uniform"),
    NoiseSpec("b", (7,), "normal"),
    NoiseSpec("c", ("P", 3), "logistic", (3.0, 2.0, 0.5)),
    NoiseSpec("d", (5, 3), "uniform"),
)


@given(st.lists(st.floats(0.125, 100.0, width=32), min_size=1, max_size=12), st.integers(0, 2**64 - 1), st.randoms())
def test_noise_of_a_shower_does_not_depend_on_its_company(energies, seed, shuffler):
    n = len(energies)
    energy, random = np.array(energies, np.float32), streams_of(n, seed)
    noise = draw_noise(SPECS, random, energy)
    for i in shuffler.sample(range(n), min(n, 3)):
        alone = draw_noise(SPECS, random.take(np.array([i])), energy[[i]])
        rows = int(3 + 2 * float(energy[i]) ** 0.5) + 1
        for name in ("a", "b", "d"):
            assert_array_equal(noise[name][i], alone[name][0])
        assert alone["c"].shape == (1, -(-rows // 8) * 8, 3)
        assert_array_equal(noise["c"][i, :rows], alone["c"][0, :rows])
    assert ((noise["a"] > 0) & (noise["a"] < 1)).all()
    assert noise["b"].shape == (n, 7)


def test_tensors_and_showers_share_no_numbers():
    specs = (*SPECS[:2], SPECS[3], *(NoiseSpec(name, ("P", 3), "uniform", (3.0, 2.0, 0.5)) for name in "ef"))
    noise = draw_noise(specs, streams_of(40), np.full(40, 50.0, np.float32))
    once = np.concatenate([noise[name].ravel() for name in ("a", "d")])
    # of the 2**23 values a few may be drawn twice by chance: 0.2 % of so many pairs
    assert len(np.unique(once)) > 0.99 * len(once)
    # those drawn by the thousand have 2**16 values: any two showers, or tensors, differ nearly everywhere
    rows = np.concatenate([noise[name][:, :17].reshape(40, -1) for name in ("e", "f")])
    assert (rows > 0).all(), "all showers have the same energy, hence all their rows"
    same = (rows[:, None] == rows[None]).mean(2)
    assert same[~np.eye(len(rows), dtype=bool)].max() < 0.1


# --- the graph itself


def test_windows_and_lists_of_the_graph_hold_the_same_deposits():
    n = 40
    (pdg, energy, direction, entry), random = particles(n), streams_of(n)
    feed = {"kinetic_energy": energy, "direction": direction, "entry": entry, "species": pdg}
    outputs = ["ECAL", "ECAL_shower", "ECAL_cell", "ECAL_deposit"]
    dense, shower, cell, deposit = EM._session.run(outputs, {**feed, **draw_noise(EM.contract.noise, random, energy)})
    assert dense.shape == (n, 25, 25, 25)
    filled = np.zeros((n, 25**3), np.float32)
    filled[shower, cell] = deposit
    assert_array_equal(dense.reshape(n, -1), filled)
    assert np.count_nonzero(dense) == len(deposit), "a cell is listed twice"
    assert deposit.min() > ECAL.threshold


def test_the_graph_takes_no_particles():
    empty = streams_of(0)
    feed = {
        "kinetic_energy": np.zeros(0, np.float32),
        "direction": np.zeros((0, 3), np.float32),
        "entry": np.zeros((0, 2), np.float32),
        "species": np.zeros(0, np.int64),
        **draw_noise(EM.contract.noise, empty, np.zeros(0, np.float32)),
    }
    dense, shower = EM._session.run(["ECAL", "ECAL_shower"], feed)
    assert dense.shape == (0, 25, 25, 25)
    assert shower.shape == (0,)


# --- how it describes itself


def test_a_model_describes_itself():
    rows = dict(EM.describe())
    assert rows["name"] == EM.name == "windows"
    assert "0.1 to 100 GeV" in rows["kinetic energy"]
    assert "56 degrees" in rows["angle to the normal"]
    assert "ECAL (25 x 25 cells, 25 layers, hits above 2e-05 GeV)" in rows["sections"]
    assert EM.file_hash == hashlib.sha256(EM.path.read_bytes()).hexdigest()
    assert EM.file_hash in rows["file"]
    assert "species=[11, -11, 22]" in repr(EM)


def test_the_shipped_model_is_small():
    assert EM.path.stat().st_size < 5e6


def test_time_in_the_network_is_counted():
    before = EM.network_seconds
    EM.generate(pdg=22, kinetic_energy=[1.0] * 10, direction=AHEAD, entry=CENTRE)
    assert EM.network_seconds > before


@settings(max_examples=20)
@given(st.integers(0, 2**64 - 1), st.sampled_from([11, -11, 22]), st.floats(0.1, 100.0), st.floats(0, 55.9), st.data())
def test_any_valid_particle_makes_a_sound_shower(seed, pdg, energy, theta, data):
    direction = towards(theta, data.draw(st.floats(-180, 180)))
    entry = data.draw(st.tuples(*[st.floats(-2.55, 2.55)] * 2))
    deposit = EM.generate(pdg=pdg, kinetic_energy=energy, direction=direction, entry=entry, seed=seed)["ECAL"][0]
    assert np.isfinite(deposit).all()
    assert deposit[deposit != 0].min(initial=1.0) > ECAL.threshold
    assert deposit.sum() < 0.2 * energy + 0.01
