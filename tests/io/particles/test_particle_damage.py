# SPDX-License-Identifier: BSD-3-Clause
"""Files of particles that are damaged, cut short or inconsistent: refused, with file, tree and entry."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.files.root_files import write_tree

from fastcalo.errors import ConfigError, InputError
from fastcalo.io.particles.reader import open_events

DEMO = Path(__file__).parents[3] / "examples" / "demo" / "events.root"


FLAT = {"pdg": [22, 11, 22, 211], "px": [1.0, 2.0, 3.0, 4.0], "py": [0.0] * 4, "pz": [0.5] * 4}


# bad input


def test_files_that_are_no_root_files(tmp_path):
    with pytest.raises(InputError, match=r"none\.root: no such file"):
        open_events(tmp_path / "none.root")
    with pytest.raises(InputError, match="is a folder"):
        open_events(tmp_path)
    (tmp_path / "empty.root").touch()
    with pytest.raises(InputError, match="is empty"):
        open_events(tmp_path / "empty.root")
    (tmp_path / "text.root").write_text("pdg px py pz")
    with pytest.raises(InputError, match="is not a ROOT file"):
        open_events(tmp_path / "text.root")
    with pytest.raises(InputError, match="no input file"):
        open_events([])


@pytest.mark.parametrize("part", [0.0001, 0.002, 0.1, 0.5, 0.9, 0.9999])
def test_a_file_cut_short_anywhere_is_refused(tmp_path, part):
    whole = DEMO.read_bytes()
    path = tmp_path / "cut.root"
    path.write_bytes(whole[: max(4, int(part * len(whole)))])
    with pytest.raises(InputError, match="cut short") as caught:
        open_events(path)
    assert str(path) in str(caught.value)


def test_damage_in_the_middle_is_reported_with_tree_and_entries(tmp_path):
    whole = bytearray(DEMO.read_bytes())
    with uproot.open(DEMO) as file:
        start = file["events"]["MCParticles.momentum.x"].member("fBasketSeek")[0]
    whole[start + 100 : start + 2000] = bytes(1900)
    path = tmp_path / "damaged.root"
    path.write_bytes(whole)
    with pytest.raises(
        InputError, match=r"tree 'events', entries 0 to 300, branch 'MCParticles\.momentum\.x' cannot be read"
    ):
        open_events(path)


def test_files_without_a_tree_or_particles(tmp_path):
    with uproot.recreate(tmp_path / "a.root") as file:
        file["note"] = "nothing else"
    with pytest.raises(InputError, match=r"neither a TTree nor an RNTuple; it holds \{'note': 'TObjString'\}"):
        open_events(tmp_path / "a.root")
    write_tree(tmp_path / "b.root", {"pdg": [22], "px": [1.0]})
    with pytest.raises(InputError, match=r"b\.root: tree 'events': no particles found.*pdg, px"):
        open_events(tmp_path / "b.root")


def test_a_later_file_must_be_like_the_first(tmp_path):
    first = write_tree(tmp_path / "a.root", FLAT)
    other = write_tree(tmp_path / "b.root", {**FLAT, "p_x": FLAT["px"], "px": None} | {"px": FLAT["px"]}, "other")
    with pytest.raises(InputError, match=r"b\.root: has no tree 'events'; there is only \['other'\]"):
        open_events([first, other])
    fewer = write_tree(tmp_path / "c.root", {("Px" if name == "px" else name): values for name, values in FLAT.items()})
    with pytest.raises(InputError, match=r"c\.root: tree 'events': has no branch 'px'; the nearest are \['Px'"):
        open_events([first, fewer])


@pytest.mark.parametrize("bad", [[[1.0, 2.0], [3.0]], [[], [1.0, 2.0, 3.0]]])
def test_lists_of_different_lengths_are_reported_with_the_entry(tmp_path, bad):
    branches = {"pdg": [[22], [22, 22]], "px": bad, "py": [[0.0], [0.0, 0.0]], "pz": [[0.0], [0.0, 0.0]]}
    reader = open_events(write_tree(tmp_path / "a.root", branches))
    with pytest.raises(InputError, match=r"entry 0: 'px' has \d values, but 'pdg' has 1"):
        list(reader.iterate(10))


def test_branches_that_are_no_numbers(tmp_path):
    path = tmp_path / "a.root"
    with uproot.recreate(path) as file:
        file.mkrntuple(
            "events", {**{name: np.asarray(x) for name, x in FLAT.items()}, "px": ak.Array(["a", "b", "c", "d"])}
        )
    with pytest.raises(InputError, match="branch 'px' holds string, but a number or a list of numbers"):
        open_events(path)
    with uproot.recreate(path) as file:
        file.mkrntuple("events", {**{name: np.asarray(x) for name, x in FLAT.items()}, "pdg": ak.Array([[[1]]] * 4)})
    with pytest.raises(InputError, match="branch 'pdg' holds var"):
        open_events(path)


def test_an_entry_without_its_event_number(tmp_path):
    branches = {"MCParticles.PDG": [[22], [22]], "EventHeader.eventNumber": ak.Array([[5], []])}
    branches |= {f"MCParticles.momentum.{axis}": [[1.0], [1.0]] for axis in "xyz"}
    reader = open_events(write_tree(tmp_path / "a.root", branches))
    with pytest.raises(InputError, match=r"entry 1: 'EventHeader\.eventNumber' has no value"):
        list(reader.iterate(10))


def test_a_chunk_of_nothing():
    with pytest.raises(ConfigError, match="at least one event"):
        open_events(DEMO).iterate(0)
