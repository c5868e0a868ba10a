# SPDX-License-Identifier: BSD-3-Clause
"""Showers for training: each once an epoch, in an order that only seed and epoch decide, in bounded memory."""

import tracemalloc
from itertools import islice

import h5py
import numpy as np
import pytest
import torch
from helpers.files.shower_files import SAMPLE, write_sparse
from helpers.trainings.tiny_training import tiny_config
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from fastcalo.detector.description import load_detector, parse_detector
from fastcalo.errors import InputError
from fastcalo.io.showers.native import ShowerFile
from fastcalo.training.architectures.hit_lists.conditions import hit_conditions
from fastcalo.training.architectures.hit_lists.gan import geometry_of
from fastcalo.training.config import DataConfig
from fastcalo.training.data.batch_order import BatchOrder
from fastcalo.training.data.layer_stack import LayerStack
from fastcalo.training.data.showers import ShowerData, concatenated_ranges

DETECTOR = load_detector()
ECAL = DETECTOR.section("ECAL")
STACK = LayerStack.of(DETECTOR, ("ECAL",))
SPECIES = (11, -11, 22)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two files, of 34 and 22 showers."""
    folder = tmp_path_factory.mktemp("showers")
    return [write_sparse(folder / "a.h5", 34, seed=1), write_sparse(folder / "b.h5", 22, seed=2)]


def open_data(paths, **options):
    return ShowerData(paths, DETECTOR, ("ECAL",), options.pop("species", SPECIES), **options)


def names(batches):
    """What distinguishes showers, in their order."""
    return np.concatenate([b.kinetic_energy.numpy() for b in batches])


def same(one, other):
    """Whether batches are the same, in all they hold."""
    for a, b in zip(one, other, strict=True):
        for name in a.__dataclass_fields__:
            x, y = getattr(a, name), getattr(b, name)
            assert torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y, name
    return True


def per_epoch(showers, size, pool):
    order = BatchOrder(showers, size, pool, 0)
    return order.steps * order.pieces


sizes = st.integers(1, 20)
pools, blocks = st.integers(1, 80), st.integers(4, 40)


@settings(max_examples=15)
@given(sizes, pools, blocks, st.integers(0, 2**40))
def test_every_shower_comes_once_an_epoch(files, size, pool, block, seed):
    data = open_data(files, seed=seed, pool=pool, block=block)
    assert len(data) == 56
    steps = per_epoch(56, size, pool)
    seen = []
    for epoch in range(2):
        batches = list(islice(data.batches(size, epoch * steps), steps))
        assert {len(b) for b in batches} == {b.size for b in batches} == {size}
        assert len(np.unique(names(batches))) == steps * size
        seen.append(names(batches))
    with ShowerFile(files[0]) as a, ShowerFile(files[1]) as b:
        everything = np.concatenate([a.kinetic_energy(), b.kinetic_energy()])
    if pool < 56:
        # what one epoch leaves out comes in the next
        assert_array_equal(np.unique(np.concatenate(seen)), np.sort(everything))
    else:
        assert np.isin(seen[0], everything).all()


@settings(max_examples=15)
@given(sizes, pools, blocks, blocks, st.integers(1, 5), st.integers(0, 30))
def test_ranks_share_the_batch_of_one(files, size, pool, block, other_block, ranks, start):
    ranks = min(ranks, size)
    alone = list(islice(open_data(files, pool=pool, block=block).batches(size, start), 4))
    data = open_data(files, pool=pool, block=other_block)
    parts = [list(islice(data.batches(size, start, rank, ranks), 4)) for rank in range(ranks)]
    for step, batch in enumerate(alone):
        shares = [part[step] for part in parts]
        for name in ("slot", "kinetic_energy", "direction", "entry", "pdg", "layer_energy", "x", "layer", "deposit"):
            assert torch.equal(torch.cat([getattr(s, name) for s in shares]), getattr(batch, name)), name
        assert {s.size for s in shares} == {size}
        assert_array_equal(batch.slot, np.arange(size))


@settings(max_examples=10)
@given(sizes, pools, blocks, st.integers(0, 60), st.integers(1, 3))
def test_starting_later_is_skipping(files, size, pool, block, start, count):
    straight = islice(open_data(files, pool=pool, block=block).batches(size), start, start + count)
    assert same(straight, islice(open_data(files, pool=pool, block=block).batches(size, start), count))


@settings(max_examples=10)
@given(st.integers(1, 10), pools, st.integers(0, 3))
def test_another_seed_or_epoch_has_another_order(files, size, pool, epoch):
    def order(epoch, seed):
        steps = per_epoch(56, size, pool)
        return names(islice(open_data(files, seed=seed, pool=pool).batches(size, epoch * steps), steps))

    one = order(epoch, 3)
    assert_array_equal(one, order(epoch, 3))
    assert (order(epoch + 2, 3) != one).any()
    assert (order(epoch, 4) != one).any()


@pytest.mark.parametrize(("pool", "ranks"), [(60_000, 1), (700, 1), (60_000, 2)])
def test_batches_are_alike(pool, ranks):
    data = open_data([SAMPLE], seed=6, pool=pool)
    steps = 3 * per_epoch(len(data), 16, pool)
    batches = list(islice(data.batches(16, rank=ranks - 1, ranks=ranks), steps))
    for values in (lambda b: b.kinetic_energy.log(), lambda b: (b.pdg == 22).float()):
        found = torch.stack([values(b) for b in batches])
        assert found.mean(1).std() < 0.65 * found.std() / len(batches[0]) ** 0.5


@pytest.mark.parametrize("pool", [48, 24, 12])
def test_a_rank_reads_its_own_showers_only(tmp_path, pool):
    whole, damaged = (write_sparse(tmp_path / name, 48) for name in ("whole.h5", "damaged.h5"))
    with h5py.File(damaged, "r+") as f:
        first = f["ECAL_offsets"][24]
        f["ECAL_deposit"][first:] = np.nan
    options = {"pool": pool, "block": 7}
    mine = islice(open_data([damaged], **options).batches(4, rank=0, ranks=2), 24)
    assert same(mine, islice(open_data([whole], **options).batches(4, rank=0, ranks=2), 24))
    with pytest.raises(InputError, match=r"damaged\.h5: ECAL_deposit\[\d+\] = nan"):
        next(open_data([damaged], **options).batches(4, rank=1, ranks=2))


@pytest.mark.parametrize(("number", "ranks"), [(7, 2), (2, 7), (1, 14)])
def test_files_and_ranks_of_any_number(tmp_path, number, ranks):
    paths = [write_sparse(tmp_path / f"{i}.h5", 56 // number, seed=i) for i in range(number)]
    data = open_data(paths, pool=28, block=5)
    seen = np.concatenate([names(islice(data.batches(14, rank=r, ranks=ranks), 4)) for r in range(ranks)])
    assert len(np.unique(seen)) == 56


@settings(max_examples=30)
@given(st.integers(1, 70), blocks)
def test_a_sample_is_spread_over_the_files(files, count, block):
    sample = open_data(files, block=block).sample(count)
    assert len(sample) == sample.size == len(np.unique(sample.kinetic_energy)) == min(count, 56)
    # 34 are in the first file, whose energies are below 3 GeV
    assert (sample.kinetic_energy < 3.0).sum() == pytest.approx(min(count, 56) * 34 / 56, abs=1)


def test_a_large_sample_is_read_in_runs():
    data = open_data([SAMPLE])
    sample = data.sample(1000)
    with ShowerFile(SAMPLE) as f:
        energy = f.kinetic_energy()
    place = np.flatnonzero(np.isin(energy, sample.kinetic_energy.numpy()))
    assert len(place) == 1000
    assert_array_equal(energy[place], sample.kinetic_energy)
    assert np.abs(place - np.arange(1000) * len(energy) / 1000).max() < len(energy) / 100


def test_prepared_pieces_are_kept_on_disk(tmp_path, files, caplog):
    def batches(**options):
        return list(islice(open_data(files, pool=20, **options).batches(5), 25))

    cache = tmp_path / "cache"
    plain = batches()
    assert same(plain, batches(cache=cache))
    stamps = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert same(plain, batches(cache=cache, block=7))
    assert stamps == {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert not caplog.records


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
    offset = STACK.offsets(batch.direction.numpy(), batch.entry.numpy())
    d = np.stack([batch.x, batch.y], 1) - offset[batch.row, batch.layer]
    group, distance = (batch.row * ECAL.layers + batch.layer).numpy(), (d**2).sum(1)
    assert (np.diff(group) >= 0).all()
    inside = np.diff(group) == 0
    assert inside.sum() > 1000
    assert (np.diff(distance)[inside] >= -1e-9).all()


def test_offsets_are_those_that_the_networks_see():
    batch = next(open_data([SAMPLE]).batches(300))
    geometry = geometry_of(tiny_config(DataConfig(train=("none.h5",))))
    seen = hit_conditions(geometry, batch.kinetic_energy, batch.direction, batch.entry, batch.pdg).offset_BL2.numpy()
    offset = STACK.offsets(batch.direction.numpy(), batch.entry.numpy())
    # single precision decides otherwise only where the line crosses an edge
    off = np.abs(seen - offset)
    assert (np.minimum(off, 1 - off) < 1e-4).all()
    assert (np.abs(seen) <= 0.5 + 1e-4).all()


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), max_size=20))
def test_ranges_are_those_of_python(pairs):
    start, count = np.array(pairs, np.int64).reshape(-1, 2).T
    wanted = [i for s, c in pairs for i in range(s, s + c)]
    assert_array_equal(concatenated_ranges(start, count), wanted)


def test_memory_is_bounded_by_the_share_of_the_pool():
    def peak(pool, ranks=1):
        data = open_data([SAMPLE], pool=pool, block=50)
        tracemalloc.start()
        try:
            for _ in islice(data.batches(10, ranks=ranks), 120):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(100)
    everything = peak(1200)
    assert peak(100) < 0.6 * everything
    assert peak(1200, ranks=5) < 0.6 * everything


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


def test_more_ranks_than_slots_are_refused(files):
    with pytest.raises(InputError, match="a batch of 4 showers cannot be shared by 5 ranks"):
        open_data(files).batches(4, ranks=5)


def test_a_file_of_another_calorimeter_is_refused(tmp_path):
    description = DETECTOR.description
    thicker = {**description["section"]["ECAL"], "sensor_mm": 0.3}
    other = parse_detector({**description, "section": {**description["section"], "ECAL": thicker}}, "other")
    path = write_sparse(tmp_path / "other.h5", 10, detector=other)
    assert len(ShowerData([path], other, ("ECAL",), SPECIES)) == 10
    with pytest.raises(InputError, match=r"other\.h5.*sensor_mm"):
        open_data([path])


def test_a_file_without_the_section_is_refused(files):
    with pytest.raises(InputError, match=r"a\.h5.*'HCAL'"):
        ShowerData(files, DETECTOR, ("HCAL",), SPECIES)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.h5"):
        open_data([tmp_path / "none.h5"])
