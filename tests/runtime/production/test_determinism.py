# SPDX-License-Identifier: BSD-3-Clause
"""The same seed gives the same file of hits, however the work is cut up; see `alike` for what may differ."""

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.files.hits_equal import Found, assert_alike
from helpers.files.root_files import plain, write_tree
from numpy.testing import assert_array_equal

from fastcalo.detector.description import load_detector
from fastcalo.production.convert import convert
from fastcalo.simulation.fast import FastSimulation


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("input") / "events.root", plain(n_events=150, per_event=4, seed=3))


@pytest.fixture(scope="module")
def simulate(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hits")

    def run(name, threads=1, **options):
        output = folder / f"{name}.root"
        convert(source, output, FastSimulation(load_detector(), "em", threads=threads), **{"seed": 5, **options})
        return uproot.open(output)["Events"].arrays()

    return run


@pytest.fixture(scope="module")
def first(simulate):
    return simulate("first")


def hits(events):
    ids = events["ECAL_cell_id"]
    event = np.repeat(np.arange(len(ids)), ak.num(ids))
    return Found(event, *(ak.to_numpy(ak.flatten(events[name])) for name in ("ECAL_cell_id", "ECAL_energy")))


@pytest.mark.parametrize(
    "options",
    [{"step_size": 10}, {"step_size": 1000}, {"step_size": 1}, {"workers": 2, "step_size": 40}, {"threads": 2}],
    ids=["step of 10", "step of 1000", "step of 1", "2 workers", "2 threads"],
)
def test_however_the_work_is_cut_up_the_hits_are_the_same(simulate, first, options):
    other = simulate("-".join(f"{k}{v}" for k, v in options.items()), **options)
    assert_array_equal(first["event"], other["event"])
    assert_alike(hits(first), hits(other))


def test_the_same_again_is_the_same_to_the_bit(simulate, first):
    again = simulate("again")
    assert first.fields == again.fields
    for name in first.fields:
        assert ak.array_equal(first[name], again[name]), name


def test_another_seed_gives_other_hits(simulate, first):
    other = simulate("other", seed=6)
    assert len(np.intersect1d(hits(first).key, hits(other).key)) < 0.7 * len(hits(first).key)
    with pytest.raises(AssertionError, match="events differ"):
        assert_alike(hits(first), hits(other))


def test_what_is_compared_can_fail(first):
    found = hits(first)
    assert len(found.cell) > 10_000
    assert_alike(found, found._replace(energy=found.energy * np.float32(1 + 5e-6)))
    with pytest.raises(AssertionError, match="events differ"):
        assert_alike(found, found._replace(energy=found.energy * np.float32(1.001)))
    moved = found.cell.copy()
    moved[::20] += np.uint64(1)
    with pytest.raises(AssertionError, match="events differ"):
        assert_alike(found, found._replace(cell=moved))
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_alike(found, found._replace(energy=found.energy * np.float32(1 + 8e-5)))
