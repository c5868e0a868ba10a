# SPDX-License-Identifier: BSD-3-Clause
"""Numbers for TensorBoard: those of metrics.jsonl, each step once."""

import json
import re
import sys

import pytest
from helpers.trainings.tiny_training import STEPS, tiny_config, write_data

from fastcalo.errors import MissingDependencyError
from fastcalo.system.install import install_line
from fastcalo.training.run.throughput import TIMINGS
from fastcalo.training.trainer import run_stages as train

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    config = tiny_config(write_data(tmp_path_factory.mktemp("data")))
    return config.updated(stage=config.stage[:2])


def read(run):
    """Steps and values by stage and tag."""
    out = {}
    for folder in sorted((run / "tensorboard").iterdir()):
        events = accumulator.EventAccumulator(str(folder), size_guidance={accumulator.SCALARS: 0}).Reload()
        for tag in events.Tags()["scalars"]:
            out[folder.name, tag] = [(e.step, e.value) for e in events.Scalars(tag)]
    return out


def expected(run):
    out = {}
    for text in (run / "metrics.jsonl").read_text().splitlines():
        line = json.loads(text)
        kind, stage, step = line.pop("kind"), line.pop("stage"), line.pop("step")
        line.pop("seconds")
        for name, value in line.items():
            steps = out.setdefault((stage, f"{'speed' if name in TIMINGS else kind}/{name}"), {})
            # of a step done twice, the later counts
            steps[step] = pytest.approx(value, rel=1e-6)
    return {key: sorted(steps.items()) for key, steps in out.items()}


class InterruptedHereError(Exception):
    pass


def test_scalars_are_those_of_the_log_and_each_step_comes_once(config, tmp_path):
    def report(stage, step, *_):
        if (stage, step) == ("hits", 5):
            raise InterruptedHereError

    run = tmp_path / "run"
    with pytest.raises(InterruptedHereError):
        train(config, run, report=report, tensorboard=True)
    assert [step for step, _ in read(run)["hits", "test/hits_0.1-1GeV"]] == [1, 2, 3, 4, 5]
    train(config, run, resume=True, tensorboard=True)
    found = read(run)
    assert found == expected(run)
    assert {stage for stage, _ in found} == {"layers", "hits"}
    # the checkpoint was of step 3
    assert [step for step, _ in found["hits", "test/hits_0.1-1GeV"]] == list(range(1, STEPS + 1))
    assert {"train/cells", "train/gradient", "speed/showers_per_second"} <= {tag for _, tag in found}
    before = sorted((run / "tensorboard").rglob("*"))
    train(config, run, resume=True, tensorboard=True)
    assert sorted((run / "tensorboard").rglob("*")) == before


def test_without_being_asked_for_there_are_none(config, tmp_path):
    train(config.updated(stage=config.stage[:1]), tmp_path / "run")
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_without_tensorboard_the_extra_is_named(config, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(MissingDependencyError, match=f"--tensorboard needs .*{re.escape(install_line('tensorboard'))}"):
        train(config, tmp_path / "run", tensorboard=True)
    # nothing is in the way of another try
    assert not (tmp_path / "run").exists()
