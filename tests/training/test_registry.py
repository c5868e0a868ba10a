# SPDX-License-Identifier: BSD-3-Clause
"""Registry of architectures: one registration is all that an architecture needs outside its own folders."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from helpers.files.shower_files import write_real
from helpers.trainings.toy_architecture.exportable import ExportableToyGan
from helpers.trainings.toy_architecture.gan import ToyGan

import fastcalo
from fastcalo.config.kinds import json_schema
from fastcalo.config.reference import reference_page
from fastcalo.errors import ConfigError
from fastcalo.export.exportable import exportable_of
from fastcalo.training.config import config_models, read_config
from fastcalo.training.registry import ARCHITECTURES, architecture_entry, entry_of, load_object
from fastcalo.training.trainer import build_architecture

TOY = """
name = "toy"
arch = "toy"
species = [11, -11, 22]
threads = 1
network.toy_width = 4

[data]
train = ["train.h5"]

[validity]
kinetic_energy = [0.1, 10.0]
angle_degrees = 56.0

[[stage]]
name = "layers"
steps = 2
batch = 8
"""


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARCHITECTURES, "toy", "helpers.trainings.toy_architecture")


@pytest.mark.usefixtures("registered")
def test_a_registered_architecture_trains_and_has_an_export(tmp_path: Path) -> None:
    data = write_real(tmp_path / "train.h5", 16)
    file = tmp_path / "toy.toml"
    file.write_text(TOY.replace("train.h5", str(data)))
    result = fastcalo.train(file, tmp_path / "run")
    assert result.config.arch == "toy"
    networks = build_architecture(result.config)
    assert isinstance(networks, ToyGan)
    assert isinstance(exportable_of(networks), ExportableToyGan)


@pytest.mark.usefixtures("registered")
def test_its_keys_are_known_to_messages_schema_and_documents() -> None:
    table = tomllib.loads(TOY)
    with pytest.raises(ConfigError, match="must be one of 'hits', 'showers', '3dgan', 'toy'"):
        read_config(table | {"arch": "tea"}, "here")
    with pytest.raises(ConfigError, match=r'network\.toy_width: is for arch = "toy" only'):
        read_config(table | {"arch": "hits"}, "here")
    with pytest.raises(ConfigError, match=r"network\.toy_with: unknown key; the nearest known one is 'toy_width'"):
        read_config(table | {"network": {"toy_with": 1}}, "here")
    assert "ToyTrainConfig" in json_schema("train")["$defs"]
    assert "| `toy_width` |" in reference_page()


def test_an_architecture_that_is_not_registered_is_refused() -> None:
    with pytest.raises(ConfigError, match="must be one of 'hits', 'showers', '3dgan', but is 'toy'"):
        read_config(tomllib.loads(TOY), "here")


def test_what_the_packages_name_is_there() -> None:
    for arch, model in config_models().items():
        entry = architecture_entry(arch)
        assert model.model_fields["arch"].annotation == load_object(entry.config).model_fields["arch"].annotation
        assert load_object(entry.networks).__name__
        assert load_object(entry.exportable).__name__


def test_networks_without_an_entry_have_none() -> None:
    assert entry_of(object()) is None
