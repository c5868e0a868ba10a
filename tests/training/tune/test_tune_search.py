# SPDX-License-Identifier: BSD-3-Clause
"""A search in one process: trials one after the other, what becomes of bad ones, and going on."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from helpers.files.shower_files import write_real
from helpers.trainings.tiny_search import SPACE, write_search, write_showers_for_search

from fastcalo.errors import ConfigError, InputError, OutputError
from fastcalo.export.exporter import export_unchecked
from fastcalo.training.config import load_config, value_at, with_values
from fastcalo.training.run import checkpoint
from fastcalo.training.run.signals import Stopped
from fastcalo.training.tune.config import load_tune
from fastcalo.training.tune.running import trial_queue
from fastcalo.training.tune.running.coordinator import GroupState, busy_shares, patience
from fastcalo.training.tune.running.search import communicator_colour, search
from fastcalo.training.tune.running.trial import steps_saved, trial_folder
from fastcalo.training.tune.running.trial_queue import NoDisplay
from fastcalo.training.tune.study.study import Study, read_record

CONFIGS = Path(__file__).parents[3] / "configs"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_showers_for_search(tmp_path_factory.mktemp("data"))


def kinds(folder: Path) -> list[str]:
    return [json.loads(line)["kind"] for line in (folder / "journal.jsonl").read_text().splitlines()]


def test_trials_are_trained_judged_and_reported(data, tmp_path):
    file = write_search(tmp_path, data, stages="layers hits", evaluate=5, more='[stopping]\nrule = "median"\nleast = 9')
    study = search(file, tmp_path / "study", export_unchecked)
    assert study is not None
    reported = [t.reported for t in study.trials]
    assert [t["status"] for t in reported] == ["done"] * 3
    # the stage hits begins at step 8
    assert [[step for step, _ in t.rungs] for t in study.trials] == [[13]] * 3
    for trial in study.trials:
        assert trial.reported["distance"] > 0
        assert trial.reported["seconds"] > 0
        assert trial.reported["folds"] == [trial.value]
        run = json.loads((trial_folder(study.folder, trial.number) / "config.json").read_text())
        assert run["stage"][1]["learning_rate"] == trial.point["stage.hits.learning_rate"]
        assert steps_saved(trial_folder(study.folder, trial.number)) == 16
    assert kinds(study.folder)[-1] == "end"
    end = read_record(study.folder).lines[-1]
    assert 0.9 < end["busy"] <= 1
    assert study.best.value == min(t.value for t in study.trials)


def test_folds_are_trained_each_and_their_spread_is_reported(data, tmp_path):
    file = write_search(tmp_path, data, trials=1, steps=4, objective="folds = 2")
    base = tmp_path / "base.toml"
    # all showers are those of training
    text = base.read_text().replace('"]\ntest', f'", "{data}/test.h5", "{data}/more.h5"]\ntest')
    write_real(data / "more.h5", 150, start=600)
    base.write_text(text)
    study = search(file, tmp_path / "study", export_unchecked)
    (trial,) = study.trials
    assert trial.status == "done", trial.reported["reason"]
    a, b = trial.reported["folds"]
    assert trial.value == pytest.approx((a + b) / 2)
    assert trial.variance == pytest.approx((a - b) ** 2 / 4)
    hashes = [checkpoint.load(trial_folder(study.folder, 0) / f"fold{k}" / "hits.pt")["data_hash"] for k in range(2)]
    assert hashes[0] != hashes[1]


@pytest.mark.parametrize(
    ("space", "reason"),
    [
        ('"stage.hits.learning_rate" = { choices = [1e-3, 1e20] }', "not finite"),
        ('"stage.hits.batch" = { choices = [12, 5000] }', "5000 showers"),
    ],
)
def test_a_trial_that_fails_is_reported_with_its_reason_and_the_others_go_on(data, tmp_path, space, reason):
    file = write_search(tmp_path, data, trials=2, space=space, optimiser="random")
    study = search(file, tmp_path / "study", export_unchecked)
    status = [t.status for t in study.trials]
    assert status.count("failed") == 1
    assert status.count("done") == len(status) - 1
    (failed,) = [t for t in study.trials if t.status == "failed"]
    assert reason in failed.reported["reason"]
    assert failed.value is not None


def test_a_trial_that_never_ends_is_stopped_between_two_steps(data, tmp_path):
    file = write_search(tmp_path, data, trials=1, steps=1_000_000, trial_limit_s=2.0)
    study = search(file, tmp_path / "study", export_unchecked)
    (trial,) = study.trials
    assert trial.status == "failed"
    assert "longer than trial_limit_s = 2" in trial.reported["reason"]
    assert 2 <= trial.reported["seconds"] < 60


def test_a_hopeless_trial_is_stopped(data, tmp_path, caplog):
    start = "".join(f'[[start]]\n"stage.layers.learning_rate" = {rate}\n' for rate in (4e-3, 5e-3, 6e-3, 1e-12))
    space = '"stage.layers.learning_rate" = { low = 1e-12, high = 1e-2, log = true }'
    more = f'[stopping]\nrule = "median"\nleast = 3\n{start}'
    file = write_search(tmp_path, data, stages="hits layers", trials=4, steps=30, evaluate=15, space=space, more=more)
    study = search(file, tmp_path / "study", export_unchecked)
    assert [t.status for t in study.trials] == ["done"] * 3 + ["stopped"]
    last = study.trials[-1]
    assert last.reported["reason"].startswith("median rule at step 45")
    assert steps_saved(trial_folder(study.folder, 3)) < 60
    # it is not for the user to go on with it
    assert "stage layers: stopped after step" in caplog.text
    assert "--resume" not in caplog.text


class Killer(NoDisplay):
    """Sends this process a signal when a trial begins."""

    def __init__(self, trial: int) -> None:
        self.trial = trial

    def began(self, trial, group, again) -> None:  # noqa: ARG002
        if trial.number == self.trial:
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_saves_the_trial_under_way_and_it_goes_on_to_the_same_end(data, tmp_path):
    file = write_search(tmp_path, data, steps=20)
    whole = search(file, tmp_path / "whole", export_unchecked)
    with pytest.raises(Stopped) as stopped:
        search(file, tmp_path / "study", export_unchecked, display=Killer(1))
    assert stopped.value.code == 128 + signal.SIGTERM
    record = read_record(tmp_path / "study")
    assert [t.status for t in record.trials] == ["done", "running"]
    assert 0 < steps_saved(trial_folder(tmp_path / "study", 1)) < 20
    study = search(file, tmp_path / "study", export_unchecked, resume=True)
    assert [t.value for t in study.trials] == [t.value for t in whole.trials]
    assert [len(t.begins) for t in study.trials] == [1, 2, 1]
    assert study.trials[1].begins[1]["saved"] > 0


def test_more_trials_may_be_asked_for_later(data, tmp_path):
    search(write_search(tmp_path, data, trials=1), tmp_path / "study", export_unchecked)
    study = search(write_search(tmp_path, data, trials=2), tmp_path / "study", export_unchecked, resume=True)
    assert [t.status for t in study.trials] == ["done"] * 2


def test_a_trial_that_always_ends_the_search_is_given_up(data, tmp_path):
    file = write_search(tmp_path, data, trials=2)
    with Study.create(tmp_path / "study", *load_tune(file)) as study:
        trial = study.ask()
        for _ in range(trial_queue.ATTEMPTS):
            trial_queue.begin_trial(study, trial, 0, [1])
    study = search(file, tmp_path / "study", export_unchecked, resume=True)
    assert [t.status for t in study.trials] == ["failed", "done"]
    assert "ended 3 times together with the search, at step 0" in study.trials[0].reported["reason"]


def test_a_trial_that_gets_farther_each_time_is_not_given_up(data, tmp_path):
    file = write_search(tmp_path, data, trials=1)
    with Study.create(tmp_path / "study", *load_tune(file)) as study:
        trial = study.ask()
        for saved in (0, 0, 3):
            study.begin(trial, 0, [1], saved=saved)
    study = search(file, tmp_path / "study", export_unchecked, resume=True)
    assert [t.status for t in study.trials] == ["done"]


# bad input


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"group_size": 2}, r"tune\.toml: group_size = 2 needs 3 processes at least.* there is 1: mpiexec -n 3"),
        ({"strategy": "easgd"}, r"tune\.toml: parallel\.strategy = 'easgd' of base\.toml needs a master .* group_size"),
        ({"objective": "folds = 3"}, r"tune\.toml: fold 0 of 3 of .*a\.h5.* has \d+ showers to evaluate models by"),
        ({"space": '"stage.hits.batch" = { choices = [12] }'}, r"can only be 12"),
        ({"space": ""}, r"tune\.toml: space: must hold at least 1 value"),
        (
            {"space": '"stage.hits.bach" = { choices = [12, 13] }'},
            r"bach: unknown key; the nearest known one is 'batch'",
        ),
        ({"space": '"stage.hits.batch" = { low = 20, high = 10, integer = true }'}, r"low = 20.* is above high = 10"),
        ({"trial_limit_s": -1.0}, r"trial_limit_s: must be greater than 0"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_anything_is_written(data, tmp_path, keys, text):
    file = write_search(tmp_path, data, **{"space": SPACE, **keys})
    with pytest.raises((ConfigError, InputError), match=text):
        search(file, tmp_path / "study", export_unchecked)
    assert not (tmp_path / "study").exists()


def test_showers_that_are_not_there_are_reported_before_the_first_trial(data, tmp_path):
    file = write_search(tmp_path, data)
    base = tmp_path / "base.toml"
    base.write_text(base.read_text().replace("b.h5", "c.h5"))
    with pytest.raises(ConfigError, match=r"there is no file .*c\.h5"):
        search(file, tmp_path / "study", export_unchecked)


def test_a_folder_with_a_search_is_not_begun_anew(data, tmp_path):
    file = write_search(tmp_path, data, trials=1, steps=2)
    search(file, tmp_path / "study", export_unchecked)
    with pytest.raises(OutputError, match="--resume"):
        search(file, tmp_path / "study", export_unchecked)
    with pytest.raises(InputError, match="begin a search there without --resume"):
        search(file, tmp_path / "other", export_unchecked, resume=True)


def test_the_shipped_search_begins_with_the_shipped_values():
    tune, base = load_tune(CONFIGS / "tune-em.toml")
    full = load_config(CONFIGS / "em-hits.toml")
    assert tune.trials >= 20
    (start,) = tune.start
    assert with_values(base, start, "start") == base
    assert start == {key: value_at(full, key, "em-hits.toml") for key in tune.space.keys}


# who does what


@pytest.mark.parametrize(("size", "ranks"), [(1, 2), (1, 5), (2, 5), (2, 6), (3, 6), (4, 16)])
def test_ranks_make_up_groups(size, ranks):
    colors = [communicator_colour(rank, size, ranks) for rank in range(ranks)]
    groups = (ranks - 1) // size
    assert colors[0] == 0
    for group in range(groups):
        assert colors[1 + group * size : 1 + (group + 1) * size] == [group + 1] * size
    assert colors[1 + groups * size :] == [groups + 1] * ((ranks - 1) % size)


def test_shares_count_as_long_as_there_is_work():
    states = [GroupState(0, [1], busy=8.0), GroupState(1, [2], busy=4.0, free=5.0)]
    assert busy_shares(states, 0.0, 10.0) == {"busy": pytest.approx(12 / 15), "wall_s": 10.0, "groups": 2}


@pytest.mark.parametrize(("limit", "more"), [(1.0, 5.0), (60.0, 60.0), (1e6, 600.0)])
def test_a_stuck_trial_is_waited_for_in_reason(limit, more):
    assert patience(limit) == more
