# SPDX-License-Identifier: BSD-3-Clause
"""Files appear under their name when they are whole, and nobody's file is lost."""

import errno
import os

import pytest

from fastcalo.errors import OutputError
from fastcalo.io.atomic import whole_file


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write(path, **options):
    with whole_file(path, **options) as temporary:
        temporary.write_text("mine")


def write_second(path, **options):
    """Another process writes the same file first."""
    with whole_file(path, **options) as temporary:
        temporary.write_text("mine")
        path.write_text("theirs")


def test_a_file_that_appears_in_the_meantime_is_not_replaced_and_the_new_one_is_kept(tmp_path):
    path = tmp_path / "hits.root"
    with pytest.raises(OutputError, match=r"hits\.root: was written by another process in the meantime; .* kept as "):
        write_second(path)
    assert path.read_text() == "theirs"
    kept = [name for name in names(tmp_path) if name != "hits.root"]
    assert len(kept) == 1
    assert kept[0].startswith("hits.")
    assert kept[0].endswith(".root")
    assert (tmp_path / kept[0]).read_text() == "mine"


def test_it_is_replaced_where_that_is_asked_for(tmp_path):
    path = tmp_path / "hits.root"
    write_second(path, overwrite=True)
    assert path.read_text() == "mine"
    assert names(tmp_path) == ["hits.root"]


def test_nothing_is_kept_where_that_is_not_wanted(tmp_path):
    path = tmp_path / "config.json"
    with pytest.raises(OutputError, match="by another process"):
        write_second(path, keep=False)
    assert path.read_text() == "theirs"
    assert names(tmp_path) == ["config.json"]


@pytest.mark.parametrize("taken", [False, True])
def test_a_file_system_without_links_does_the_same(tmp_path, monkeypatch, taken):
    def no_links(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "hits.root"
    if not taken:
        write(path)
        assert path.read_text() == "mine"
        assert names(tmp_path) == ["hits.root"]
        return
    with pytest.raises(OutputError, match="by another process"):
        write_second(path)
    assert path.read_text() == "theirs"
    assert len(names(tmp_path)) == 2


def test_file_and_folder_are_on_the_disk_at_the_end(tmp_path, monkeypatch):
    synced = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.path.realpath(f"/proc/self/fd/{fd}")), real(fd))[1])
    with whole_file(tmp_path / "a") as temporary:
        temporary.write_text("mine")
    assert synced == [str(temporary), str(tmp_path)]
