# SPDX-License-Identifier: BSD-3-Clause
"""Searches and their journals: whatever is killed, they go on as if nothing had happened."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.trainings.small_search import write_search

from fastcalo.errors import ConfigError, InputError, OutputError
from fastcalo.training.tune.config import StoppingConfig, load_tune
from fastcalo.training.tune.study.journal import Journal, read_journal
from fastcalo.training.tune.study.study import Outcome, Study, read_record


@pytest.fixture
def setup(tmp_path):
    config, base = load_tune(write_search(tmp_path))
    return SimpleNamespace(config=config, base=base, folder=tmp_path / "study", path=tmp_path / "study/journal.jsonl")


def value(point):
    return math.log(point["stage.hits.learning_rate"] / 1e-3) ** 2 + abs(point["network.hit_width"] - 130) / 100


def work(study, trials, first=0):
    """Trials that end in all ways there are; every fourth one is left under way."""
    for i in range(first, first + trials):
        trial = study.ask()
        study.begin(trial, i % 2, [1 + i % 2])
        study.rung(trial, 10, value(trial.point) + 1)
        status = ("done", "failed", "stopped", "left")[i % 4]
        if status != "left":
            study.tell(trial, Outcome(status, value(trial.point), 0.01, reason=status, metrics={"x": np.float32(1.5)}))


# --- going on


@pytest.mark.parametrize("optimiser", ["random", "gp", pytest.param("optuna", marks=pytest.mark.slow)])
def test_a_search_goes_on_as_if_never_interrupted(setup, optimiser, tmp_path):
    config = setup.config.updated(optimiser=optimiser)
    with Study.create(setup.folder, config, setup.base) as study:
        work(study, 9)
        here = json.loads(json.dumps([t.reported for t in study.trials]))
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy/journal.jsonl").write_bytes(setup.path.read_bytes())
    points = []
    for folder, breaks in ((setup.folder, 1), (tmp_path / "copy", 3)):
        for _ in range(breaks):
            with Study.resume(folder) as study:
                assert [t.reported for t in study.trials[:9]] == here
                assert [t.number for t in study.pending[:2]] == [3, 7]
                work(study, 3 // breaks, first=len(study.trials))
        points.append([(t.point, t.source, t.status, t.value) for t in study.trials])
    assert points[0] == points[1]
    sources = ["random"] * 5 if optimiser == "random" else ["design"] * 4 + [optimiser]
    assert [s for _, s, _, _ in points[0]][:6] == ["start", *sources]
    assert len({tuple(p.values()) for p, *_ in points[0]}) == 12


def test_trials_are_asked_for_until_there_are_enough(setup):
    with Study.create(setup.folder, setup.config.updated(trials=3), setup.base) as study:
        assert [study.ask().number for _ in range(3)] == [0, 1, 2]
        assert study.ask() is None
    with Study.resume(setup.folder) as study:
        assert study.ask() is None
    with Study.resume(setup.folder, setup.config.updated(trials=4)) as study:
        assert study.ask().number == 3
    assert read_record(setup.folder).config.trials == 4


def test_a_search_is_gone_on_with_by_its_own_configuration_only(setup):
    Study.create(setup.folder, setup.config, setup.base).close()
    with Study.resume(
        setup.folder,
        setup.config.updated(
            group_size=2,
            stopping=StoppingConfig(
                rule="none",
            ),
        ),
    ) as study:
        assert study.config.stopping.rule == "none"
    with pytest.raises(ConfigError, match=r"study: was begun with another seed; --resume needs the same"):
        Study.resume(setup.folder, setup.config.updated(seed=2))
    other = setup.config.updated(space=type(setup.config.space)(setup.config.space.dimensions[:1]))
    with pytest.raises(ConfigError, match="another space"):
        Study.resume(setup.folder, other)
    # a refusal lets go of the journal
    Study.resume(setup.folder).close()


def test_a_folder_holds_one_search(setup, tmp_path):
    Study.create(setup.folder, setup.config, setup.base).close()
    with pytest.raises(OutputError, match=r"journal\.jsonl: exists already; go on with it \(--resume\)"):
        Study.create(setup.folder, setup.config, setup.base)
    with pytest.raises(InputError, match=r"none/journal\.jsonl: there is no such file"):
        Study.resume(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    with pytest.raises(OutputError, match="cannot be made"):
        Study.create(tmp_path / "tune.toml" / "study", setup.config, setup.base)


def test_one_process_at_a_time(setup):
    with Study.create(setup.folder, setup.config, setup.base):
        code = f"from fastcalo.training.tune.study.study import Study; Study.resume({str(setup.folder)!r})"
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert other.returncode == 1
        assert "another process works on this search" in other.stderr
        # reading needs no lock
        assert read_record(setup.folder).trials == []
    Study.resume(setup.folder).close()


def test_nothing_acknowledged_is_lost_to_a_kill(setup):
    code = f"""
