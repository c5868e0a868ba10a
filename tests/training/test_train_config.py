# SPDX-License-Identifier: BSD-3-Clause
"""Configurations of trainings: what is there is read, what makes no sense is refused by file and key."""

import json
import tomllib
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastcalo.config.validation import models_in
from fastcalo.errors import ConfigError
from fastcalo.training.architectures.hits.config import HitsNetworkConfig, HitsTrainConfig, LayersStageConfig
from fastcalo.training.config import cache_folder, data_paths, load_config, read_config

CONFIGS = Path(__file__).parents[2] / "configs"
HADRONS = {211, -211, 321, -321, 130, 2112, -2112, 2212, -2212}
GOOD = """
name = "small"
arch = "hits"
species = [11, 22]

[data]
train = ["a.h5", "b.h5"]

[validity]
kinetic_energy = [1, 50.0]

[[stage]]
name = "layers"
steps = 10

[[stage]]
name = "hits"
steps = 20
betas = [0.5, 0.9]
"""


def load(tmp_path, text):
    path = tmp_path / "run.toml"
    path.write_text(text)
    return load_config(path)


def test_a_configuration_is_read_with_its_defaults(tmp_path):
    config = load(tmp_path, GOOD)
    assert config.species == (11, 22)
    assert config.data.train == ("a.h5", "b.h5")
    # integers may stand for floats
    assert config.validity.kinetic_energy == (1.0, 50.0)
    assert isinstance(config.validity.kinetic_energy[0], float)
    assert [s.name for s in config.stage] == ["layers", "hits"]
    assert config.stage[1].betas == (0.5, 0.9)
    assert config.stage[0] == LayersStageConfig(name="layers", steps=10)
    assert config.network == HitsNetworkConfig()
    assert (config.detector, config.sections) == ("clic-like", ("ECAL",))


@pytest.mark.parametrize(
    "path", sorted(p for p in CONFIGS.glob("*.toml") if not p.name.startswith("tune-")), ids=lambda p: p.name
)
def test_shipped_configurations_are_sound(path):
    config = load_config(path)
    assert config.name == path.stem
    if path.stem.startswith(("em", "hadron")):
        assert set(config.species) == (HADRONS if path.stem.startswith("hadron") else {11, -11, 22})
    # stages of the architecture in its order: all of them, but where one training goes on with another
    known = [
        get_args(m.model_fields["name"].annotation)[0] for m in models_in(type(config).model_fields["stage"].annotation)
    ]
    if getattr(config.network, "candidates", 1) == 1:
        # there is nothing to choose from
        known = [name for name in known if name not in ("choice", "contrastive")]
    stages = [s.name for s in config.stage]
    # what energies a critic would correct, a short training leaves to the likelihood
    known = [name for name in known if name != "energies" or name in stages]
    assert stages == [name for name in known if name in stages]
    assert stages == known or path.stem in ("em-windows", "em", "hadron-windows")


def test_a_configuration_survives_json(tmp_path):
    config = load(tmp_path, GOOD)
    assert read_config(json.loads(json.dumps(config.as_dict())), "here") == config


def test_without_stages_there_is_nothing_to_train(tmp_path):
    head = GOOD.split("[[stage]]", maxsplit=1)[0]
    with pytest.raises(ConfigError, match=r"run\.toml: stage: missing"):
        load(tmp_path, head)
    with pytest.raises(ConfigError, match=r"run\.toml: stage: must hold at least 1 value, but is \[\]"):
        load(tmp_path, f"stage = []\n{head}")
    with pytest.raises(ConfigError, match=r"run\.toml: stage: must be a list, but is"):
        load(tmp_path, f"{head}\n[stage]\nname = 'layers'")


@pytest.mark.parametrize("text", ["name = ", "= 3", "[data\n", "name = 'a'\nname = 'b'", "\x00"])
def test_a_file_that_is_not_toml_is_reported(tmp_path, text):
    with pytest.raises(ConfigError, match=r"run\.toml: is not valid TOML"):
        load(tmp_path, text)


