# SPDX-License-Identifier: BSD-3-Clause
"""What lies in the folder of a run is whole and of this run, or is refused with its name and the way out."""

import json
import logging
import random
import shutil
from pathlib import Path

import h5py
import pytest
import torch
from helpers.trainings.tiny_training import STEPS, change_stage, tiny_config, write_data

from fastcalo.detector.description import load_detector
from fastcalo.errors import ConfigError, TrainingError
from fastcalo.training.config import DataConfig
from fastcalo.training.data.splits import open_splits
from fastcalo.training.distributed.heartbeat import Heartbeat
from fastcalo.training.run import checkpoint
from fastcalo.training.run.curves import draw_curves, read_metrics
from fastcalo.training.run.metrics_log import MetricsLog
from fastcalo.training.run.run_folder import forgotten_if_it_fails, open_run
from fastcalo.training.run.signals import Stopped
from fastcalo.training.trainer import load_run
from fastcalo.training.trainer import run_stages as train


@pytest.fixture
def run(tiny_run, tmp_path):
    """A copy of a finished training."""
    return Path(shutil.copytree(tiny_run, tmp_path / "run"))


@pytest.fixture(scope="module")
def config(tiny_run):
    return load_run(tiny_run)[0]


# --- checkpoints: bytes


def test_a_checkpoint_is_a_file_of_torch(run):
    state = torch.load(run / "layers.pt", weights_only=True)
    kept = checkpoint.load(run / "layers.pt")
    assert state["step"] == kept["step"] == STEPS
    assert set(state) - set(kept) == {"fastcalo_checkpoint"}


def test_one_flipped_bit_anywhere_is_found(run):
    file, draw = run / "layers.pt", random.Random(3)
    image = file.read_bytes()
    for at in [draw.randrange(len(image)) for _ in range(60)] + [len(image) - k for k in range(1, 90)]:
        damaged = bytearray(image)
        damaged[at] ^= 1 << draw.randrange(8)
        file.write_bytes(damaged)
        with pytest.raises(TrainingError, match=r"layers\.pt is damaged \(.*remove it to train that stage again"):
            checkpoint.load(file)


def test_a_checkpoint_of_before_digests_is_read_with_a_warning(run, config, caplog):
    file = run / "hits.pt"
    state = checkpoint.load(file)
    torch.save(state, file)
    with caplog.at_level(logging.WARNING):
        again = checkpoint.load(file)
    assert "was written before checkpoints held a digest" in caplog.text
    assert again["step"] == state["step"]
    assert load_run(run)[0] == config


@pytest.mark.parametrize("image", [b"", b"x", b"PK\x05\x06" + bytes(18), b"fastcalo sha256 " + b"0" * 64])
def test_bytes_that_are_no_checkpoint_are_refused(tmp_path, image):
    (tmp_path / "a.pt").write_bytes(image)
    with pytest.raises(TrainingError, match=r"a\.pt is damaged"):
        checkpoint.load(tmp_path / "a.pt")


def test_a_checkpoint_that_holds_a_list_is_refused(tmp_path):
    torch.save([1, 2], tmp_path / "a.pt")
    with pytest.raises(TrainingError, match=r"a\.pt is damaged \(it holds a list"):
        checkpoint.load(tmp_path / "a.pt")


# --- checkpoints: content


def change(file, **entries):
    state = checkpoint.load(file) | entries
    checkpoint.save(file, {k: v for k, v in state.items() if v is not ...})


@pytest.mark.parametrize("step", [-1, 2.5, "6", True, ...])
def test_a_step_that_is_none_is_refused(run, config, step):
    change(run / "hits.pt", step=step)
    with pytest.raises(TrainingError, match=r"hits\.pt is damaged \(step is "):
        train(config, run, resume=True)


def test_a_step_beyond_the_stages_last_is_refused_with_the_way_out(run, config):
    shorter = change_stage(config, "hits", steps=STEPS - 2)
    with pytest.raises(TrainingError, match=r"hits\.pt stands at step 6, but stage 'hits' has 4 steps: set steps to 6"):
        train(shorter, run, resume=True)


