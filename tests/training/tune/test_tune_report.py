# SPDX-License-Identifier: BSD-3-Clause
"""`fastcalo tune report`: its results for searches whose outcome is known."""

import itertools
import json
import math
import tomllib
from pathlib import Path

import numpy as np
import pytest
from helpers.browser import Page, check_in_browser
from helpers.command import run_command
from hypothesis import given
from hypothesis import strategies as st

import fastcalo
from fastcalo.errors import InputError
from fastcalo.training.config import TrainConfig, load_config, with_values
from fastcalo.training.tune.config import recorded_tune
from fastcalo.training.tune.report.analysis import RandomOrder, pareto
from fastcalo.training.tune.report.report import report_study
from fastcalo.training.tune.study.record import Trial, read_record
from fastcalo.training.tune.study.study import Outcome, Study

ROOT = Path(__file__).parents[3]
SPACE = {
    "stage.hits.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "network.hit_width": {"low": 64, "high": 256, "integer": True},
    "stage.adversarial.anneal": {"choices": [True, False]},
}
DIVERGED = "the loss is <b>not</b> finite at step 3"


@pytest.fixture(scope="module")
def base() -> TrainConfig:
    return load_config(ROOT / "configs" / "em-hits.toml")


def worth(point) -> float:
    """Lowest in the middle of learning rates, for wide networks, without annealing."""
    rate = math.log10(point["stage.hits.learning_rate"]) + 3
    width = (point["network.hit_width"] - 64) / 192
    return rate**2 - 0.2 * width + 0.3 * point["stage.adversarial.anneal"]


def outcome(trial: Trial, rng: np.random.Generator, **changes) -> Outcome:
    """What a training comes to, with noise that is known."""
    value = worth(trial.point) + 0.05 * float(rng.normal())
    reported = {"status": "done", "value": value, "variance": 0.05**2, "seconds": 60.0 + trial.number,
            "folds": (value,), "distance": 0.01 * math.exp(value), "floor": 0.01,
            "latency_ms": trial.point["network.hit_width"] / 400}  # fmt: skip
    return Outcome(**(reported | changes))


def search(folder: Path, base: TrainConfig, optimiser: str, trials: int, seed=1, reported=outcome, most=None, **table):
    """Make a search with the real parts, except for the training; all but the first `most` trials stay open."""
    content = {"name": "em", "base": "em.toml", "trials": trials, "optimiser": optimiser, "initial": 6, "seed": seed,
               "space": SPACE, "start": [{}], "stopping": {"rule": "median", "least": 3}, "objective": {"folds": 2},
               **table}  # fmt: skip
    rng = np.random.default_rng(seed)
    with Study.create(folder, recorded_tune(content, base, "tune.toml"), base) as study:
        while (trial := study.ask()) is not None:
            study.begin(trial, trial.number % 2, [1 + trial.number % 2])
            if most is not None and trial.number >= most:
                continue
            ended = reported(trial, rng)
            reason = "" if ended.status != "done" else study.rung(trial, 1000, ended.value + 1 + 0.01 * trial.number)
            study.tell(trial, Outcome("stopped", reason=reason, seconds=30.0) if reason else ended)
        if most is None:
            study.end(busy=0.985)
    return folder


def mixed(trial: Trial, rng: np.random.Generator) -> Outcome:
    """Some fail."""
    if trial.number % 7 == 3:
        return Outcome("failed", reason=DIVERGED, seconds=20.0)
    return outcome(trial, rng)


@pytest.fixture(scope="module")
def searches(tmp_path_factory, base) -> Path:
    folder = tmp_path_factory.mktemp("searches")
    search(folder / "gp", base, "gp", 18, reported=mixed)
    search(folder / "random", base, "random", 16, seed=2)
    return folder


@pytest.fixture(scope="module")
def reported(searches) -> Path:
    done = run_command("tune", "report", searches / "gp", "-o", searches / "report", "--baseline", searches / "random")
    assert done.returncode == 0, done.stderr
    assert "below the best of random" in done.stdout
    return searches / "report"


