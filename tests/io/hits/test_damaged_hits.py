# SPDX-License-Identifier: BSD-3-Clause
"""Files of hits whose tree lacks what the file states of itself: ROOT keeps no checksum of a tree's description."""

import pytest
from helpers.files.hit_files import Content

from fastcalo import compare, open_hits
from fastcalo.errors import InputError


def fewer_events(content):
    content.provenance["accounts"]["events"] = 7


def no_section(content):
    del content.lists["HCAL"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (fewer_events, "has 5 entries, but the file states that it has 7 events: it is damaged"),
        (no_section, "has no branches of HCAL, though the file states that it has hits of ECAL, HCAL: it is damaged"),
    ],
)
def test_a_tree_that_lacks_events_or_sections_is_refused(tmp_path, spoil, message):
    content = Content(5)
    spoil(content)
    path = content.write(tmp_path / "hits.root")
    with pytest.raises(InputError, match=message):
        open_hits(path)
    with pytest.raises(InputError, match=message):
        compare(path, path)


def test_a_tree_that_has_them_is_read(tmp_path):
    content = Content(5)
    content.provenance["accounts"]["events"] = 5
    with open_hits(content.write(tmp_path / "hits.root")) as file:
        assert file.read().n_events == 5


def test_reading_all_at_once_is_refused_before_memory_runs_out(tmp_path, monkeypatch):
    path = Content(60).write(tmp_path / "hits.root")
    monkeypatch.setattr("fastcalo.system.memory.available_bytes", lambda: 10_000)
    with open_hits(path) as file:
        with pytest.raises(
            InputError, match=r"all 60 events at once needs about .* of memory, but 1e-05 GB are left: .*iterate"
        ):
            file.read()
        # in steps they fit
        assert sum(hits.n_events for hits in file.iterate(20)) == 60
