# SPDX-License-Identifier: BSD-3-Clause
"""Trainings learn: likelihoods rise, the critic recognises generated showers, rates follow their schedule."""

import pytest
from helpers.files.shower_files import SAMPLE, write_real
from helpers.trainings.tiny_training import stage_config, tiny_config
from hypothesis import given
from hypothesis import strategies as st

from fastcalo.detector.description import load_detector
from fastcalo.training.architectures.hits.config import HitsNetworkConfig
from fastcalo.training.data.showers import ShowerData
from fastcalo.training.random_numbers import ShowerRandom
from fastcalo.training.run.curves import read_metrics
from fastcalo.training.stages.optimisers import learning_rate
from fastcalo.training.trainer import build_architecture, load_run
from fastcalo.training.trainer import run_stages as train


@pytest.fixture(scope="module")
def finished(tiny_run):
    """A run of all stages without any interruption."""
    return tiny_run


@pytest.fixture(scope="module")
def config(finished):
    return load_run(finished)[0]


@pytest.fixture(scope="module")
def data(config):
    return config.data


# --- it learns


def learn(stage, steps, run, data, **changes):
    """A single stage on the shipped sample; its networks before and after."""
    settings = {"batch": 16, "warmup": 10, "evaluate_every": steps, "learning_rate": 3e-3} | changes
    config = tiny_config(
        data.updated(train=(str(SAMPLE),)),
        stage=(stage_config(stage, steps=steps, **settings),),
        network=HitsNetworkConfig(layer_width=32, hit_width=32, share_width=16, critic_width=32),
    )
    before = build_architecture(config)
    train(config, run)
    return before, load_run(run)[1]


@pytest.mark.parametrize(("stage", "term", "least"), [("layers", "count", 5.0), ("hits", "energy", 8.0)])
def test_the_likelihood_of_showers_not_seen_rises(tmp_path, data, stage, term, least):
    before, after = learn(stage, 40, tmp_path / "run", data)
    unseen = write_real(tmp_path / "unseen.h5", 100, highest=30.0, start=200)
    batch = next(ShowerData([unseen], load_detector(), ("ECAL",), (11, -11, 22)).batches(100))
    losses = []
    for networks in (before, after):
        metrics = {}
        list(networks.losses(stage_config(stage, steps=1), batch, 10_000, metrics, ShowerRandom(0, batch.slot)))
        losses.append(metrics)
    assert losses[1][term] < losses[0][term] - least
    assert sum(losses[1].values()) < sum(losses[0].values())


def test_the_critic_learns_to_recognise_an_untrained_generator(tmp_path, data):
    learn("adversarial", 80, tmp_path / "run", data, critic_only=1_000, critic_rate=2e-3, penalty_every=8)
    last = [line for line in read_metrics(tmp_path / "run") if line["kind"] == "train"][-1]
    # the logarithm of two is a guess
    assert last["critic"] < 0.3


# --- the learning rate


@given(
    st.integers(0, 50),
    st.integers(1, 200),
    st.floats(1e-5, 1.0),
    st.floats(0, 1e-5),
    st.booleans(),
    st.integers(0, 199),
)
def test_the_learning_rate_warms_up_and_falls(warmup, steps, rate, final, anneal, step):
    stage = stage_config("layers", steps=steps, warmup=warmup, learning_rate=rate, final_rate=final, anneal=anneal)
    step = min(step, steps - 1)
    now, following = learning_rate(stage, step), learning_rate(stage, step + 1)
    assert 0 < now <= rate * (1 + 1e-9)
    if step + 1 <= warmup:
        assert now == pytest.approx(rate * (step + 1) / warmup)
    elif anneal:
        assert following <= now * (1 + 1e-9)
        assert learning_rate(stage, steps) == pytest.approx(final if warmup < steps else rate, abs=1e-12)
    else:
        assert now == rate
