# SPDX-License-Identifier: BSD-3-Clause
"""What a model is worth: nothing beats full simulation, and the same showers evaluate all."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from helpers.files.shower_files import SAMPLE, write_real
from helpers.trainings.tiny_search import write_search, write_showers_for_search
from helpers.trainings.tiny_training import tiny_config

from fastcalo.errors import ConfigError, InputError, TrainingError
from fastcalo.export.exporter import export_unchecked
from fastcalo.training.architectures.hits.config import LayersStageConfig
from fastcalo.training.config import DataConfig, load_config
from fastcalo.training.data.folds import Fold, in_fold
from fastcalo.training.trainer import build_architecture, load_run
from fastcalo.training.trainer import run_stages as train
from fastcalo.training.tune.config import ObjectiveConfig
from fastcalo.training.tune.objective import Evaluator, evaluation_rows, read_halves
from fastcalo.training.tune.running.trial import (
    StopReason,
    Task,
    TrialCallback,
    evaluated_stages,
    outcome_from,
    outcome_table,
)
from fastcalo.training.tune.study.study import Outcome

FEW = ObjectiveConfig(distance="separation", showers=100)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_showers_for_search(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def base(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    write_search(folder, data)
    return load_config(folder / "base.toml")


@pytest.mark.parametrize(("distance", "better_by"), [("fpd", 1.0), ("separation", 0.05)])
def test_a_trained_model_is_worth_more_than_an_untrained_one(base, tmp_path, distance, better_by):
    evaluate = Evaluator(base, ObjectiveConfig(distance=distance, showers=100), 1, "here", export_unchecked)
    shared = {k: v for k, v in base.stage[0].as_dict().items() if k in LayersStageConfig.model_fields}
    stage = LayersStageConfig(**shared | {"name": "layers", "steps": 100, "learning_rate": 5e-3})
    config = base.updated(stage=(stage,))
    before = evaluate.evaluate(config, build_architecture(config))
    train(config, tmp_path / "run")
    after = evaluate.evaluate(config, load_run(tmp_path / "run")[1])
    assert after.value < before.value - better_by
    assert before.distance / before.floor == pytest.approx(math.exp(before.value))
    assert before.floor == after.floor == evaluate.floor
    assert 0 < before.variance < 1
    assert before.latency_ms is None


def test_the_same_networks_get_the_same_number(base):
    networks = build_architecture(base)
    first, second = (Evaluator(base, FEW, 1, "here", export_unchecked).evaluate(base, networks) for _ in range(2))
    assert first == second
    assert Evaluator(base, FEW, 2, "here", export_unchecked).evaluate(base, networks).value != first.value


def test_a_look_leaves_no_trace_on_the_networks(base):
    networks = build_architecture(base)
    before = {k: v.clone() for k, v in networks.networks.state_dict().items()}
    Evaluator(base, FEW, 1, "here", export_unchecked).evaluate(base, networks)
    assert networks.networks.training
    assert all(torch.equal(v, before[k]) for k, v in networks.networks.state_dict().items())


def test_time_counts_by_its_weight(base):
    networks = build_architecture(base)
    plain = Evaluator(base, FEW, 1, "here", export_unchecked).evaluate(base, networks)
    timed = Evaluator(base, FEW.updated(latency_weight=0.5), 1, "here", export_unchecked).evaluate(base, networks)
    assert timed.latency_ms > 0
    assert timed.value == pytest.approx(plain.value + 0.5 * math.log(timed.latency_ms))


def test_networks_that_are_not_finite_are_reported(base):
    networks = build_architecture(base)
    for value in networks.networks.parameters():
        value.data.fill_(math.nan)
    with pytest.raises(Exception, match=r"\w"):
        Evaluator(base, FEW, 1, "here", export_unchecked).evaluate(base, networks)


def test_halves_have_no_shower_in_common_and_are_alike(base):
    first, second = read_halves(base, FEW, 3, "here")
    assert len(first) == len(second) == 100
    assert not set(first.kinetic_energy) & set(second.kinetic_energy)
    assert abs(np.log(first.kinetic_energy).mean() - np.log(second.kinetic_energy).mean()) < 0.05


def test_several_files_are_one_sample(base, tmp_path):
    write_real(tmp_path / "one.h5", 130, start=100)
    write_real(tmp_path / "two.h5", 110, start=600)
    several = base.updated(data=base.data.updated(test=(str(tmp_path / "one.h5"), str(tmp_path / "two.h5"))))
    first, second = read_halves(several, FEW, 0, "here")
    for sample in (first, second):
        hits = sample.sections["ECAL"]
        assert (np.diff(hits.shower) >= 0).all()
        # a shower has its own hits, not those of the other file's
        response = sample.energy("ECAL") / sample.kinetic_energy
        assert (response < 0.1).all()
        assert np.corrcoef(sample.energy("ECAL"), sample.kinetic_energy)[0, 1] > 0.9


def test_only_showers_within_the_validity_judge(base):
    narrow = base.updated(validity=base.validity.updated(kinetic_energy=(0.1, 0.2)))
    with pytest.raises(InputError, match=r"test\.h5.* has \d+ showers to evaluate models by"):
        evaluation_rows(narrow, FEW, 0, "here")


def test_no_showers_to_judge_by(base):
    nothing = base.updated(data=base.data.updated(test=()))
    with pytest.raises(ConfigError, match=r"here: data\.test names no showers .* objective\.folds"):
        evaluation_rows(nothing, FEW, 0, "here")


def test_a_fold_is_judged_by_what_it_holds_out(base, tmp_path):
    path = tmp_path / "train.h5"
    path.write_bytes(SAMPLE.read_bytes())
    config = base.updated(data=base.data.updated(train=(str(path),), test=()))
    seen = []
    for k in range(2):
        rows = np.concatenate(evaluation_rows(config, FEW, 5, "here", Fold(k, 2, 9)))
        assert in_fold([path], Fold(k, 2, 9, held_out=True))[rows].all()
        assert not in_fold([path], Fold(k, 2, 9))[rows].any()
        seen.append(set(rows.tolist()))
    assert not seen[0] & seen[1]


# a look on the way


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        ("layers hits adversarial", {"hits": 6, "adversarial": 12}),
        ("hits layers", {"layers": 6}),
        ("hits", {"hits": 0}),
    ],
)
def test_rungs_are_where_all_parts_of_the_generator_are_trained(stages, expected):
    config = tiny_config(DataConfig(train=("none.h5",)))
    by_name = {s.name: s for s in config.stage}
    config = config.updated(stage=tuple(by_name[name] for name in stages.split()))
    assert evaluated_stages(config, build_architecture(config)) == expected


class Noted:
    """A link that keeps what it is reported."""

    def __init__(self) -> None:
        self.rungs: list[tuple[int, int, float]] = []
        self.asked: StopReason | None = None

    def rung(self, trial, step, value) -> None:
        self.rungs.append((trial, step, value))

    def verdict(self, _):
        return self.asked


def test_a_watch_reports_rungs_by_steps_of_the_whole_training():
    link = Noted()
    watch = TrialCallback(Task(4, {}, 60.0), link, lambda _: 0.5, {"hits": 100})
    watch.evaluated(None, "layers", 10)
    watch.evaluated(None, "hits", 10)
    watch.evaluate = None
    watch.evaluated(None, "hits", 20)
    assert link.rungs == [(4, 110, 0.5)]


def test_a_look_that_fails_does_not_end_the_training():
    def fail(_):
        raise TrainingError("no")

    link = Noted()
    TrialCallback(Task(0, {}, 60.0), link, fail, {"hits": 0}).evaluated(None, "hits", 10)
    assert link.rungs == []


@pytest.mark.parametrize(
    ("limit", "asked", "signalled", "expected"),
    [
        (60.0, None, False, None),
        (0.0, None, False, StopReason("failed", "took longer than trial_limit_s = 0")),
        (60.0, StopReason("stopped", "hopeless"), False, StopReason("stopped", "hopeless")),
        (60.0, None, True, StopReason("", "a signal")),
    ],
)
def test_why_a_watch_stops_a_trial(limit, asked, signalled, expected):
    link = Noted()
    link.asked = asked
    watch = TrialCallback(Task(0, {}, limit), link, None, {}, lambda: signalled)
    assert watch.halt() == (expected is not None)
    assert watch.verdict == expected


def test_outcomes_travel_as_json():
    outcome = Outcome("done", 1.5, 0.1, seconds=3.0, folds=(1.0, 2.0), distance=2.0, floor=1.0, metrics={"a": 1})
    assert outcome_from(json.loads(json.dumps(outcome_table(outcome)))) == outcome