@pytest.fixture(scope="module")
def numbers(reported) -> dict:
    return json.loads((reported / "report.json").read_text())


@pytest.fixture(scope="module")
def lines(searches) -> list[dict]:
    return [json.loads(text) for text in (searches / "gp" / "journal.jsonl").read_text().splitlines()]


# numbers


def test_the_head_is_that_of_the_journal(numbers, lines):
    reports = [line for line in lines if line["kind"] == "tell"]
    counts = {status: sum(t["status"] == status for t in reports) for status in ("done", "failed", "stopped")}
    assert numbers["counts"] == counts | {"running": 0, "asked": 0}
    assert counts["failed"] >= 2
    assert counts["stopped"] >= 1
    assert numbers["group_seconds"] == pytest.approx(sum(t["seconds"] for t in reports))
    assert numbers["wall_seconds"] == pytest.approx(lines[-1]["time"] - lines[0]["time"])
    assert (numbers["busy"], numbers["groups"], numbers["ended"]) == (0.985, 2, True)
    assert numbers["fastcalo"] == [fastcalo.__version__]
    assert numbers["config"]["space"].keys() == SPACE.keys()


def done_values(lines) -> dict[int, float]:
    return {t["trial"]: t["value"] for t in lines if t["kind"] == "tell" and t["status"] == "done"}


def test_the_best_trial_is_the_lowest_that_is_done(numbers, lines):
    values = done_values(lines)
    best = min(values, key=values.get)
    assert numbers["best"]["trial"] == best
    assert numbers["best"]["value"] == values[best]
    assert numbers["best"]["error"] == pytest.approx(math.hypot(0.05, numbers["surface"]["noise"]))
    assert numbers["surface"]["noise"] < 0.1
    assert numbers["best"]["error_from"] == ["folds", "surface"]
    assert numbers["best"]["chosen_of"] == len(values)
    # the surface takes back some of what luck gave
    truth = worth(numbers["best"]["point"])
    assert abs(numbers["best"]["smooth"] - truth) < 4 * max(numbers["best"]["smooth_error"], 0.01)


def test_the_best_is_held_against_the_trainings_own_values(numbers, lines):
    values = done_values(lines)
    against = numbers["default"]
    assert against["trial"] == 0
    assert against["difference"] == pytest.approx(values[0] - min(values.values()))
    assert against["difference_error"] == pytest.approx(numbers["best"]["error"] * math.sqrt(2))
    assert against["sigmas"] == pytest.approx(against["difference"] / against["difference_error"])
    from scipy.stats import norm

    assert against["p"] == pytest.approx(norm.sf(against["sigmas"]))
    assert against["p_chosen"] == pytest.approx(1 - (1 - against["p"]) ** (len(values) - 1), rel=1e-6)
    assert numbers["default_point"]["stage.hits.learning_rate"] == 2.5e-3


def test_two_searches_are_held_against_each_other_after_as_many_trials(numbers, lines, searches):
    (found,) = numbers["baselines"]
    assert (found["label"], found["optimiser"], found["seed"], found["trials"]) == ("random", "random", 2, 16)
    mine = [t for t in lines if t["kind"] == "tell"][:16]
    other = read_record(searches / "random")
    difference = other.best.value - min(t["value"] for t in mine if t["status"] == "done")
    assert found["against"]["difference"] == pytest.approx(difference)
    # chosen alike, so that nothing is added
    assert found["against"]["p_chosen"] == pytest.approx(found["against"]["p"])


def test_convergence_counts_time_of_all_and_values_of_those_that_are_done(numbers, lines):
    best, hours, expected = math.inf, 0.0, []
    for tell in (t for t in lines if t["kind"] == "tell"):
        best = min(best, tell["value"]) if tell["status"] == "done" else best
        hours += tell["seconds"] / 3600
        expected.append((best, hours))
    found = numbers["convergence"]
    assert found["best"] == [b for b, _ in expected]
    assert found["group_hours"] == pytest.approx([h for _, h in expected])
    assert found["random_order"] is None
    assert found["baselines"]["random"]["trials"] == list(range(1, 17))


