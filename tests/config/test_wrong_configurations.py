# SPDX-License-Identifier: BSD-3-Clause
"""Wrong configuration files of every kind: each is refused with file, key and what to do about it."""

import re
import tomllib
from pathlib import Path

import pytest

from fastcalo.detector.description import load_detector
from fastcalo.errors import ConfigError, FastCaloError
from fastcalo.io.particles.schemas import load_overrides
from fastcalo.training.config import load_config
from fastcalo.training.tune.config import load_tune
from fastcalo.validation.limits import load_limits

ROOT = Path(__file__).parents[2]

HITS = """
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
DENSE = """
name = "dense"
arch = "3dgan"
species = [11]
[data]
train = ["a.h5"]
[[stage]]
name = "adversarial"
steps = 10
"""
EASGD = HITS + '[parallel]\nstrategy = "easgd"\n'
TUNE = """
name = "em"
base = "base.toml"
trials = 20

[space]
"stage.hits.learning_rate" = { low = 1e-4, high = 1e-2, log = true }
"stage.hits.batch" = { choices = [32, 64, 128] }
"""
DETECTOR = (ROOT / "fastcalo" / "detector" / "clic-like.toml").read_text()
SCHEMA = '[schema]\ntree = "events"\npdg = "a"\npx = "b"\n'
LIMITS = '[limits]\n"auc.observables" = { max = 0.6 }\n'
DEEP = "x = " + "[" * 5_000

# text of the sound file, a line of it, what stands in its place, the key, and the message about it
WRONG = {
    "of another architecture": [
        (HITS, "[data]", "[network]\ndense_channels = 3\n[data]", "network.dense_channels",
         'is for arch = "3dgan" only, and has no effect with arch = "hits"; leave it out'),
        (HITS, "[data]", "[network]\ndense_latent = 64\n[data]", "network.dense_latent", 'is for arch = "3dgan" only'),
        (DENSE, "[data]", "[network]\nhit_width = 3\n[data]", "network.hit_width",
         'is for arch = "hits" or arch = "showers" only'),
        (DENSE, "steps = 10", "steps = 10\nlatent_start = 3", "stage.adversarial.latent_start",
         'is for stage "hits" of arch = "hits" only'),
        (HITS, 'name = "hits"', 'name = "adversarial"\nsum_weight = 1.0', "stage.adversarial.sum_weight",
         'is for stage "adversarial" of arch = "3dgan" only'),
        (HITS, 'arch = "hits"', 'arch = "3dgan"', "stage[0].name", "must be one of 'adversarial', but is 'layers'"),
        (DENSE, "species = [11]", 'species = [11]\nsections = ["ECAL", "HCAL"]', "sections", "draws one section only"),
    ],
    "of another stage": [
        (HITS, "steps = 10", "steps = 10\npenalty_every = 4", "stage.layers.penalty_every",
         'has no effect with stage "layers" of arch = "hits"; leave it out'),
        (HITS, "steps = 10", "steps = 10\ncritic_rate = 1e-3", "stage.layers.critic_rate", 'stage "adversarial"'),
        (HITS, "steps = 10", "steps = 10\nlatent_ramp = 4", "stage.layers.latent_ramp", 'stage "hits"'),
        (HITS, "steps = 20", "steps = 20\nadversarial_weight = 0.1", "stage.hits.adversarial_weight", "no effect"),
        (HITS, "betas = [0.5, 0.9]", "critic_betas = [0, 0.9]", "stage.hits.critic_betas", "no effect"),
    ],
    "of another strategy": [
        (HITS, "[data]", "[parallel]\nelasticity = 0.5\n[data]", "parallel.elasticity",
         'is for strategy = "easgd" only, and has no effect with strategy = "allreduce"; leave it out'),
        (HITS, "[data]", "[parallel]\npush_every = 2\n[data]", "parallel.push_every", 'has no effect with strategy ='),
        (EASGD, '"easgd"', '"easgd"\nbucket_kib = 4', "parallel.bucket_kib", 'is for strategy = "allreduce" only'),
        (EASGD, '"easgd"', '"easgd"\ncompression = "fp16"', "parallel.compression", 'is for strategy = "allreduce"'),
        (EASGD, '"easgd"', '"easgd"\nmomentum = 0.5', "parallel.momentum", 'is for strategy = "gem" only'),
        (EASGD, '"easgd"', '"gem"\nelasticity = 0.5', "parallel.elasticity", 'no effect with strategy = "gem"'),
        (EASGD, '"easgd"', '"easdg"', "parallel.strategy", "the nearest known one is 'easgd'"),
    ],
    "training": [
        (HITS, 'name = "small"', "", "name", "missing"),
        (HITS, 'name = "small"', "name = 3", "name", "must be a text, but is 3"),
        (HITS, 'arch = "hits"', "", "arch", "missing; choose one of 'hits', 'showers', '3dgan'"),
        (HITS, 'arch = "hits"', 'arch = "hit"', "arch", "the nearest known one is 'hits'"),
        (HITS, 'arch = "hits"', "arch = []", "arch", "must be one of 'hits', 'showers', '3dgan', but is []"),
        (HITS, "species =", "specie =", "specie", "unknown key; the nearest known one is 'species'"),
        (HITS, "species = [11, 22]", "species = []", "species", "must hold at least 1 value, but is []"),
        (HITS, "species = [11, 22]", "species = [11, 11]", "species", "must hold each value once"),
        (HITS, "species = [11, 22]", 'species = [11, "e"]', "species[1]", "must be a whole number, but is 'e'"),
        (HITS, "species = [11, 22]", "species = 11", "species", "must be a list, but is 11"),
        (HITS, "species = [11, 22]", "species = [11]\nseed = -1", "seed", "must be at least 0, but is -1"),
        (HITS, "species = [11, 22]", "species = [11]\nseed = 1.5", "seed", "must be a whole number, but is 1.5"),
        (HITS, "species = [11, 22]", "species = [11]\nsections = []", "sections", "must hold at least 1 value"),
        (HITS, "[data]", 'device = "gpu"\n[data]', "device", "must be one of 'auto', 'cpu', 'cuda', but is 'gpu'"),
        (HITS, "[data]", "threads = 1000000\n[data]", "threads", "must be at most 1024, but is 1000000"),
        (HITS, "train =", "trian =", "data.trian", "unknown key; the nearest known one is 'train'"),
        (HITS, 'train = ["a.h5", "b.h5"]', 'train = "a.h5"', "data.train", "must be a list, but is 'a.h5'"),
        (HITS, 'train = ["a.h5", "b.h5"]', "train = []", "data.train", "must hold at least 1 value"),
        (HITS, "[data]", "[data]\npool = 0", "data.pool", "must be at least 1, but is 0"),
        (HITS, "[data]", "[data2]", "data2", "unknown key; the nearest known one is 'data'"),
        (HITS, "[1, 50.0]", "[50, 1]", "validity.kinetic_energy", "must be [low, high] with 0 < low < high"),
        (HITS, "[1, 50.0]", "[1, inf]", "validity.kinetic_energy[1]", "must be a finite number, but is inf"),
        (HITS, "[1, 50.0]", "[1]", "validity.kinetic_energy", "must hold more values, but is [1]"),
        (HITS, "[1, 50.0]", "[1, 2, 3]", "validity.kinetic_energy", "must hold 2 values, but is [1, 2, 3]"),
        (HITS, "[validity]", "[validity]\nangle_degrees = 90", "validity.angle_degrees", "must be less than 90"),
        (HITS, "steps = 10", "step = 10", "stage.layers.step", "unknown key; the nearest known one is 'steps'"),
        (HITS, "steps = 10", "", "stage.layers.steps", "missing"),
        (HITS, "steps = 10", "steps = 1e3", "stage.layers.steps", "must be a whole number, but is 1000.0"),
        (HITS, "steps = 10", "steps = true", "stage.layers.steps", "must be a whole number, but is True"),
        (HITS, "steps = 10", "steps = 1\nlearning_rate = 0", "stage.layers.learning_rate", "must be greater than 0"),
        (HITS, "steps = 10", "steps = 1\nlearning_rate = nan", "stage.layers.learning_rate", "must be a finite number"),
        (HITS, "steps = 10", "steps = 1\nclip = -inf", "stage.layers.clip", "must be a finite number, but is -inf"),
        (HITS, "steps = 10", "steps = 1\nema = 1.0", "stage.layers.ema", "must be less than 1, but is 1.0"),
        (HITS, "steps = 10", "steps = 1\nanneal = 1", "stage.layers.anneal", "must be true or false, but is 1"),
        (HITS, "steps = 10", "steps = 1\naccumulate = 65", "stage.layers.accumulate", "must be at most batch = 64"),
        (HITS, "[0.5, 0.9]", "[0.5, 1.0]", "stage.hits.betas[1]", "must be less than 1, but is 1.0"),
        (HITS, 'name = "hits"', 'name = "layers"', "stage", "a stage stands there twice"),
        (HITS, 'name = "hits"', 'name = "hit"', "stage[1].name", "the nearest known one is 'hits'"),
        (HITS, 'name = "hits"', "", "stage[1].name", "missing; choose one of 'layers', 'hits', 'adversarial'"),
        (HITS, "[data]", "parallel = 3\n[data]", "parallel", "must be a table, but is 3"),
    ],
    "far too large or deep": [
        (HITS, "steps = 10", f"steps = 1{'0' * 400}", "stage[0].steps", "but is a whole number of 1329 bits"),
        (HITS, "steps = 10", "steps = 10_000_000_000", "stage.layers.steps", "must be at most 1000000000"),
        (HITS, "[data]", "[data]\npool = 1_000_000_000", "data.pool", "must be at most 100000000"),
        (HITS, "[data]", "[network]\nhit_width = 1_000_000_000\n[data]", "network.hit_width", "must be at most 65536"),
        (HITS, "steps = 10", f"steps = 1\nclip = 1{'0' * 400}", "stage[0].clip", "a whole number of 1329 bits"),
        (HITS, "steps = 10", f"steps = 0x{'f' * 5000}", "stage[0].steps", "a whole number of 20000 bits"),
        (HITS, "species = [11, 22]", "species = [11]\n" + "a" * 5_000 + " = 1", "aaaaaaaaaaaa", "unknown key"),
        (HITS, "species = [11, 22]", 'species = [11]\n"\\u001b[31m" = 1', r"'\x1b[31m'", "unknown key"),
        (HITS, "[data]", f"{DEEP}\n[data]", "", "is not valid TOML"),
        (DETECTOR, "count = 17", "count = 1_000_000_000", "section.ECAL.layers[0].count", "must be at most 10000"),
        (DETECTOR, "staves = 12", "staves = 1_000_000_000", "barrel.staves", "must be at most 10000"),
        (DETECTOR, "name = ", f"{DEEP}\nname = ", "", "is not valid TOML"),
        (SCHEMA, "[schema]", f"{DEEP}\n[schema]", "", "is not valid TOML"),
        (LIMITS, "[limits]", f"{DEEP}\n[limits]", "", "is not valid TOML"),
        (TUNE, "trials = 20", "trials = 1_000_000_000", "trials", "must be at most 1000000"),
    ],
    "search": [
        (TUNE, "trials = 20", "trails = 20", "trails", "unknown key; the nearest known one is 'trials'"),
        (TUNE, "trials = 20", 'trials = 20\noptimiser = "gd"', "optimiser", "must be one of 'gp', 'optuna', 'random'"),
        (TUNE, "trials = 20", "trials = 20\n[objective]\nfold = 2", "objective.fold", "nearest known one is 'folds'"),
        (TUNE, "trials = 20", "trials = 20\n[stopping]\nreduction = 1", "stopping.reduction", "must be at least 2"),
        (TUNE, "high = 1e-2", "high = 1e-5", "space.'stage.hits.learning_rate'", "low = 0.0001 is above high"),
        (TUNE, "high = 1e-2", "hihg = 1e-2", "space.'stage.hits.learning_rate'.high", "missing"),
        (TUNE, "[32, 64, 128]", "[0, 64]", "space.'stage.hits.batch' = 0: stage.hits.batch", "must be at least 1"),
        (TUNE, "stage.hits.batch", "stage.hits.bacth", "space.'stage.hits.bacth' = 32: stage.hits.bacth",
         "unknown key; the nearest known one is 'batch'"),
        (TUNE, "stage.hits.batch", "stage.hits.penalty_every", "stage.hits.penalty_every", "leave it out"),
        (TUNE, "stage.hits.batch", "network.dense_channels", "network.dense_channels", 'is for arch = "3dgan" only'),
        (TUNE, "stage.hits.batch", "parallel.elasticity", "parallel.elasticity", 'is for strategy = "easgd" only'),
        (TUNE, "stage.hits.batch", "network.critic_width", "space.'network.critic_width'",
         "has an effect in stage adversarial only, which this training does not have; leave it out of the space"),
        (TUNE, "stage.hits.batch", "threads", "space.'threads'", "does not change what is trained; leave it out"),
        (TUNE, "stage.hits.batch", "stage.hits.checkpoint_every", "space.'stage.hits.checkpoint_every'", "leave it"),
        (TUNE, '"stage.hits.batch" = { choices = [32, 64, 128] }',
         '"parallel.compression" = { choices = ["none", "bf16"] }', "space.'parallel.compression'",
         "has an effect only where several processes train together (group_size above 1)"),
    ],
    "detector": [
        (DETECTOR, "cell_mm = 5.1", "cel_mm = 5.1", "section.ECAL.cel_mm", "the nearest known one is 'cell_mm'"),
        (DETECTOR, "cell_mm = 5.1", "cell_mm = nan", "section.ECAL.cell_mm", "must be a finite number, but is nan"),
        (DETECTOR, 'absorber = "G4_W"', 'absorber = "tungsten"', "section.ECAL.absorber", "such as 'G4_W'"),
        (DETECTOR, "staves = 12", "staves = 2", "barrel.staves", "must be at least 3, but is 2"),
        (DETECTOR, "staves = 12", "", "barrel.staves", "missing"),
        (DETECTOR, "outer_radius_mm = 3100.0", "outer_radius_mm = 200", "endcap.outer_radius_mm", "greater than 250"),
        (DETECTOR, "field_tesla = 4.0", "field_tesla = inf", "solenoid.field_tesla", "must be a finite number"),
        (DETECTOR, "front_mm = 140.0", "front_mm = 100.0", "section.HCAL.front_mm", "the section before it ends at"),
        (DETECTOR, "321 = {", "K = {", "substitutes.K", "must be a PDG code, such as 321"),
        (DETECTOR, "[geant4]", "[geant]", "geant", "unknown key; the nearest known one is 'geant4'"),
    ],
    "branches of particles": [
        (SCHEMA, "pdg =", "pgd =", "schema.pgd", "unknown key; the nearest known one is 'pdg'"),
        (SCHEMA, 'pdg = "a"', "pdg = 3", "schema.pdg", "must be a text, but is 3"),
        (SCHEMA, 'pdg = "a"', "final_status = []", "schema.final_status", "must hold at least 1 value"),
        (SCHEMA, 'pdg = "a"', 'units = { length = "inch" }', "schema.units.length", "must be one of 'um', 'mm'"),
        (SCHEMA, "[schema]", "[shcema]", "shcema", "unknown key; the nearest known one is 'schema'"),
        (SCHEMA, 'px = "b"', 'px = "b"\npt = "c"', "schema", "name one kind"),
    ],
    "limits": [
        (LIMITS, "max =", "maximum =", "limits.'auc.observables'.maximum", "the nearest known one is 'max'"),
        (LIMITS, "max = 0.6", "max = nan", "limits.'auc.observables'.max", "must be a finite number"),
        (LIMITS, "max = 0.6", "sigmas = 1", "limits.'auc.observables'", "one or more of max, min, within"),
        (LIMITS, "max = 0.6", "max = 1, sigmas = -1", "limits.'auc.observables'.sigmas", "must be at least 0"),
        (LIMITS, "[limits]", "[limit]", "limit", "unknown key; the nearest known one is 'limits'"),
    ],
}  # fmt: skip
READERS = {
    HITS: load_config, DENSE: load_config, EASGD: load_config, TUNE: load_tune, DETECTOR: load_detector,
    SCHEMA: load_overrides, LIMITS: load_limits,
}  # fmt: skip
CASES = [
    pytest.param(*case, id=f"{name}: {case[3][:40]} {i}")
    for name, cases in WRONG.items()
    for i, case in enumerate(cases)
]


@pytest.mark.parametrize(("text", "line", "instead", "key", "remedy"), CASES)
def test_a_wrong_configuration_is_refused_with_file_key_and_remedy(tmp_path, text, line, instead, key, remedy):
    assert line in text
    (tmp_path / "base.toml").write_text(HITS)
    path = tmp_path / "wrong.toml"
    path.write_text(text.replace(line, instead, 1))
    with pytest.raises(FastCaloError) as caught:
        READERS[text](path)
    message = str(caught.value)
    assert re.search(rf"wrong\.toml: .*{re.escape(key)}.*{re.escape(remedy)}", message), message
    assert len(message) < 1_000
    # one line, and no control characters; those of the TOML library quote the text
    assert message.isprintable()


def test_the_files_that_are_changed_are_sound(tmp_path):
    (tmp_path / "base.toml").write_text(HITS)
    for text, read in READERS.items():
        path = tmp_path / "sound.toml"
        path.write_text(text)
        read(path)


def test_all_that_is_wrong_is_reported_at_once(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(HITS.replace("steps = 10", "step = 10").replace("steps = 20", "steps = 0"))
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value).removeprefix(f"{path}: ").split(" | ") == [
        "stage.layers.step: unknown key; the nearest known one is 'steps'",
        "stage.layers.steps: missing",
        "stage.hits.steps: must be at least 1, but is 0",
    ]


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.toml")), ids=lambda path: path.name)
def test_each_shipped_configuration_is_accepted(path):
    (load_tune if "trials" in tomllib.loads(path.read_text()) else load_config)(path)


def test_a_file_that_is_far_too_large_is_not_read(tmp_path):
    path = tmp_path / "large.toml"
    path.write_text("#" * (5 << 20))
    with pytest.raises(ConfigError, match=r"large\.toml: has more than 4 MiB"):
        load_config(path)
