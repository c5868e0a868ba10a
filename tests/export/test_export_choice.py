# SPDX-License-Identifier: BSD-3-Clause
"""The choice between candidates, from a training to a file that draws the torch model's hits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.files.shower_files import WHOLE_HADRONS, WHOLE_SPECIES

import fastcalo
from fastcalo.errors import ConfigError
from fastcalo.export.exporter import export, export_unchecked, exportable_of
from fastcalo.export.parity import check_parity
from fastcalo.export.showers.exportable import ExportableShowerGan
from fastcalo.training.config import load_config
from fastcalo.training.trainer import load_run, run_stages

STEPS = "steps = 3\nbatch = 8\nwarmup = 1\nevaluate_every = 3\n"


@pytest.fixture(autouse=True)
def few_showers() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ExportableShowerGan, "parity_showers", 200)
        patch.setattr(ExportableShowerGan, "measured_showers", 1_000)
        yield


def write_config(path: Path, candidates: int, stages: tuple[str, ...]) -> Path:
    text = f"""
name = "whole"
arch = "showers"
sections = ["ECAL", "HCAL"]
species = {list(WHOLE_SPECIES)}
threads = 1

[network]
layer_width = 16
hit_width = 16
share_width = 8
critic_width = 16
section_layers = [25, 8]
candidates = {candidates}

[data]
train = ["{WHOLE_HADRONS}"]

[validity]
kinetic_energy = [0.1, 10.0]
angle_degrees = 56.0

"""
    path.write_text(text + "".join(f'[[stage]]\nname = "{name}"\n{STEPS}' for name in stages))
    return path


@pytest.fixture(scope="module", params=[1, 3])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of all stages, each layer drawn once or three times."""
    folder, several = tmp_path_factory.mktemp("whole"), request.param > 1
    stages = ("layers", "hits", "adversarial")
    if several:
        stages = ("layers", "hits", "choice", "energies", "adversarial", "contrastive")
    config = write_config(folder / "whole.toml", request.param, stages)
    run_stages(load_config(config), folder / "run")
    return folder / "run"


def test_an_exported_training_draws_the_torch_models_hits(run: Path, tmp_path: Path) -> None:
    scores = export(run, tmp_path / "whole.onnx").contract.scores
    assert scores["parity_identical_showers"] >= 0.995
    model = fastcalo.load_model(tmp_path / "whole.onnx")
    direction, entry = np.tile([[0.0, 0.0, 1.0]], (20, 1)), np.zeros((20, 2))
    showers = model.generate(
        pdg=np.full(20, 211), kinetic_energy=np.full(20, 5.0), direction=direction, entry=entry, seed=1
    )
    assert sum(int((showers[section] > 0).sum()) for section in ("ECAL", "HCAL")) > 0


def test_a_choice_with_preferences_is_the_same_in_the_graph(tmp_path: Path) -> None:
    """The few steps of the other test leave none; and without the choice, other hits are drawn."""
    config = load_config(write_config(tmp_path / "whole.toml", 2, ("layers", "hits", "choice")))
    run_stages(config, tmp_path / "run")
    _, gan, _ = load_run(tmp_path / "run")
    torch.manual_seed(3)
    for parameter in gan.networks["choice"].parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    export_unchecked(config, gan, tmp_path / "whole.onnx")
    exportable = exportable_of(gan)
    assert check_parity(tmp_path / "whole.onnx", exportable)["parity_identical_showers"] >= 0.995
    for parameter in gan.networks["choice"].parameters():
        torch.nn.init.zeros_(parameter)
    with pytest.raises(fastcalo.errors.ExportError, match="does not draw the showers of the torch model"):
        check_parity(tmp_path / "whole.onnx", exportable)


def test_a_choice_and_candidates_need_each_other(tmp_path: Path) -> None:
    for stage in ("choice", "contrastive"):
        path = write_config(tmp_path / "whole.toml", 1, ("layers", "hits", stage))
        with pytest.raises(ConfigError, match=rf"candidates.*must be 2 or more where there is a stage \"{stage}\""):
            load_config(path)
    path = write_config(tmp_path / "whole.toml", 2, ("layers", "hits", "choice"))
    path.write_text(path.read_text().replace("candidates = 2", "candidates = 2\ncandidates_of_large = 3"))
    with pytest.raises(
        ConfigError, match=r"candidates_of_large.*must be at most 2, the number of candidates, but is 3"
    ):
        load_config(path)
    path = write_config(tmp_path / "whole.toml", 2, ("layers", "hits"))
    with pytest.raises(ConfigError, match='no stage "choice" trains what chooses'):
        load_config(path)
