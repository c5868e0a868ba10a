"""Showers for training: each once an epoch, in an order that only seed and epoch decide, in bounded memory."""

import tracemalloc
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from showers import SAMPLE, write_sparse

from fastcalo.detector import load_detector, parse_detector
from fastcalo.errors import InputError
from fastcalo.io.hdf5 import ShowerFile
from fastcalo.training.data import ShowerData, ranges, window_offsets
from fastcalo.training.hits.conditions import Geometry, conditions

DETECTOR = load_detector()
ECAL = DETECTOR.section("ECAL")
SPECIES = (11, -11, 22)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two files, of 34 and 22 showers."""
    folder = tmp_path_factory.mktemp("showers")
    return [write_sparse(folder / "a.h5", 34, seed=1), write_sparse(folder / "b.h5", 22, seed=2)]


def open_data(paths, **options):
    return ShowerData(paths, DETECTOR, "ECAL", options.pop("species", SPECIES), **options)


def names(batches):
    """What tells showers apart, in their order."""
    return np.concatenate([b.kinetic_energy.numpy() for b in batches])


sizes = st.integers(1, 20)
pools, blocks = st.integers(1, 80), st.integers(4, 40)


@settings(max_examples=15)
@given(sizes, pools, blocks, st.integers(0, 2**40))
def test_every_shower_comes_once_an_epoch(files, size, pool, block, seed):
    data = open_data(files, seed=seed, pool=pool, block=block)
    assert len(data) == 56
    per_epoch = 56 // size
    for epoch in range(2):
        batches = list(islice(data.batches(size, epoch * per_epoch), per_epoch))
        assert {len(b) for b in batches} == {size}
        assert len(np.unique(names(batches))) == per_epoch * size
    # together with those left over they are all there are
    whole = list(islice(data.batches(1), 56))
    with ShowerFile(files[0]) as a, ShowerFile(files[1]) as b:
        everything = np.concatenate([a.kinetic_energy(), b.kinetic_energy()])
    assert_array_equal(np.sort(names(whole)), np.sort(everything))


@settings(max_examples=15)
@given(sizes, pools, blocks, st.integers(0, 30), st.integers(1, 6))
def test_starting_later_is_skipping(files, size, pool, block, start, count):
    straight = list(islice(open_data(files, pool=pool, block=block).batches(size), start, start + count))
    later = list(islice(open_data(files, pool=pool, block=block).batches(size, start), count))
    assert_array_equal(names(straight), names(later))
    for a, b in zip(straight, later, strict=True):
        for name in a.__dataclass_fields__:
            assert torch.equal(getattr(a, name), getattr(b, name)), name


@settings(max_examples=10)
@given(sizes, sizes, pools, blocks, st.integers(0, 3))
def test_the_order_depends_on_seed_and_epoch_only(files, one, other, pool, block, epoch):
    def order(size, seed=3, epoch=epoch):
        data = open_data(files, seed=seed, pool=pool, block=block)
        per_epoch = 56 // size
        return names(islice(data.batches(size, epoch * per_epoch), per_epoch))

    a, b = order(one), order(other)
    common = min(len(a), len(b))
    assert_array_equal(a[:common], b[:common])
    assert (order(one, epoch=epoch + 1) != a).any()
    assert (order(one, seed=4) != a).any()


def test_showers_of_all_blocks_are_mixed(files):
    data = open_data(files, pool=56, block=6)
    first = names(islice(data.batches(20), 1))
    # the two files differ in the integer part of their energies
    assert 3 < (first < 3).sum() < 19


def test_only_the_species_asked_for_come(files):
    data = open_data(files, species=(22,))
    with ShowerFile(files[0]) as a, ShowerFile(files[1]) as b:
        number = sum(int((f.pdg() == 22).sum()) for f in (a, b))
    assert len(data) == number
    batch = next(data.batches(number))
    assert set(batch.pdg.tolist()) == {22}


def test_a_batch_holds_what_the_file_holds():
    data = open_data([SAMPLE], seed=5)
    batch = next(data.batches(200))
    layers = ECAL.layers
    with ShowerFile(SAMPLE) as f:
        energy = f.kinetic_energy()
        place = {float(e): i for i, e in enumerate(energy)}
        assert len(place) == len(energy)
        rows = np.array([place[float(e)] for e in batch.kinetic_energy])
        offsets, cell, deposit = f.hits("ECAL")
        assert_array_equal(batch.direction, f.direction()[rows])
        assert_array_equal(batch.entry, f.entry()[rows])
        assert_array_equal(batch.pdg, f.pdg()[rows])
    wanted = np.zeros((200, 25**3), np.float32)
    for i, r in enumerate(rows):
        part = slice(offsets[r], offsets[r + 1])
        wanted[i, cell[part]] = deposit[part]
    wanted[wanted <= ECAL.threshold] = 0
    got = np.zeros_like(wanted)
    index = ((batch.x + 12) * 25 + batch.y + 12) * layers + batch.layer
    got[batch.row, index.long()] = batch.deposit
    assert_array_equal(got, wanted)
    assert len(batch.deposit) == np.count_nonzero(wanted)
    per_layer = wanted.reshape(200, -1, layers)
    assert_allclose(batch.layer_energy, per_layer.sum(1), rtol=1e-5)
    assert_array_equal(batch.layer_count, (per_layer > 0).sum(1))
    # x and y are not mixed up: what is left of the centre in the window is left of it here
    dense = wanted.reshape(200, 25, 25, layers)
    assert_allclose(
        np.bincount(batch.row, batch.deposit * batch.x, minlength=200),
        (dense.sum((2, 3)) * np.arange(-12, 13)).sum(1),
        rtol=1e-3,
        atol=1e-6,
    )


def test_hits_are_sorted_by_shower_layer_and_distance_from_the_line_of_flight():
    batch = next(open_data([SAMPLE], seed=5).batches(300))
    offset = window_offsets(ECAL.sensor_z, ECAL.cell_mm, batch.direction.numpy(), batch.entry.numpy())
    d = np.stack([batch.x, batch.y], 1) - offset[batch.row, batch.layer]
    group, distance = (batch.row * ECAL.layers + batch.layer).numpy(), (d**2).sum(1)
    assert (np.diff(group) >= 0).all()
    inside = np.diff(group) == 0
    assert inside.sum() > 1000
    assert (np.diff(distance)[inside] >= -1e-9).all()


def test_offsets_are_those_that_the_networks_see():
    batch = next(open_data([SAMPLE]).batches(300))
    geometry = Geometry(tuple(ECAL.sensor_z.tolist()), ECAL.cell_mm, 25, ECAL.threshold, SPECIES)
    seen = conditions(geometry, batch.kinetic_energy, batch.direction, batch.entry, batch.pdg).offset_BL2.numpy()
    offset = window_offsets(ECAL.sensor_z, ECAL.cell_mm, batch.direction.numpy(), batch.entry.numpy())
    # single precision decides otherwise only where the line crosses an edge
    off = np.abs(seen - offset)
    assert (np.minimum(off, 1 - off) < 1e-4).all()
    assert (np.abs(seen) <= 0.5 + 1e-4).all()


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), max_size=20))
def test_ranges_are_those_of_python(pairs):
    start, count = np.array(pairs, np.int64).reshape(-1, 2).T
    wanted = [i for s, c in pairs for i in range(s, s + c)]
    assert_array_equal(ranges(start, count), wanted)


def test_memory_is_bounded_by_the_pool():
    def peak(pool):
        data = open_data([SAMPLE], pool=pool, block=100)
        tracemalloc.start()
        try:
            for _ in islice(data.batches(10), 120):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(100)
    assert peak(100) < 0.6 * peak(1200)


def test_another_file_or_order_of_files_has_another_hash(files):
    hashes = {open_data(paths).hash for paths in (files, files[::-1], files[:1])}
    assert len(hashes) == 3
    assert open_data(files).hash == open_data(files, seed=9, pool=3).hash


# --- what is refused


def test_a_species_that_no_file_holds_is_refused(files):
    with pytest.raises(InputError, match=r"no shower of species \[211\]"):
        open_data(files, species=(211,))


def test_a_batch_of_more_showers_than_there_are_is_refused(files):
    with pytest.raises(InputError, match="a batch of 57 showers is asked for, but there are only 56"):
        next(open_data(files).batches(57))
    assert len(next(open_data(files).batches(56))) == 56


def test_a_file_of_another_calorimeter_is_refused(tmp_path):
    description = DETECTOR.description
    thicker = {**description["section"]["ECAL"], "sensor_mm": 0.3}
    other = parse_detector({**description, "section": {**description["section"], "ECAL": thicker}}, "other")
    path = write_sparse(tmp_path / "other.h5", 10, detector=other)
    assert len(ShowerData([path], other, "ECAL", SPECIES)) == 10
    with pytest.raises(InputError, match=r"other\.h5.*sensor_mm"):
        open_data([path])


def test_a_file_without_the_section_is_refused(files):
    with pytest.raises(InputError, match=r"a\.h5.*'HCAL'"):
        ShowerData(files, DETECTOR, "HCAL", SPECIES)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.h5"):
        open_data([tmp_path / "none.h5"])
