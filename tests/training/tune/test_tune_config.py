# SPDX-License-Identifier: BSD-3-Clause
"""Searches described in TOML, and trainings with some of their values replaced."""

import json

import pytest
from helpers.trainings.small_search import BASE, TUNE, write_search

from fastcalo.errors import ConfigError
from fastcalo.training.config import load_config, value_at, with_values
from fastcalo.training.tune.config import load_tune, recorded_tune
from fastcalo.training.tune.space import Choice, Integer, Real


@pytest.fixture
def base(tmp_path):
    write_search(tmp_path)
    return load_config(tmp_path / "base.toml")


def test_a_search_is_read_with_its_defaults(tmp_path, base):
    config, training = load_tune(write_search(tmp_path))
    assert training == base
    assert config.space.dimensions == (
        Real("stage.hits.learning_rate", 1e-4, 1e-2, log=True),
        Integer("network.hit_width", 64, 256),
        Choice("stage.hits.batch", (32, 64, 128)),
    )
    # what a starting point leaves out is the training's own value
    assert config.start == (
        {"stage.hits.learning_rate": 2e-3, "network.hit_width": 100, "stage.hits.batch": 64},
    )  # fmt: skip
    assert (config.trials, config.group_size, config.stopping.rule) == (20, 1, "median")


def test_a_search_survives_json(tmp_path):
    config, training = load_tune(write_search(tmp_path))
    assert recorded_tune(json.loads(json.dumps(config.as_dict())), training, "here") == config


WRONG = [
    ("trials = 20", "", "trials: missing"),
    ("trials = 20", "trails = 20", "trails: unknown key; the nearest known one is 'trials'"),
    ("trials = 20", "trials = 0", "trials: must be at least 1, but is 0"),
    ("trials = 20", "trials = 20\ngroup_size = 0", "group_size: must be at least 1"),
    ("trials = 20", "trials = 20\ntrial_limit_s = 0", "trial_limit_s: must be greater than 0"),
    ('base = "base.toml"', "", "base: missing"),
    ('optimiser = "random"', 'optimiser = "gd"', "optimiser: must be one of 'gp', 'optuna', 'random', but is 'gd'"),
    ('optimiser = "random"', 'design = "grid"', "design: must be one of .* but is 'grid'"),
    ('optimiser = "random"', '[objective]\ndistance = "mean"', "objective.distance: must be one of .* but is 'mean'"),
    ('optimiser = "random"', "[objective]\nfold = 2", "objective.fold: unknown key; the nearest known one is 'folds'"),
    ('optimiser = "random"', "[objective]\nfolds = 0", "objective.folds: must be at least 1"),
    ('optimiser = "random"', '[stopping]\nrule = "mean"', "stopping.rule: must be one of .* but is 'mean'"),
    ('optimiser = "random"', "[stopping]\nreduction = 1", "stopping.reduction: must be at least 2"),
    (
        'network.hit_width" = {',
        'network.hit_widht" = {',
        "network.hit_widht: unknown key; the nearest known one is 'hit_width'",
    ),
    ('network.hit_width" = {', 'netwrk.hit_width" = {', "netwrk: unknown key; the nearest known one is 'network'"),
    ("stage.hits.batch", "stage.adversarial.batch", "stage.adversarial.batch: unknown key; known are layers, hits"),
    ("stage.hits.batch", "stage.hits.batch.0", "stage.hits.batch.0: unknown key"),
    ("stage.hits.batch", "stage.hits", "stage.hits: is more than one value; name one of name, steps"),
    ("stage.hits.batch", "stage.hits.betas", "stage.hits.betas: is more than one value; name one of 0, 1 in it"),
    ("[32, 64, 128]", "[0, 64]", r"space.'stage.hits.batch' = 0: stage.hits.batch: must be at least 1"),
    ("[32, 64, 128]", '["small", "large"]', "stage.hits.batch: must be a whole number, but is 'small'"),
    ("high = 256, integer = true", "high = 256", "network.hit_width: must be a whole number, but is 64.0"),
    ("low = 64", "low = 256", "space.'network.hit_width': can only be 256"),
    ("low = 64", "low = 300", "low = 300.0 is above high = 256.0"),
    (
        '"network.hit_width" = 100',
        '"network.hit_widht" = 100',
        r"start\[0\]: .network.hit_widht.: unknown key",
    ),
    ('"network.hit_width" = 100', '"network.hit_width" = 300', "'network.hit_width' = 300 lies outside the space"),
    ('"network.hit_width" = 100', '"network.hit_width" = 100.0', "'network.hit_width' = 100.0 lies outside"),
    ('"network.hit_width" = 100', '"stage.hits.batch" = 48', "'stage.hits.batch' = 48 lies outside"),
    ('"network.hit_width" = 100', "[[start]]", r"a \[\[start\]\] stands there twice"),
    ("[[start]]", "[start]", "start: must be a list"),
    ("high = 1e-2", "high = 1e-3", r"start\[0\]: 'stage.hits.learning_rate' = 0.002 \(the value of the training's"),
]


@pytest.mark.parametrize(("line", "instead", "reported"), WRONG, ids=[f"{w[1]}"[:40] for w in WRONG])
def test_what_makes_no_sense_is_refused_by_file_and_key(tmp_path, line, instead, reported):
    assert line in TUNE
    with pytest.raises(ConfigError, match=rf"tune\.toml.*{reported}"):
        load_tune(write_search(tmp_path, TUNE.replace(line, instead)))


def test_a_search_needs_a_space_with_enough_points(tmp_path):
    head = TUNE.split("[space]", maxsplit=1)[0]
    with pytest.raises(ConfigError, match="space: missing"):
        load_tune(write_search(tmp_path, head))
    with pytest.raises(ConfigError, match="space: must hold at least 1 value"):
        load_tune(write_search(tmp_path, f"{head}\n[space]\n"))
    with pytest.raises(ConfigError, match="only 3 different points, fewer than trials = 20"):
        load_tune(write_search(tmp_path, f'{head}\n[space]\n"stage.hits.batch" = {{ choices = [32, 64, 128] }}\n'))


def test_a_search_needs_its_training(tmp_path):
    path = write_search(tmp_path, TUNE.replace("base.toml", "none.toml"))
    with pytest.raises(ConfigError, match=r"none\.toml"):
        load_tune(path)
    with pytest.raises(ConfigError, match=r"base\.toml: arch: must be one of 'hits', 'showers', '3dgan', but is 'gan'"):
        load_tune(write_search(tmp_path, base=BASE.replace('arch = "hits"', 'arch = "gan"')))


def test_values_are_replaced_by_their_paths(base):
    some = {"stage.hits.learning_rate": 1e-3, "network.hit_width": 7, "stage.hits.betas.0": 0.7, "seed": 5}
    new = with_values(base, some, "here")
    hits = base.stage[1].updated(learning_rate=1e-3, betas=(0.7, 0.9))
    assert new == base.updated(seed=5, stage=(base.stage[0], hits), network=base.network.updated(hit_width=7))
    assert {key: value_at(new, key, "here") for key in some} == some
    assert value_at(base, "network.hit_width", "here") == 192


def test_values_that_a_training_refuses_are_refused_with_its_message(base):
    with pytest.raises(ConfigError, match=r"^here: stage.hits.learning_rate: must be greater than 0, but is -1"):
        with_values(base, {"stage.hits.learning_rate": -1.0}, "here")
    with pytest.raises(ConfigError, match=r"^here: seeds: unknown key; the nearest known one is 'seed'"):
        with_values(base, {"seeds": 1}, "here")
