# SPDX-License-Identifier: BSD-3-Clause
"""The page of all keys, and the schemas for editors, are those of the models."""

import json
import tomllib
from pathlib import Path

import jsonschema
import pytest

from fastcalo.cli import main
from fastcalo.config.kinds import KINDS, json_schema
from fastcalo.config.reference import reference_page
from fastcalo.config.validation import models_in
from fastcalo.errors import ConfigError
from fastcalo.io.particles.schema_file import SchemaTable
from fastcalo.io.particles.schemas import ROLES

ROOT = Path(__file__).parents[2]
FILES = {
    "train": [*(path for path in ROOT.glob("configs/*.toml") if not path.name.startswith("tune"))],
    "tune": [ROOT / "configs" / "tune-em.toml"],
    "detector": [ROOT / "fastcalo" / "detector" / "clic-like.toml"],
}


def test_the_page_is_the_one_that_the_models_give():
    page = (ROOT / "docs" / "training" / "configuration.md").read_text(encoding="utf-8")
    assert page == reference_page(), "renew it: python -m fastcalo.config.reference > docs/training/configuration.md"


def every_model(model):
    yield model
    for field in model.model_fields.values():
        for below in models_in(field.annotation):
            yield from every_model(below)


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_is_described(kind):
    for root in KINDS[kind].models:
        for model in every_model(root):
            for name, field in model.model_fields.items():
                assert field.description, f"{model.__name__}.{name}"
                assert not field.description.endswith("."), f"{model.__name__}.{name}"


def test_every_role_of_a_branch_is_a_key_of_the_schema():
    assert set(SchemaTable.model_fields) == {*ROLES, "tree", "collection", "units", "final_status"}


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_prints_the_schema(kind, capsys):
    with pytest.raises(SystemExit) as end:
        main(["schema", kind])
    assert end.value.code == 0
    assert json.loads(capsys.readouterr().out) == json_schema(kind)


def test_a_kind_that_is_not_there_is_reported():
    with pytest.raises(
        ConfigError, match="no configuration file of the kind 'trian'; the nearest known one is 'train'"
    ):
        json_schema("trian")


@pytest.mark.parametrize(("kind", "path"), [(kind, path) for kind, paths in FILES.items() for path in paths])
def test_shipped_files_fit_the_schema(kind, path):
    jsonschema.validate(tomllib.loads(path.read_text()), json_schema(kind), jsonschema.Draft202012Validator)


def test_the_schema_refuses_keys_of_another_architecture_stage_or_strategy():
    sound = tomllib.loads((ROOT / "configs" / "em.toml").read_text())
    layers, *others = sound["stage"]
    for change in (
        {"network": {"dense_channels": 3}},
        {"stage": [{**layers, "penalty_every": 3}, *others]},
        {"parallel": {"elasticity": 0.5}},
        {"parallel": {"strategy": "easgd", "bucket_kib": 3}},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(sound | change, json_schema("train"), jsonschema.Draft202012Validator)