def test_a_file_that_is_not_there_or_no_text_is_reported(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml"):
        load_config(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(ConfigError, match=r"bytes\.toml"):
        load_config(tmp_path / "bytes.toml")
    with pytest.raises(ConfigError, match="directory"):
        load_config(tmp_path)


scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text("ab", max_size=3)
values = st.recursive(scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text("ab"), v, max_size=2))


@given(st.sampled_from(list(HitsTrainConfig.model_fields)), values)
def test_whatever_a_key_holds_is_read_or_refused_by_its_name(key, value):
    table = tomllib.loads(GOOD) | {key: value}
    try:
        config = read_config(table, "here")
    except ConfigError as error:
        assert key in str(error)  # noqa: PT017 - reading it without complaint is fine too
    else:
        assert read_config(json.loads(json.dumps(config.as_dict())), "here") == config


# --- paths


def test_the_folder_of_the_cache_is_made_where_variables_point(tmp_path, monkeypatch):
    monkeypatch.setenv("NODE", str(tmp_path))
    assert cache_folder("", "run.toml") is None
    for text in ("$NODE/a/b", "${NODE}/a/b"):
        assert cache_folder(text, "run.toml") == tmp_path / "a" / "b"
    assert (tmp_path / "a" / "b").is_dir()
    assert not list((tmp_path / "a" / "b").iterdir())


@pytest.mark.parametrize("text", ["$NODE/file", "$NODE/file/below", "/proc/none"])
def test_a_cache_that_cannot_be_written_to_is_reported(tmp_path, monkeypatch, text):
    monkeypatch.setenv("NODE", str(tmp_path))
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"run\.toml: data\.cache = '.*': cannot write to /.*: .*; name a folder"):
        cache_folder(text, "run.toml")
    monkeypatch.delenv("NODE")
    if "$" in text:
        with pytest.raises(ConfigError, match="environment variable that is not set"):
            cache_folder(text, "run.toml")


def test_variables_and_homes_are_filled_in(tmp_path, monkeypatch):
    (tmp_path / "a.h5").touch()
    monkeypatch.setenv("SHOWERS", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    wanted = [tmp_path / "a.h5"]
    for text in ("$SHOWERS/a.h5", "${SHOWERS}/a.h5", "~/a.h5", str(tmp_path / "a.h5")):
        assert data_paths((text,), "run.toml") == wanted


def test_patterns_stand_for_files_in_order_of_their_names(tmp_path, monkeypatch):
    for name in ("b.h5", "a.h5", "a_1.h5", "a[1].h5", "c.root"):
        (tmp_path / name).touch()
    (tmp_path / "a_2.h5").mkdir()
    monkeypatch.setenv("SHOWERS", str(tmp_path))

    def found(*texts):
        return [path.name for path in data_paths(texts, "run.toml")]

    assert found("$SHOWERS/*.h5") == ["a.h5", "a[1].h5", "a_1.h5", "b.h5"]
    assert found("$SHOWERS/a_?.h5", "$SHOWERS/c.root") == ["a_1.h5", "c.root"]
    assert found("$SHOWERS/a[1].h5") == ["a[1].h5"]
    assert found("$SHOWERS/a_*.h5", "$SHOWERS/a_1.h5") == ["a_1.h5"]


def test_a_folder_is_no_pattern(tmp_path):
    folder = tmp_path / "run[1]"
    folder.mkdir()
    (folder / "a.h5").touch()
    assert data_paths((f"{folder}/*.h5",), "run.toml") == [folder / "a.h5"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("none*.h5", r"there is no file none\*\.h5"),
        ("$NO_SUCH_VARIABLE/a.h5", "environment variable that is not set"),
        ("none.h5", "there is no file none.h5"),
        ("~nobody-of-this-name/a.h5", "there is no file"),
        (".", "there is no file"),
    ],
)
def test_paths_that_lead_nowhere_are_reported(text, message, monkeypatch):
    monkeypatch.delenv("NO_SUCH_VARIABLE", raising=False)
    with pytest.raises(ConfigError, match=rf"run\.toml: .*{message}"):
        data_paths((text,), "run.toml")
