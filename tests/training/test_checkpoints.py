# SPDX-License-Identifier: BSD-3-Clause
"""Checkpoints: damaged, missing or harmful ones are refused, a full disk leaves the last."""

import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch

from fastcalo.errors import TrainingError
from fastcalo.training.run import checkpoint
from fastcalo.training.trainer import load_run
from fastcalo.training.trainer import run_stages as train


@pytest.fixture(scope="module")
def finished(tiny_run):
    """A run of all stages without any interruption."""
    return tiny_run


@pytest.fixture(scope="module")
def config(finished):
    return load_run(finished)[0]


# --- checkpoints


def test_a_damaged_checkpoint_is_reported(finished, config, tmp_path):
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    whole = (run / "hits.pt").read_bytes()
    for damaged in (b"", b"not a checkpoint", whole[: len(whole) // 2]):
        (run / "hits.pt").write_bytes(damaged)
        with pytest.raises(TrainingError, match=r"hits\.pt is damaged"):
            train(config, run, resume=True)


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm",)


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_a_checkpoint_that_would_run_code_is_refused(tmp_path, monkeypatch, how):
    monkeypatch.chdir(tmp_path)
    if how == "torch":
        torch.save({"step": Harmful()}, "bad.pt")
    else:
        Path("bad.pt").write_bytes(pickle.dumps({"step": Harmful()}, protocol=2))
    with pytest.raises(TrainingError, match=r"bad\.pt is damaged"):
        checkpoint.load(Path("bad.pt"))
    assert not Path("harm").exists()


def test_a_checkpoint_that_is_not_there_is_reported(tmp_path):
    with pytest.raises(TrainingError, match=r"cannot read the checkpoint .*none\.pt"):
        checkpoint.load(tmp_path / "none.pt")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "a.pt"
    checkpoint.save(path, {"step": 1})
    # the temporary name leads to a disk that is full
    monkeypatch.setattr("secrets.token_hex", lambda _: "0")
    (tmp_path / ".a.pt.0.part").symlink_to("/dev/full")
    with pytest.raises(TrainingError, match=r"cannot write the checkpoint .*a\.pt"):
        checkpoint.save(path, {"step": 2, "weights": torch.zeros(100_000)})
    assert checkpoint.load(path) == {"step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]


def test_a_finished_stage_needs_no_critic_that_fits_and_one_that_goes_on_does(finished, config, tmp_path):
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    state = checkpoint.load(run / "adversarial.pt")
    critic = state["networks"]["critic"]
    critic["expectation_IF"] = critic["expectation_IF"][:, :-3]
    checkpoint.save(run / "adversarial.pt", state)
    hits = load_run(run)[1].networks["hits"].state_dict()
    assert all(torch.equal(hits[name], value) for name, value in state["networks"]["hits"].items())
    more = [s.updated(steps=s.steps + 1) if s.name == "adversarial" else s for s in config.stage]
    with pytest.raises(TrainingError, match=r"adversarial\.pt is not of this training: .*size mismatch"):
        train(config.updated(stage=tuple(more)), run, resume=True)
