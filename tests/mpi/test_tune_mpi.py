# SPDX-License-Identifier: BSD-3-Clause
"""Searches under mpiexec: groups, failing and stuck trials, and whoever is killed: nothing reported is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from helpers.command import run_command
from helpers.fork_server import forked_python
from helpers.mpi import ENVIRONMENT, MPIEXEC, start, until
from helpers.trainings.tiny_search import write_search, write_showers_for_search

from fastcalo.export.exporter import export_unchecked
from fastcalo.training.run import checkpoint
from fastcalo.training.run.curves import read_metrics
from fastcalo.training.tune.running.search import search
from fastcalo.training.tune.running.trial import steps_saved, trial_folder
from fastcalo.training.tune.study.study import read_record

pytestmark = [
    pytest.mark.mpi,
    pytest.mark.timeout(400),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_showers_for_search(tmp_path_factory.mktemp("data"))


def command(ranks: int, file: Path, *options: str, python: list[str] | None = None) -> list[str]:
    tune = ["-m", "fastcalo", "tune", str(file), "-o", str(file.parent / "study"), "--threads", "1"]
    return [str(MPIEXEC), "-n", str(ranks), *(python or forked_python()), *tune, *options]


def tune(ranks: int, file: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(ranks, file, *options), capture_output=True, text=True, check=False, timeout=350, env=ENVIRONMENT
    )


def start_search(ranks: int, file: Path, python: list[str] | None = None) -> subprocess.Popen[str]:
    return start(command(ranks, file, python=python), FASTCALO_SEARCH=str(file))


def pid_of(file: Path, rank: int) -> int:
    """Process of a rank of the search that `start_search` has started with this file."""
    wanted = {f"FASTCALO_SEARCH={file}".encode(), f"PMI_RANK={rank}".encode()}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted <= set((folder / "environ").read_bytes().split(b"\0")):
                return int(folder.name)
        except OSError:
            pass
    raise AssertionError(f"there is no rank {rank}")


def lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in (file.parent / "study" / "journal.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("ranks", "size", "strategy"),
    [(3, 1, "allreduce"), (6, 2, "allreduce"), pytest.param(5, 2, "easgd", marks=pytest.mark.slow)],
)
def test_two_groups_share_the_trials(data, tmp_path, ranks, size, strategy):
    file = write_search(tmp_path, data, trials=4, group_size=size, strategy=strategy)
    done = tune(ranks, file)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Done:") == 1
    record = read_record(tmp_path / "study")
    assert [t.status for t in record.trials] == ["done"] * 4, done.stderr
    begins = [t.begins[0] for t in record.trials]
    assert {b["group"] for b in begins} == {0, 1}
    assert {tuple(b["ranks"]) for b in begins} == {tuple(range(1 + g * size, 1 + g * size + size)) for g in (0, 1)}
    assert record.lines[-1]["kind"] == "end"
    assert record.lines[-1]["groups"] == 2
    assert 0 < record.lines[-1]["busy"] <= 1
    # the next point is asked for before any group needs it
    order = [line["kind"] for line in record.lines]
    assert order[: order.index("tell")].count("ask") == 3
    assert ("left over" in done.stderr) == (ranks % 2 == 0 and size == 2)


# failing, and not ending


def test_an_error_of_one_rank_fails_the_trial_and_not_the_search(data, tmp_path):
    file = write_search(tmp_path, data, trials=4, group_size=2)
    base = tmp_path / "base.toml"
    base.write_text(base.read_text().replace(f"{data}/b.h5", "$SHOWERS/b.h5"))
    parts = [str(MPIEXEC)]
    for rank in range(5):
        # the second rank of the first group does not see the file
        folder = tmp_path if rank == 2 else data
        parts += [":"] * bool(rank) + ["-n", "1", "-env", "SHOWERS", str(folder), *command(1, file)[3:]]
    done = subprocess.run(parts, capture_output=True, text=True, check=False, timeout=350, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    trials = read_record(tmp_path / "study").trials
    for trial in trials:
        if trial.begins[0]["group"] == 0:
            assert trial.status == "failed"
            assert "rank 1 of 2: " in trial.reported["reason"]
            assert f"there is no file {tmp_path}/b.h5" in trial.reported["reason"]
        else:
            assert trial.status == "done"
    assert {t.begins[0]["group"] for t in trials} == {0, 1}


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["allreduce", "easgd"])
def test_a_training_that_diverges_is_reported_and_its_ranks_go_on_together(data, tmp_path, strategy):
    space = '"stage.hits.learning_rate" = { choices = [1e-3, 1e20] }\n"stage.hits.warmup" = { choices = [1, 2] }'
    file = write_search(tmp_path, data, trials=4, group_size=2, strategy=strategy, space=space, steps=20)
    done = tune(3, file)
    assert done.returncode == 0, done.stderr
    trials = read_record(tmp_path / "study").trials
    for trial in trials:
        diverges = trial.point["stage.hits.learning_rate"] > 1
        assert trial.status == ("failed" if diverges else "done"), trial.reported
        assert ("not finite" in trial.reported["reason"]) == diverges
    assert Counter(t.status for t in trials) == {"done": 2, "failed": 2}


def test_a_trial_that_never_ends_is_stopped_in_all_ranks(data, tmp_path):
    file = write_search(tmp_path, data, trials=1, group_size=2, steps=1_000_000, trial_limit_s=5.0)
    done = tune(3, file)
    assert done.returncode == 0, done.stderr
    (trial,) = read_record(tmp_path / "study").trials
    assert trial.status == "failed"
    assert "longer than trial_limit_s = 5" in trial.reported["reason"]


@pytest.mark.slow
def test_a_trial_that_is_stuck_ends_the_search_which_goes_on_without_it(data, tmp_path):
    file = write_search(tmp_path, data, trials=3, steps=4000, checkpoint=5, trial_limit_s=12.0)
    process = start_search(2, file, [sys.executable])
    until((trial_folder(tmp_path / "study", 0) / "hits.pt").exists, 120)
    stuck = pid_of(file, 1)
    os.kill(stuck, signal.SIGSTOP)
    try:
        _, errors = process.communicate(timeout=200)
    finally:
        with suppress(ProcessLookupError):
            os.kill(stuck, signal.SIGKILL)
    assert process.returncode != 0
    assert "trial 0: no end in sight" in errors
    assert "on ranks [1]" in errors
    assert "--resume" in errors
    # the others get a training that does end
    write_search(tmp_path, data, trials=3, steps=4000, trial_limit_s=5.0)
    done = tune(3, file, "--resume")
    assert done.returncode == 0, done.stderr
    trials = read_record(tmp_path / "study").trials
    assert "no end in sight" in trials[0].reported["reason"]
    assert all("longer than trial_limit_s = 5" in t.reported["reason"] for t in trials[1:])


@pytest.mark.slow
def test_a_coordinator_that_hangs_is_reported_by_those_who_wait_for_it(data, tmp_path):
    file = write_search(tmp_path, data, trials=2, steps=1_000_000, checkpoint=5, patience=8)
    process = start_search(2, file, [sys.executable])
    until((trial_folder(tmp_path / "study", 0) / "hits.pt").exists, 120)
    stuck = pid_of(file, 0)
    os.kill(stuck, signal.SIGSTOP)
    try:
        _, errors = process.communicate(timeout=100)
    finally:
        with suppress(ProcessLookupError):
            os.kill(stuck, signal.SIGKILL)
    assert process.returncode != 0
    assert "rank 0, which coordinates the search, has given no sign of life for" in errors
    assert "--resume" in errors
    assert steps_saved(trial_folder(tmp_path / "study", 0)) >= 5


# killed


KEYS = {"trials": 4, "steps": 160, "checkpoint": 20}
"""Of searches that are killed."""


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory) -> list[float]:
    """Values of a search that nobody disturbs, in one process."""
    folder = tmp_path_factory.mktemp("whole")
    study = search(write_search(folder, data, **KEYS), folder / "study", export_unchecked)
    assert study is not None
    return [t.value for t in study.trials]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "killed", "ranks", "later"),
    [(1, (2,), 3, 1), (1, (0,), 3, 4), (2, (4,), 5, 3), (2, (3, 4), 5, 3)],
    ids=["worker", "coordinator", "member", "group"],
)
def test_whoever_is_killed_nothing_is_lost_but_steps_since_the_last_checkpoint(
    data, whole, tmp_path, size, killed, ranks, later
):
    file = write_search(tmp_path, data, group_size=size, **KEYS)
    study = tmp_path / "study"
    process = start_search(ranks, file)

    def half_way() -> bool:
        kinds = Counter(line["kind"] for line in lines(file)) if (study / "journal.jsonl").exists() else Counter()
        under_way = [line["trial"] for line in lines(file) if line["kind"] == "begin"] if kinds["tell"] else []
        reported = [line["trial"] for line in lines(file) if line["kind"] == "tell"] if kinds["tell"] else []
        return any(20 <= steps_saved(trial_folder(study, t)) < KEYS["steps"] for t in under_way if t not in reported)

    until(half_way, 200)
    for rank in killed:
        os.kill(pid_of(file, rank), signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode != 0
    before = (study / "journal.jsonl").read_bytes()
    saved = {t.number: steps_saved(trial_folder(study, t.number)) for t in read_record(study).pending}
    assert any(saved.values())
    if later == 1:
        search(file, study, export_unchecked, resume=True)
    else:
        done = tune(later, file, "--resume")
        assert done.returncode == 0, done.stderr
    assert (study / "journal.jsonl").read_bytes().startswith(before[: before.rfind(b"\n") + 1])
    trials = read_record(study).trials
    assert [t.status for t in trials] == ["done"] * 4
    # a group of any size trains the same, but for rounding
    assert [t.value for t in trials] == pytest.approx(whole, rel=1e-6 if size == 1 else 0.05)
    for number, steps in saved.items():
        assert trials[number].begins[-1]["saved"] == steps
        folder = trial_folder(study, number)
        assert checkpoint.load(folder / "hits.pt")["step"] == KEYS["steps"]
        logged = Counter(line["step"] for line in read_metrics(folder) if line["kind"] == "train")
        assert all(logged[step] == 1 for step in range(50, steps + 1, 50))
    assert Counter(line["trial"] for line in lines(file) if line["kind"] == "tell") == Counter(range(4))


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 2])
def test_a_signal_to_any_rank_saves_all_trials_and_ends(data, tmp_path, rank):
    file = write_search(tmp_path, data, trials=3, steps=5_000, checkpoint=100_000)
    study = tmp_path / "study"
    process = start_search(3, file)
    ready: list[Callable[[], bool]] = [(trial_folder(study, k) / "metrics.jsonl").exists for k in (0, 1)]
    until(lambda: all(is_there() for is_there in ready), 120)
    os.kill(pid_of(file, rank), signal.SIGTERM)
    _, errors = process.communicate(timeout=100)
    assert process.returncode != 0
    assert "Traceback" not in errors
    assert "all trials under way are saved: go on with --resume" in errors
    assert all(steps_saved(trial_folder(study, k)) >= 50 for k in (0, 1))
    assert lines(file)[-1]["kind"] == "end"


# bad input


@pytest.mark.parametrize(("ranks", "size", "needed"), [(2, 2, 3), (3, 4, 5)])
def test_fewer_ranks_than_a_group_needs(data, tmp_path, ranks, size, needed):
    file = write_search(tmp_path, data, group_size=size)
    done = tune(ranks, file)
    assert done.returncode != 0
    assert f"group_size = {size} needs {needed} processes at least, one that coordinates and a group" in done.stderr
    assert f"there are {ranks}: mpiexec -n {needed}" in done.stderr
    assert not (tmp_path / "study").exists()


def test_help_has_an_example():
    done = run_command("tune", "--help")
    assert done.returncode == 0
    assert "mpiexec -n 3 fastcalo tune configs/tune-em.toml -o studies/em --threads 1" in done.stdout
    assert "fastcalo tune report" in done.stdout