def narrowed(tensors):
    return {k: v[..., :1].clone() if torch.is_tensor(v) and v.ndim else v for k, v in tensors.items()}


SPOILT = {
    "no networks": lambda _: {"networks": ...},
    "networks are a list": lambda _: {"networks": [1]},
    "a network is missing": lambda _: {"networks": {}},
    "other sizes": lambda s: {"networks": {k: narrowed(v) for k, v in s["networks"].items()}},
    "other keys": lambda s: {"networks": {k: {"weight": torch.ones(3)} for k in s["networks"]}},
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_networks_that_are_not_of_this_training_are_refused(run, config, spoil):
    change(run / "hits.pt", **spoil(checkpoint.load(run / "hits.pt")))
    with pytest.raises(TrainingError, match=r"hits\.pt is not of this training: .*remove it to train that stage again"):
        train(config, run, resume=True)
    with pytest.raises(TrainingError, match=r"hits\.pt is not of this training"):
        load_run(run)


def spoilt_moments(state):
    optimisers = state["optimisers"]
    for optimiser in optimisers.values():
        optimiser["state"] = {k: narrowed(v) for k, v in optimiser["state"].items()}
    return {"optimisers": optimisers}


SPOILT_STATE = {
    "no hash": lambda _: {"data_hash": ...},
    "no optimisers": lambda _: {"optimisers": ...},
    "an optimiser is missing": lambda _: {"optimisers": {}},
    "other moments": spoilt_moments,
    "no groups": lambda s: {"optimisers": {k: {"state": {}} for k in s["optimisers"]}},
    "no averages": lambda _: {"ema": ...},
    "averages of other sizes": lambda s: {"ema": {k: narrowed(v) for k, v in s["ema"].items()}},
    "seconds are text": lambda _: {"seconds": "long"},
}


@pytest.mark.parametrize("spoil", SPOILT_STATE.values(), ids=SPOILT_STATE)
def test_a_state_that_is_not_of_this_training_is_refused(run, config, spoil):
    # the stage goes on from a step before its last
    file = run / "layers.pt"
    change(file, step=3, **spoil(checkpoint.load(file)))
    with pytest.raises(TrainingError, match=r"layers\.pt is not of this training"):
        train(config, run, resume=True)


# --- showers


def rewritten(source, target, change):
    """A file of showers with one dataset changed."""
    shutil.copy(source, target)
    with h5py.File(target, "r+") as file:
        change(file)
    return target


def doubled(file):
    file["ECAL_deposit"][:] *= 2


def turned(file):
    file["direction"][:] = file["direction"][:][::-1]


def permuted(file):
    file["entry"][:] = file["entry"][:][::-1]


@pytest.mark.parametrize("change", [doubled, turned, permuted])
def test_showers_that_differ_in_whatever_is_read_are_not_gone_on_with(run, config, change):
    state = checkpoint.load(run / "layers.pt") | {"step": 3}
    checkpoint.save(run / "layers.pt", state)
    source = Path(config.data.train[0])
    kept = source.read_bytes()
    try:
        rewritten(source, run / "other.h5", change)
        source.write_bytes((run / "other.h5").read_bytes())
        with pytest.raises(TrainingError, match=r"layers\.pt was trained on other showers than those that .* hold now"):
            train(config, run, resume=True)
    finally:
        source.write_bytes(kept)


def test_a_run_that_knows_its_showers_by_species_and_energies_goes_on_with_a_warning(run, config, caplog):
    data = open_splits(config, load_detector(), "here", 0)[0]
    state = checkpoint.load(run / "layers.pt") | {"step": 3, "data_hash": data.old_hash}
    del state["data_hash_version"]
    checkpoint.save(run / "layers.pt", state)
    with caplog.at_level(logging.WARNING):
        train(config, run, resume=True)
    assert "knew showers by species and energies only" in caplog.text
    assert checkpoint.load(run / "layers.pt")["data_hash"] == data.hash


# --- config.json


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"3", b'{"name": 1}', b"\xff\xfe", b"[" * 100_000, b'{"a": ' * 9_000]
)
def test_a_configuration_that_is_damaged_is_reported_with_the_way_out(run, config, text):
    (run / "config.json").write_bytes(text)
    for go in (lambda: train(config, run, resume=True), lambda: load_run(run)):
        with pytest.raises(TrainingError, match=r"config\.json is damaged .*remove it, and go on with --resume"):
            go()
    (run / "config.json").unlink()
    train(config, run, resume=True)
    assert load_run(run)[0] == config


