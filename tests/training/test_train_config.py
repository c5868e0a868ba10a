"""Configurations of trainings: what is there is read, what makes no sense is refused by file and key."""

import dataclasses
import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastcalo.errors import ConfigError
from fastcalo.training.config import (
    ARCHITECTURES,
    NetworkConfig,
    StageConfig,
    TrainConfig,
    cache_folder,
    data_paths,
    from_dict,
    load_config,
)

CONFIGS = Path(__file__).parents[2] / "configs"
HADRONS = {211, -211, 130, 2112, 2212}
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
    assert config.stage[0] == StageConfig("layers", 10)
    assert config.network == NetworkConfig()
    assert (config.detector, config.sections) == ("clic-like", ("ECAL",))


@pytest.mark.parametrize(
    "path", sorted(p for p in CONFIGS.glob("*.toml") if not p.name.startswith("tune-")), ids=lambda p: p.name
)
def test_shipped_configurations_are_sound(path):
    config = load_config(path)
    assert config.name == path.stem
    assert set(config.species) == HADRONS if path.stem == "hadron" else {11, -11, 22}
    # every stage of the architecture, in its order
    assert tuple(s.name for s in config.stage) == ARCHITECTURES[config.arch]


def test_a_configuration_survives_json(tmp_path):
    config = load(tmp_path, GOOD)
    assert from_dict(TrainConfig, json.loads(json.dumps(config.as_dict())), "here") == config


# line of the good file, what stands in its place, and what must be told
WRONG = [
    ('name = "small"', "", "key 'name' is missing"),
    ('name = "small"', "name = 3", "'name' must be of type str, not 3"),
    ('arch = "hits"', 'arch = "gan"', "arch = 'gan' is unknown; choose one of hits, 3dgan"),
    ('arch = "hits"', 'arch = "3dgan"', "stage 'layers' is unknown to arch '3dgan'"),
    ("species = [11, 22]", "specie = [11, 22]", "unknown key 'specie'; did you mean 'species'?"),
    ("species = [11, 22]", "species = 11", "'species' must be a list, not 11"),
    ("species = [11, 22]", 'species = [11, "gamma"]', r"'species\[1\]' must be of type int, not 'gamma'"),
    ("species = [11, 22]", "species = [true]", r"'species\[0\]' must be of type int, not True"),
    ("species = [11, 22]", "species = []", "species must hold PDG numbers"),
    ("species = [11, 22]", "species = [11, 11]", "species must hold PDG numbers, each once"),
    (
        "species = [11, 22]",
        "species = [11]\nsections = []",
        r"sections must hold names of sections, each once, not \[\]",
    ),
    (
        "species = [11, 22]",
        "species = [11]\nsections = ['ECAL', 'ECAL']",
        "sections must hold names of sections, each once",
    ),
    ("species = [11, 22]", "species = [11]\nsection = 'ECAL'", "unknown key 'section'; did you mean 'sections'?"),
    ("species = [11, 22]", "species = [11]\nseed = -1", "seed must be at least 0, not -1"),
    ("species = [11, 22]", "species = [11]\nseed = 1.0", "'seed' must be of type int, not 1.0"),
    ("species = [11, 22]", "species = [11]\nthreads = -1", "threads must be at least 0"),
    ("species = [11, 22]", "species = [11]\ndata = 3", "not valid TOML"),
    ('train = ["a.h5", "b.h5"]', "train = []", "data.train must not be empty"),
    ('train = ["a.h5", "b.h5"]', 'train = "a.h5"', "'data.train' must be a list, not 'a.h5'"),
    ('train = ["a.h5", "b.h5"]', "", "key 'data.train' is missing"),
    ('train = ["a.h5", "b.h5"]', 'train = ["a.h5"]\npool = 0', "data.pool must be at least 1, not 0"),
    ('train = ["a.h5", "b.h5"]', 'train = ["a.h5"]\npol = 9', "unknown key 'data.pol'; did you mean 'pool'?"),
    ("[data]", "[data2]", "unknown key 'data2'; did you mean 'data'?"),
    ("kinetic_energy = [1, 50.0]", "kinetic_energy = [50, 1]", "validity.kinetic_energy must be"),
    ("kinetic_energy = [1, 50.0]", "kinetic_energy = [0, 1]", "validity.kinetic_energy must be"),
    ("kinetic_energy = [1, 50.0]", "kinetic_energy = [1, inf]", r"'validity.kinetic_energy\[1\]' must be a finite"),
    ("kinetic_energy = [1, 50.0]", "kinetic_energy = [1]", "'validity.kinetic_energy' must hold 2 values, not 1"),
    ("kinetic_energy = [1, 50.0]", "angle_degrees = 90", "validity.angle_degrees must be between"),
    ("kinetic_energy = [1, 50.0]", "[network]\nhit_width = 0", "network.hit_width must be at least 1, not 0"),
    ("kinetic_energy = [1, 50.0]", "[network]\nwidth = 3", "unknown key 'network.width'"),
    ("steps = 10", "step = 10", r"unknown key 'stage\[0\].step'; did you mean 'steps'?"),
    ("steps = 10", "", r"key 'stage\[0\].steps' is missing"),
    ("steps = 10", "steps = 0", "stage 'layers': steps must be at least 1, not 0"),
    ("steps = 10", "steps = 1e3", r"'stage\[0\].steps' must be of type int, not 1000.0"),
    ("[data]", 'device = "gpu"\n[data]', "device = 'gpu' is unknown; choose auto, cpu, cuda"),
    ("[data]", "device = 0\n[data]", "'device' must be of type str, not 0"),
    ("[data]", "[data]\ncache = 1", "'data.cache' must be of type str, not 1"),
    ("steps = 10", "steps = 9\naccumulate = 0", "stage 'layers': accumulate must be at least 1, not 0"),
    ("steps = 10", "steps = 9\naccumulate = 65", "stage 'layers': accumulate = 65 is more than batch = 64"),
    ("steps = 10", "steps = 9\nbatch = 0", "stage 'layers': batch must be at least 1, not 0"),
    ("steps = 10", "steps = 9\nema = 1.0", "stage 'layers': ema must be at least 0 and less than 1"),
    ("steps = 10", "steps = 9\nlearning_rate = 0", "stage 'layers': learning_rate must be positive"),
    ("steps = 10", "steps = 9\nlearning_rate = nan", r"'stage\[0\].learning_rate' must be a finite number"),
    ("steps = 10", "steps = 9\nlearning_rate = -inf", r"'stage\[0\].learning_rate' must be a finite number"),
    ("steps = 10", "steps = 9\ncritic_rate = -1", "stage 'layers': critic_rate must be positive"),
    ("steps = 10", "steps = 9\nclip = 0", "stage 'layers': clip must be positive"),
    ("steps = 10", "steps = 9\nweight_decay = -1", "stage 'layers': weight_decay must be at least 0"),
    ("steps = 10", "steps = 9\nanneal = 1", r"'stage\[0\].anneal' must be of type bool, not 1"),
    ("betas = [0.5, 0.9]", "betas = [0.5, 1.0]", "stage 'hits': betas must be at least 0 and less than 1"),
    ("betas = [0.5, 0.9]", "betas = [0.5, 0.9, 0.9]", r"'stage\[1\].betas' must hold 2 values, not 3"),
    ("betas = [0.5, 0.9]", "critic_betas = [-1, 0]", "stage 'hits': critic_betas must be at least 0"),
    ('name = "hits"', 'name = "layers"', "a stage stands there twice"),
    ('name = "hits"', 'name = "hit"', "stage 'hit' is unknown to arch 'hits'; it has layers, hits, adversarial"),
    ("[[stage]]", "[[stages]]", "unknown key 'stages'; did you mean 'stage'?"),
]