def test_without_a_baseline_a_random_order_of_the_design_stands_beside_it(searches, lines):
    content = report_study(searches / "gp").content
    found = content["convergence"]["random_order"]
    sources = {line["trial"]: line["source"] for line in lines if line["kind"] == "ask"}
    design = [v for trial, v in done_values(lines).items() if sources[trial] == "design"]
    assert found["of"] == f"the {len(design)} points of this search's own initial design (sobol)"
    assert found["mean"][0] == pytest.approx(np.mean(design))
    assert found["mean"][-1] == pytest.approx(min(design))
    assert content["baselines"] == []


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=5))
def test_expected_lowest_is_the_mean_over_all_orders(values):
    found = RandomOrder.expected(values, "values")
    lowest = np.array([np.minimum.accumulate(order) for order in itertools.permutations(values)])
    assert found.mean == pytest.approx(lowest.mean(0), abs=1e-9)
    assert found.spread == pytest.approx(lowest.std(0), abs=1e-6)


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=12))
def test_no_trial_beats_those_of_the_front(pairs):
    trials = [
        Trial(k, {}, "random", "done", 0.0, reported={"distance": float(d), "floor": 1.0, "latency_ms": float(x)})
        for k, (d, x) in enumerate(pairs)
    ]
    front = [pairs[t.number] for t in pareto(trials)]
    beaten = {(d, x) for d, x in pairs for e, y in pairs if e <= d and y <= x and (e, y) != (d, x)}
    assert sorted(front) == sorted(set(pairs) - beaten)


def test_the_front_is_in_the_report(numbers):
    assert numbers["pareto"]
    done = [t for t in numbers["trials"] if t["status"] == "done"]
    fastest = min(done, key=lambda t: (t["latency_ms"], t["distance"]))
    nearest = min(done, key=lambda t: (t["distance"], t["latency_ms"]))
    assert numbers["pareto"][0]["trial"] == fastest["trial"]
    assert numbers["pareto"][-1]["trial"] == nearest["trial"]


def test_what_matters_is_found(numbers):
    shares = {key: n["share"] for key, n in numbers["importance"].items()}
    assert max(shares, key=shares.get) == "stage.hits.learning_rate"
    assert all(0 <= s <= 1 for s in shares.values())
    assert numbers["dependence"]["stage.adversarial.anneal"]["values"] == [True, False]
    with_, without = numbers["dependence"]["stage.adversarial.anneal"]["mean"]
    assert with_ > without
    rate = numbers["dependence"]["stage.hits.learning_rate"]
    assert 3e-4 < rate["values"][int(np.argmin(rate["mean"]))] < 3e-3


# files


def test_the_best_configuration_is_that_of_the_trial(reported, numbers, base):
    found = load_config(reported / "best.toml")
    assert found == with_values(base, numbers["best"]["point"], "best")
    assert found != base
    text = (reported / "best.toml").read_text()
    assert tomllib.loads(text)["data"]["train"] == ["$FASTCALO_DATA/em_train.h5"]
    assert f"trial {numbers['best']['trial']}" in text.splitlines()[0]


def test_the_page_needs_nothing_else(reported):
    page = Page()
    text = (reported / "index.html").read_text()
    page.feed(text)
    assert len(page.sources) == 5
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert page.headings[0] == "Search em"
    assert {"Convergence", "What matters", "All trials at once", "Physics against latency", "Trials"} <= {
        *page.headings
    }
    assert "winner's curse" in text
    assert text.count("the loss is &lt;b&gt;not&lt;/b&gt; finite at step 3") >= 4
    assert "<b>not" not in text


def test_a_browser_shows_the_page_with_all_its_figures(reported, tmp_path):
    check_in_browser((reported / "index.html").read_text(), tmp_path)


def test_a_report_is_not_replaced_unasked(searches, reported):
    done = run_command("tune", "report", searches / "gp", "-o", reported)
    assert done.returncode == 1
    assert "index.html: exists already" in done.stderr
    assert "--overwrite" in done.stderr