import itertools
from fastcalo.training.tune.study.study import Study
with Study.resume({str(setup.folder)!r}) as study:
    trial = study.ask()
    for step in itertools.count(1):
        study.rung(trial, step, 1.0)
        print(step, flush=True)
"""
    Study.create(setup.folder, setup.config, setup.base).close()
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if int(line) >= 20:
                break
        os.kill(process.pid, signal.SIGKILL)
        last = int([line, *process.stdout][-1])
    with Study.resume(setup.folder) as study:
        steps = [s for s, _ in study.trials[0].rungs]
        assert steps == list(range(1, len(steps) + 1))
        assert len(steps) in (last, last + 1)
        assert study.pending == study.trials


# --- how trials end


def test_failed_trials_are_reported_as_the_worst_and_more(setup):
    with Study.create(setup.folder, setup.config, setup.base) as study:
        reported = [("failed", 0.0), ("done", 1.0), ("done", 3.0), ("failed", 0.0), ("done", math.nan), ("done", 9.0)]
        for status, number in reported:
            study.tell(study.ask(), Outcome(status, number, reason="out of memory"))
        values = [t.value for t in study.trials]
        # 3 and the spread of 2 on top of it
        assert values == [0.0, 1.0, 3.0, 5.0, 5.0, 9.0]
        assert [t.status for t in study.trials] == ["failed", "done", "done", "failed", "failed", "done"]
        assert study.trials[4].reported["reason"] == "out of memory"
        assert study.best is study.trials[1]
        # the optimiser raises the penalty with the worst value: 9 and the spread of 8
        np.testing.assert_array_equal(study._optimiser.history().value_N, [17, 1, 3, 17, 17, 9])
    history = study._optimiser.history()
    with Study.resume(setup.folder) as study:
        np.testing.assert_array_equal(study._optimiser.history().value_N, history.value_N)


def test_stopped_trials_are_reported_as_guessed_and_are_never_the_best(setup):
    with Study.create(setup.folder, setup.config, setup.base) as study:
        for gain, final in ((2.0, 5.0), (3.0, 6.0)):
            trial = study.ask()
            study.rung(trial, 10, final + gain)
            study.tell(trial, Outcome("done", final))
        trial = study.ask()
        study.rung(trial, 10, 4.0)
        study.tell(trial, Outcome("stopped", reason="median rule"))
        assert (trial.status, trial.value, trial.variance) == ("stopped", 1.5, 0.5)
        assert study.best is study.trials[0]
        # without a rung there is nothing to guess from
        trial = study.ask()
        study.tell(trial, Outcome("stopped", reason="too late"))
        assert trial.status == "failed"
        assert trial.reported["reason"] == "too late; it had reported nothing by then"
        with pytest.raises(ValueError, match="cannot be reported"):
            study.tell(trial, Outcome("done", 1.0))
        with pytest.raises(ValueError, match="'lost'"):
            study.tell(study.ask(), Outcome("lost"))


def test_rungs_stop_the_hopeless(setup):
    config = setup.config.updated(stopping=StoppingConfig(rule="median", least=2, first=20))
    with Study.create(setup.folder, config, setup.base) as study:
        for _ in range(2):
            trial = study.ask()
            assert study.rung(trial, 10, 1.0) == study.rung(trial, 20, 1.0) == ""
        trial = study.ask()
        assert study.rung(trial, 10, 2.0) == ""
        assert study.rung(trial, 20, math.nan) == ""
        assert "median rule at step 20" in study.rung(trial, 20, 2.0)
        # begun again from a checkpoint, it comes to the same steps once more
        study.begin(trial, 0, [1])
        study.rung(trial, 10, 1.5)
        assert trial.rungs == [(10, 1.5)]
    assert read_record(setup.folder).trials == study.trials


# --- the file


def test_half_a_line_is_passed_over_and_cut_off(setup, caplog):
    with Study.create(setup.folder, setup.config, setup.base) as study:
        work(study, 3)
    whole = setup.path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for cut in (1, len(lines[-1]) // 2, len(lines[-1]) - 1):
        setup.path.write_bytes(b"".join(lines[:-1]) + lines[-1][:cut])
        assert len(read_record(setup.folder).lines) == len(lines) - 1
        with Study.resume(setup.folder) as study:
            assert [t.number for t in study.pending] == [2]
            assert study.ask().number == 3
        assert "half of a line" in caplog.text
        assert len(read_journal(setup.path)) == len(lines)


DAMAGES = [
    (0, b"", "it has no line of kind 'study'|not the first"),
    (2, b"{\n", "line 3 is not JSON"),
    (2, b"[]\n", "line 3 is no entry of a journal"),
    (2, b'{"kind": "rung", "time": 1.0, "trial": 0}\n', "line 3, of kind 'rung', makes no sense there"),
    (2, b'{"kind": "tell", "time": 1.0, "trial": 9}\n', "line 3, of kind 'tell', makes no sense there"),
    (1, b'{"kind": "ask", "time": 1.0, "trial": 4, "point": {}, "source": ""}\n', "line 2, of kind 'ask'"),
    (0, b'{"kind": "study", "time": 1.0, "base": 3, "config": {}}\n', "base"),
]


@pytest.mark.parametrize(("number", "instead", "reported"), DAMAGES, ids=[d[2][:25] for d in DAMAGES])
def test_damage_is_reported_by_line(setup, number, instead, reported):
    with Study.create(setup.folder, setup.config, setup.base) as study:
        work(study, 2)
    lines = setup.path.read_bytes().splitlines(keepends=True)
    lines[number] = instead
    setup.path.write_bytes(b"".join(lines))
    with pytest.raises((InputError, ConfigError), match=rf"journal\.jsonl.*({reported})"):
        Study.resume(setup.folder)


def test_lines_are_plain_json_with_their_time(tmp_path):
    before = time.time()
    with Journal(tmp_path / "j.jsonl") as journal:
        line = journal.append(
            "tell", a=np.float64(1.5), b=np.arange(2), c=math.nan, d=(np.bool_(True), math.inf), e={1: "ü"}
        )
    assert before <= line.pop("time") <= time.time()
    assert line == {"kind": "tell", "a": 1.5, "b": [0, 1], "c": None, "d": [True, None], "e": {"1": "ü"}}
    (again,) = read_journal(tmp_path / "j.jsonl")
    assert line.items() <= again.items()


def test_a_full_disk_is_reported():
    if not os.path.exists("/dev/full"):  # noqa: PTH110
        pytest.skip("needs /dev/full")
    journal = Journal.__new__(Journal)
    journal.path, journal._file = "/dev/full", os.open("/dev/full", os.O_WRONLY)
    with journal, pytest.raises(OutputError, match="/dev/full: cannot be written: No space left"):
        journal.append("tell")


def test_the_text_of_the_search_is_in_its_journal(setup):
    with Study.create(setup.folder, setup.config, setup.base) as study:
        work(study, 4)
        study.end(busy=0.9)
    record = read_record(setup.folder)
    assert (record.config, record.base) == (setup.config, setup.base)
    assert [t.status for t in record.trials] == ["done", "failed", "stopped", "running"]
    assert record.trials[0].reported["metrics"] == {"x": 1.5}
    assert record.trials[1].begins[0]["group"] == 1
    assert record.lines[-1]["kind"] == "end"