@pytest.mark.parametrize(("line", "instead", "told"), WRONG, ids=[f"{w[1]}"[:30] for w in WRONG])
def test_what_makes_no_sense_is_refused_by_file_and_key(tmp_path, line, instead, told):
    assert line in GOOD
    with pytest.raises(ConfigError, match=rf"run\.toml.*{told}"):
        load(tmp_path, GOOD.replace(line, instead))


def test_without_stages_there_is_nothing_to_train(tmp_path):
    head = GOOD.split("[[stage]]", maxsplit=1)[0]
    with pytest.raises(ConfigError, match=r"key 'stage' is missing"):
        load(tmp_path, head)
    with pytest.raises(ConfigError, match=r"no \[\[stage\]\]"):
        load(tmp_path, f"stage = []\n{head}")
    with pytest.raises(ConfigError, match="'stage' must be a list"):
        load(tmp_path, f"{head}\n[stage]\nname = 'layers'")


@pytest.mark.parametrize("text", ["name = ", "= 3", "[data\n", "name = 'a'\nname = 'b'", "\x00"])
def test_a_file_that_is_not_toml_is_told(tmp_path, text):
    with pytest.raises(ConfigError, match=r"run\.toml is not valid TOML"):
        load(tmp_path, text)


def test_a_file_that_is_not_there_or_no_text_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml"):
        load_config(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(ConfigError, match=r"bytes\.toml"):
        load_config(tmp_path / "bytes.toml")
    with pytest.raises(ConfigError, match="directory"):
        load_config(tmp_path)


scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text("ab", max_size=3)
values = st.recursive(scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text("ab"), v, max_size=2))


@given(st.sampled_from([f.name for f in dataclasses.fields(TrainConfig)]), values)
def test_whatever_a_key_holds_is_read_or_refused_by_its_name(key, value):
    table = tomllib.loads(GOOD) | {key: value}
    try:
        config = from_dict(TrainConfig, table, "here")
    except ConfigError as error:
        assert key in str(error)  # noqa: PT017 - reading it without complaint is fine too
    else:
        assert from_dict(TrainConfig, json.loads(json.dumps(config.as_dict())), "here") == config


# --- paths


def test_the_folder_of_the_cache_is_made_where_variables_say(tmp_path, monkeypatch):
    monkeypatch.setenv("NODE", str(tmp_path))
    assert cache_folder("", "run.toml") is None
    for text in ("$NODE/a/b", "${NODE}/a/b"):
        assert cache_folder(text, "run.toml") == tmp_path / "a" / "b"
    assert (tmp_path / "a" / "b").is_dir()
    assert not list((tmp_path / "a" / "b").iterdir())


@pytest.mark.parametrize("text", ["$NODE/file", "$NODE/file/below", "/proc/none"])
def test_a_cache_that_cannot_be_written_to_is_told(tmp_path, monkeypatch, text):
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
    ("text", "told"),
    [
        ("none*.h5", r"there is no file none\*\.h5"),
        ("$NO_SUCH_VARIABLE/a.h5", "environment variable that is not set"),
        ("none.h5", "there is no file none.h5"),
        ("~nobody-of-this-name/a.h5", "there is no file"),
        (".", "there is no file"),
    ],
)
def test_paths_that_lead_nowhere_are_told(text, told, monkeypatch):
    monkeypatch.delenv("NO_SUCH_VARIABLE", raising=False)
    with pytest.raises(ConfigError, match=rf"run\.toml: .*{told}"):
        data_paths((text,), "run.toml")