# searches that are not whole


def test_a_search_that_was_cut_short_is_reported(tmp_path, base):
    folder = search(tmp_path / "cut", base, "random", 12, most=8)
    journal = folder / "journal.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"kind": "tell", "trial": 8, "sta')
    report = report_study(folder)
    assert report.content["ended"] is False
    assert report.content["counts"]["running"] == 4
    report.write(tmp_path)
    assert "runs still, or was interrupted" in (tmp_path / "index.html").read_text()
    assert [t["status"] for t in report.content["trials"]].count("running") == 4


def test_one_trial_is_enough(tmp_path, base):
    folder = search(tmp_path / "one", base, "gp", 1, reported=lambda t, rng: outcome(t, rng, variance=0.0))
    report = report_study(folder)
    report.write(tmp_path)
    text = (tmp_path / "index.html").read_text()
    best = json.loads((tmp_path / "report.json").read_text())["best"]
    assert (best["trial"], best["smooth"], best["error"], best["error_from"]) == (0, None, None, [])
    assert report.content["default_state"] == "the training's own values, itself the best"
    assert "needs 4 of them" in text
    assert load_config(tmp_path / "best.toml") == base


def test_without_errors_the_scatter_is_the_error(tmp_path, base):
    folder = search(tmp_path / "s", base, "random", 20, reported=lambda t, rng: outcome(t, rng, variance=0.0),
                    stopping={"rule": "none"})  # fmt: skip
    best = report_study(folder).content["best"]
    assert best["error_from"] == ["surface"]
    assert 0.01 < best["error"] < 0.25


def test_alike_values_and_no_latency_make_no_surface_and_no_front(tmp_path, base):
    plain = Outcome("done", value=1.0, seconds=1.0)
    folder = search(tmp_path / "s", base, "random", 8, reported=lambda *_: plain, stopping={"rule": "none"})
    report = report_study(folder)
    report.write(tmp_path)
    assert report.content["importance"] == {}
    assert report.content["pareto"] == []
    assert "No trial reported its latency" in (tmp_path / "index.html").read_text()


# bad input


def test_nothing_done_is_nothing_to_report(tmp_path, base):
    failing = Outcome("failed", reason="out of memory", seconds=1.0)
    folder = search(tmp_path / "none", base, "random", 4, reported=lambda *_: failing, most=3)
    done = run_command("tune", "report", folder, "-o", tmp_path / "report")
    assert done.returncode == 1
    assert "no trial is done yet (3 failed, 1 running)" in done.stderr
    assert "out of memory" in done.stderr
    assert not (tmp_path / "report").exists()


def test_a_folder_without_a_journal_is_reported(tmp_path):
    with pytest.raises(InputError, match=r"journal\.jsonl: cannot be read"):
        report_study(tmp_path)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"space": SPACE | {"network.hit_width": {"low": 64, "high": 512, "integer": True}}}, r"\[space\]"),
        ({"objective": {"folds": 2, "showers": 1000}}, r"\[objective\]"),
    ],
)
def test_a_search_for_something_else_is_no_baseline(tmp_path, searches, base, change, key):
    other = search(tmp_path / "other", base, "random", 2, **change)
    with pytest.raises(InputError, match=rf"other: is no baseline: its {key}"):
        report_study(searches / "gp", [other])


def test_a_search_with_another_training_is_no_baseline(tmp_path, searches, base):
    other = search(tmp_path / "other", with_values(base, {"stage.hits.steps": 7}, "x"), "random", 2)
    with pytest.raises(InputError, match="is no baseline: its base: stage"):
        report_study(searches / "gp", [other])


def test_baselines_of_one_name_are_distinguished(tmp_path, searches, base):
    paths = [search(tmp_path / name / "s", base, "random", 2, seed=k) for k, name in enumerate("ab")]
    report = report_study(searches / "gp", paths)
    assert [b["label"] for b in report.content["baselines"]] == list(map(str, paths))
