# SPDX-License-Identifier: BSD-3-Clause
"""Branches that hold something else than their names say."""

from __future__ import annotations

import numpy as np
import pytest
import uproot
from helpers.files.root_files import write_tree
from numpy.testing import assert_allclose, assert_array_equal

from fastcalo import open_events
from fastcalo.errors import InputError

MOMENTA = {"px": [[5.0, 3.0]], "py": [[0.1, 0.2]], "pz": [[0.3, 0.4]]}
CODES = {"pdg": [[22, 211]]}


def polar(pt, phi):
    return CODES | {"pt": [pt], "eta": [[0.0, 0.0]], "phi": [phi]}


def test_azimuths_in_degrees_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"a.root: tree 'events': 'phi' goes up to 180; .*radians"):
        open_events(write_tree(tmp_path / "a.root", polar([5.0, 5.0], [90.0, 180.0])))
    # a whole turn is one in radians
    (events,) = open_events(write_tree(tmp_path / "b.root", polar([5.0, 5.0], [0.0, 2 * np.pi]))).iterate()
    assert_allclose(events.momentum, [[5, 0, 0], [5, 0, 0]], atol=1e-12)


def test_transverse_momenta_with_the_sign_of_the_charge_are_refused(tmp_path):
    with pytest.raises(InputError, match="'pt' is negative for 50% of the particles"):
        open_events(write_tree(tmp_path / "a.root", polar([5.0, -5.0], [0.0, 1.0])))


def test_directions_beside_energies_are_refused(tmp_path):
    directions = CODES | {"px": [[1.0, 0.0]], "py": [[0.0, 0.6]], "pz": [[0.0, 0.8]]}
    with pytest.raises(InputError, match="px, py, pz are directions, of length one, beside other energies"):
        open_events(write_tree(tmp_path / "a.root", directions | {"energy": [[20.0, 30.0]]}))
    # particles of 1 GeV/c have such lengths, too: E = (1 + 0.93827^2)^(1/2)
    gun = directions | {"pdg": [[22, 2212]], "energy": [[1.0, 1.37125]]}
    (events,) = open_events(write_tree(tmp_path / "b.root", gun)).iterate()
    assert_allclose(events.momentum[1], [0, 0.6, 0.8])


@pytest.mark.parametrize("kind", [np.uint32, np.uint64])
def test_codes_of_antiparticles_in_unsigned_types(tmp_path, kind):
    codes = np.array([-11, 22, -2212], np.int64).astype(kind)
    columns = {"pdg": codes, **{f"p{axis}": np.ones(3) for axis in "xyz"}}
    (events,) = open_events(write_tree(tmp_path / "a.root", columns)).iterate()
    assert_array_equal(events.pdg, [-11, 22, -2212])


def test_numbers_of_events_that_single_precision_does_not_hold_are_refused(tmp_path):
    columns = {name: 2 * values for name, values in (CODES | MOMENTA).items()}
    held = columns | {"event": np.array([2**24 - 2, 2**24 - 1], np.float32)}
    (events,) = open_events(write_tree(tmp_path / "a.root", held)).iterate()
    assert_array_equal(events.event, [16777214, 16777215])
    # 2^24 + 1 is stored as 2^24
    lost = columns | {"event": np.array([2**24, 2**24 + 1], np.float32)}
    with pytest.raises(InputError, match=r"'event' goes beyond 16777216 in float32.*--branch event=none"):
        next(open_events(write_tree(tmp_path / "b.root", lost)).iterate())


def test_vertices_that_stand_for_none_are_reported(tmp_path):
    columns = CODES | MOMENTA | {f"v{axis}": [[-999.0, 1.0]] for axis in "xyz"}
    (note,) = open_events(write_tree(tmp_path / "a.root", columns)).notes
    assert "1 of 2 particles start at (-999, -999, -999)" in note
    assert "--branch vx=none --branch vy=none --branch vz=none" in note


@pytest.mark.parametrize("left_over", [True, False])
def test_arrays_of_fixed_size_that_are_not_filled_are_reported(tmp_path, left_over):
    codes = np.array([[22, 211, 22], [22, 211 * left_over, 22 * left_over]], np.int32)
    columns = {"npart": np.array([3, 1], np.int32), "pdg": codes}
    columns |= {f"p{axis}": np.where(codes != 0, 2.0, 0.0) for axis in "xyz"}
    with uproot.recreate(tmp_path / "a.root") as file:
        file.mktree("events", {name: (column.dtype, column.shape[1:]) for name, column in columns.items()})
        file["events"].extend(columns)
    notes = open_events(tmp_path / "a.root").notes
    assert [("'npart' is less in 1 of 2 entries: 2 particles" in note) for note in notes] == [True] * left_over
