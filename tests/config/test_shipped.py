# SPDX-License-Identifier: BSD-3-Clause
"""Configurations that come with fastcalo, by their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastcalo.config.shipped import find_configuration, shipped_searches, shipped_trainings
from fastcalo.errors import ConfigError
from fastcalo.training.config import load_config
from fastcalo.training.tune.config import load_tune

ROOT = Path(__file__).parents[2]


def test_all_configurations_of_the_project_have_a_name():
    files = {**shipped_trainings(), **shipped_searches()}
    assert {path.name for path in files.values()} == {path.name for path in (ROOT / "configs").glob("*.toml")}
    assert {"em", "hadron"} <= shipped_trainings().keys()
    assert "tune-em" in shipped_searches()
    for name, path in shipped_trainings().items():
        assert load_config(path).name == name
    for path in shipped_searches().values():
        load_tune(path)


def test_nothing_is_kept_on_disk_unasked():
    assert all(load_config(path).data.cache == "" for path in shipped_trainings().values())


def test_a_file_goes_before_a_name_and_an_unknown_name_is_refused(tmp_path, monkeypatch):
    known = shipped_trainings()
    monkeypatch.chdir(tmp_path)
    assert find_configuration("em", known) == known["em"]
    # a folder of that name is no configuration
    (tmp_path / "em").mkdir()
    assert find_configuration(Path("em"), known) == known["em"]
    (tmp_path / "hadron").write_text("")
    assert find_configuration("hadron", known) == Path("hadron")
    # whatever looks like a path is one
    assert find_configuration("other/em", known) == Path("other/em")
    assert find_configuration("em.toml", known) == Path("em.toml")
    with pytest.raises(ConfigError, match=r"hadrn: there is no such file, and no .* the nearest known one is 'hadron'"):
        find_configuration("hadrn", known)
