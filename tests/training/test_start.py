# SPDX-License-Identifier: BSD-3-Clause
"""Trainings that start from the networks of a finished run."""

from __future__ import annotations

import shutil

import pytest
import torch

from fastcalo.errors import TrainingError
from fastcalo.training.architectures.hits.config import HitsNetworkConfig
from fastcalo.training.run import checkpoint
from fastcalo.training.trainer import _start_from, build_architecture, load_run
from fastcalo.training.trainer import run_stages as train


@pytest.fixture(scope="module")
def finished(tiny_run):
    """A run of all stages."""
    return tiny_run


@pytest.fixture(scope="module")
def config(finished):
    return load_run(finished)[0]


def state(run, stage):
    return checkpoint.load(run / f"{stage}.pt")


def test_a_training_starts_from_a_finished_run(finished, config, tmp_path):
    only = tuple(s.updated(steps=1, learning_rate=1e-12, warmup=0) for s in config.stage if s.name == "layers")
    train(config.updated(start=str(finished), seed=5, stage=only), tmp_path / "run")
    there, here = (state(run, "layers")["networks"]["layers"] for run in (finished, tmp_path / "run"))
    for name, value in there.items():
        assert torch.allclose(here[name], value, atol=1e-6)
    # what no stage has trained here is the other run's, too
    networks = build_architecture(config)
    _start_from(networks, finished)
    critic = state(finished, "adversarial")["networks"]["critic"]
    assert all(torch.equal(networks.networks["critic"].state_dict()[name], value) for name, value in critic.items())


def test_a_run_that_is_not_finished_or_of_other_shapes_is_no_start(finished, config, tmp_path):
    unfinished = shutil.copytree(finished, tmp_path / "unfinished")
    (unfinished / "hits.pt").unlink()
    with pytest.raises(TrainingError, match="unfinished: stage 'hits' stands at step 0 of 6"):
        train(config.updated(start=str(unfinished)), tmp_path / "run")
    with pytest.raises(TrainingError, match=r"layers\.pt is not of this training"):
        train(config.updated(start=str(finished), network=HitsNetworkConfig(layer_width=24)), tmp_path / "run")
    with pytest.raises(TrainingError, match="nowhere holds no training"):
        train(config.updated(start=str(tmp_path / "nowhere")), tmp_path / "run")
    assert not (tmp_path / "run").exists()
