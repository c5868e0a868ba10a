# SPDX-License-Identifier: BSD-3-Clause
"""Configurations that fastcalo wrote, perhaps long ago, and those made in Python."""

import json

import pytest
from helpers.trainings.small_search import BASE, TUNE

from fastcalo.errors import ConfigError, TrainingError
from fastcalo.training.architectures.hits.config import HitsNetworkConfig, LayersStageConfig
from fastcalo.training.config import EasgdConfig, GemConfig, read_config, recorded_config, with_values
from fastcalo.training.run.run_folder import open_run
from fastcalo.training.tune.config import load_tune

EVERY_STAGE = {
    "accumulate": 1, "final_rate": 1e-05, "warmup": 5, "weight_decay": 0.0, "betas": [0.9, 0.999], "clip": 1.0,
    "ema": 0.9, "anneal": True, "critic_rate": 0.0004, "critic_betas": [0.0, 0.99], "critic_only": 250,
    "adversarial_weight": 0.3,
    "gradient_penalty": 0.5, "penalty_every": 8, "latent_start": 700, "latent_ramp": 1200, "energy_weight": 1.0,
    "angle_weight": 1.0, "sum_weight": 0.1, "evaluate_every": 40, "checkpoint_every": 10,
}  # fmt: skip
RECORDED = {
    "name": "small", "arch": "hits", "species": [11],
    "data": {"train": ["a.h5"], "test": [], "pool": 60000, "cache": ""},
    "stage": [{"name": name, "steps": 40, **EVERY_STAGE} for name in ("layers", "hits", "adversarial")],
    "network": {
        "layer_width": 128, "hit_width": 192, "share_width": 48, "critic_width": 256, "dense_channels": 32,
        "dense_latent": 64,
    },
    "parallel": {
        "strategy": "gem", "bucket_kib": 256, "compression": "none", "transport": "auto", "patience_s": 600.0,
        "masters": 1, "sync_every": 4, "push_every": 2, "elasticity": 0.9, "momentum": 0.8, "amplification": 1.0,
    },
}  # fmt: skip
"""What versions wrote that kept the keys of all variants."""


def test_a_configuration_of_an_earlier_version_is_read_without_the_keys_that_had_no_effect():
    config = recorded_config(RECORDED, "config.json")
    assert config.parallel == GemConfig(strategy="gem", push_every=2, momentum=0.8)
    assert config.network == HitsNetworkConfig()
    layers, hits, adversarial = config.stage
    assert layers == LayersStageConfig(
        name="layers", steps=40, warmup=5, ema=0.9, evaluate_every=40, checkpoint_every=10
    )
    assert (hits.latent_ramp, adversarial.penalty_every) == (1200, 8)
    assert recorded_config(json.loads(json.dumps(config.as_dict())), "config.json") == config
    # a file of a user must not hold them
    with pytest.raises(ConfigError, match=r"new\.toml: network\.dense_channels: is for arch"):
        read_config(RECORDED, "new.toml")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (RECORDED | {"network": {"dense_chanels": 3}}, r"config\.json: network\.dense_chanels: unknown key"),
        (RECORDED | {"arch": "gan"}, r"config\.json: arch: must be one of"),
        (RECORDED | {"stage": [{"name": "layers", "steps": 1.5, **EVERY_STAGE}]}, r"stage\.layers\.steps: must be"),
        ([], r"config\.json: must be a table, but is \[\]"),
    ],
)
def test_what_no_version_wrote_is_refused(table, message):
    with pytest.raises(ConfigError, match=message):
        recorded_config(table, "config.json")


def test_a_run_of_an_earlier_version_is_known_again(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"fastcalo": "0.1.0", **RECORDED}))
    config = recorded_config(RECORDED, "x")
    open_run(config, tmp_path, may_exist=True)
    with pytest.raises(TrainingError, match="was trained with another network"):
        open_run(config.updated(network=HitsNetworkConfig(hit_width=5)), tmp_path, may_exist=True)


def test_configurations_made_in_python_are_checked_and_cannot_be_changed():
    with pytest.raises(ConfigError, match=r"^LayersStageConfig: steps: must be at least 1, but is 0$"):
        LayersStageConfig(name="layers", steps=0)
    config = recorded_config(RECORDED, "x")
    with pytest.raises(ConfigError, match=r"^--device: device: must be one of 'auto', 'cpu', 'cuda', but is 'gpu'"):
        config.updated("--device", device="gpu")
    with pytest.raises(ConfigError, match=r"penalty_evry: unknown key; the nearest known one is 'penalty_every'"):
        config.stage[2].updated(penalty_evry=2)
    with pytest.raises(ConfigError, match=r"HitsTrainConfig: stage: a stage stands there twice"):
        config.updated(stage=(config.stage[0], config.stage[0]))
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 3
    assert config.updated(seed=3).seed == 3


def test_another_strategy_keeps_what_both_know():
    gem = GemConfig(strategy="gem", push_every=2, momentum=0.8, patience_s=5.0)
    assert gem.with_strategy("easgd").as_dict() == {
        "strategy": "easgd", "patience_s": 5.0, "masters": 1, "sync_every": 4, "push_every": 2, "elasticity": 0.9,
    }  # fmt: skip
    assert gem.with_strategy("allreduce").patience_s == 5.0
    with pytest.raises(ConfigError, match=r"run\.toml: parallel\.strategy: must be one of .* but is 'gossip'"):
        gem.with_strategy("gossip", "run.toml")


def test_a_search_over_strategies_needs_keys_that_all_have(tmp_path):
    (tmp_path / "base.toml").write_text(f'{BASE}[parallel]\nstrategy = "easgd"\n')
    strategies = '"parallel.strategy" = { choices = ["downpour", "easgd"] }'
    path = tmp_path / "tune.toml"
    head = TUNE.split('"stage', maxsplit=1)[0].replace("trials = 20", "trials = 2\ngroup_size = 3")
    path.write_text(f'{head}{strategies}\n"parallel.push_every" = {{ choices = [1, 8] }}\n')
    base = load_tune(path)[1]
    trial = with_values(base, {"parallel.strategy": "easgd", "parallel.push_every": 8}, "trial")
    assert trial.parallel == EasgdConfig(strategy="easgd", push_every=8)
    path.write_text(f'{head}{strategies}\n"parallel.elasticity" = {{ choices = [0.5, 0.9] }}\n')
    with pytest.raises(ConfigError, match=r"elasticity.*no effect with strategy = \"downpour\""):
        load_tune(path)