def test_checkpoints_without_a_configuration_are_not_taken_by_mistake(run, config, caplog):
    (run / "config.json").unlink()
    with pytest.raises(TrainingError, match=r"checkpoints \(adversarial\.pt, hits\.pt, layers\.pt\), but no config"):
        train(config, run)
    with caplog.at_level(logging.WARNING):
        train(config, run, resume=True)
    assert "they are taken for those of this configuration" in caplog.text


def test_a_training_that_cannot_start_leaves_nothing_that_blocks_the_next(tmp_path):
    data = write_data(tmp_path)
    wrong = tiny_config(DataConfig(train=("$FASTCALO_NO_SUCH_VARIABLE/a.h5",)))
    run = tmp_path / "run"
    with pytest.raises(ConfigError, match="not set"):
        train(wrong, run)
    assert not run.exists()
    right = tiny_config(data)
    train(right.updated(stage=right.stage[:1]), run)
    assert (run / "layers.pt").exists()


# --- metrics


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_training_on_a_full_disk_goes_on_and_its_metrics_follow(tmp_path, caplog):
    file = tmp_path / "metrics.jsonl"
    file.symlink_to("/dev/full")
    log = MetricsLog(tmp_path)
    for step in (1, 2):
        log.line("hits", step, 9, "train", 0.5, {"loss": 1.0})
    assert caplog.text.count("cannot be written: No space left on device; the training goes on") == 1
    file.unlink()
    log.line("hits", 3, 9, "train", 0.5, {"loss": 1.0})
    log.close()
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 2, 3]


def test_damaged_lines_of_metrics_are_passed_over(run, caplog):
    whole = read_metrics(run)
    with (run / "metrics.jsonl").open("ab") as file:
        file.write(b'{"stage": "hits"}\n[]\n\xff\xff\n{"stage": "hits", "kind": "train", "step": 1e400}\n{"sta')
    assert read_metrics(run) == whole
    assert "5 lines are damaged" in caplog.text
    draw_curves(run)


def test_curves_of_nothing_are_not_drawn(tmp_path):
    draw_curves(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_curves_on_a_full_disk_are_reported(run, monkeypatch, caplog):
    (run / "curves.png").unlink(missing_ok=True)
    monkeypatch.setattr("secrets.token_hex", lambda _: "0")
    (run / ".curves.png.0.part").symlink_to("/dev/full")
    draw_curves(run)
    assert "curves.png: cannot be written: No space left on device" in caplog.text
    assert not (run / "curves.png").exists()


def test_config_json_is_whole_or_not_there(run):
    assert json.loads((run / "config.json").read_text())["name"] == "tiny"
    assert not list(run.glob(".*.part"))


@pytest.mark.parametrize(("error", "kept"), [(Stopped("is saved"), True), (TrainingError("has failed"), False)])
def test_a_rank_that_is_stopped_leaves_the_folder_to_the_one_that_saves(config, tmp_path, error, kept):
    run = tmp_path / "run"
    begins = open_run(config, run, may_exist=False)
    with pytest.raises(type(error)), forgotten_if_it_fails(run, begins):
        raise error
    assert (run / "config.json").exists() == kept


def test_a_sign_of_life_while_a_folder_is_removed_does_not_keep_it(tmp_path, monkeypatch):
    run, remove, late = tmp_path / "run", Path.rmdir, [1, 2]
    run.mkdir()

    def rmdir(folder):
        if folder == run and late:
            Heartbeat(run, late.pop())
        remove(folder)

    monkeypatch.setattr(Path, "rmdir", rmdir)
    with pytest.raises(RuntimeError, match="no data"), forgotten_if_it_fails(run, True):
        raise RuntimeError("no data")
    assert not late
    assert not run.exists()
