# SPDX-License-Identifier: BSD-3-Clause
"""The training loop: it learns, it can be interrupted anywhere, and it reports when it cannot go on."""

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import pytest
import torch
from helpers.command import run_command
from helpers.files.shower_files import write_real
from helpers.trainings.tiny_training import STAGES, STEPS, change_stage

from fastcalo.errors import ConfigError, InputError, TrainingError
from fastcalo.training.architectures.hits.config import HitsNetworkConfig
from fastcalo.training.config import DataConfig
from fastcalo.training.exchange import SingleProcess
from fastcalo.training.run import checkpoint
from fastcalo.training.run.curves import read_metrics
from fastcalo.training.run.throughput import TIMINGS
from fastcalo.training.trainer import load_run
from fastcalo.training.trainer import run_stages as train

ROOT = Path(__file__).parents[2]


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


class InterruptedHereError(Exception):
    pass


def interrupt(stage, step):
    """A report that ends the training as a signal would: after the step, before its checkpoint."""

    def report(name, now, *_):
        if (name, now) == (stage, step):
            raise InterruptedHereError

    return report


def state(run, stage):
    return checkpoint.load(run / f"{stage}.pt")


def assert_same(a, b, where=""):
    """Compare what checkpoints hold, to the bit."""
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}/{i}")
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif not where.endswith("/seconds"):
        assert a == b, where


# --- what a run leaves


def test_a_run_leaves_checkpoints_metrics_and_curves(finished, config):
    assert {p.name for p in finished.iterdir()} == {
        "config.json", "metrics.jsonl", "curves.png", *(f"{s}.pt" for s in STAGES),
    }  # fmt: skip
    assert json.loads((finished / "config.json").read_text())["name"] == config.name
    lines = read_metrics(finished)
    assert {(line["stage"], line["kind"], line["step"]) for line in lines} == {
        *((s, "train", STEPS) for s in STAGES),
        *((s, "test", step) for s in STAGES for step in range(1, STEPS + 1)),
    }
    values = [v for line in lines for v in line.values() if not isinstance(v, str)]
    assert len(values) > 100
    assert all(math.isfinite(v) for v in values)
    image = matplotlib.image.imread(finished / "curves.png")
    assert image.shape[1] > 1000
    assert image.std() > 0.03


def test_a_finished_run_is_read_back(finished, config):
    got, networks, facts = load_run(finished)
    assert got == config
    for stage in STAGES[1:]:
        for name in networks.kept_by(stage):
            # the stage hits is followed by the adversarial one, which goes on with the same network
            saved = state(finished, "adversarial" if name == "hits" else stage)["networks"][name]
            assert_same(dict(networks.networks[name].state_dict()), dict(saved), name)
    assert facts["data_hash"] == state(finished, "layers")["data_hash"]


def test_stages_change_their_own_networks_only(finished):
    assert set(state(finished, "layers")["networks"]) == {"layers"}
    assert set(state(finished, "hits")["networks"]) == {"hits"}
    assert set(state(finished, "adversarial")["networks"]) == {"hits", "critic"}
    before, after = (state(finished, s)["networks"]["hits"] for s in ("hits", "adversarial"))
    assert any(not torch.equal(before[k], after[k]) for k in before)


def test_averages_are_what_is_kept_where_they_are_asked_for(finished):
    layers, hits = state(finished, "layers"), state(finished, "hits")
    assert_same(dict(layers["networks"]), dict(layers["ema"]))
    assert hits["ema"] == {}
    adversarial = state(finished, "adversarial")
    assert set(adversarial["ema"]) == {"hits"}, "the critic is not averaged"
    assert_same(dict(adversarial["networks"]["hits"]), dict(adversarial["ema"]["hits"]))


# --- the same however it is run


def test_the_same_configuration_gives_the_same_weights_and_another_seed_others(finished, config, tmp_path):
    one = config.updated(stage=config.stage[:1])
    train(one, tmp_path / "again")
    assert_same(state(tmp_path / "again", "layers"), state(finished, "layers"))
    train(one.updated(seed=2), tmp_path / "other")
    ours, theirs = (state(run, "layers")["networks"]["layers"] for run in (finished, tmp_path / "other"))
    assert any(not torch.equal(ours[k], theirs[k]) for k in ours)


@pytest.fixture
def begun(finished, tmp_path):
    """A folder of a run in which only the named stages are left to be done."""

    def make(*stages):
        return Path(
            shutil.copytree(
                finished, tmp_path / "run", ignore=shutil.ignore_patterns(*(f"{s}.pt" for s in stages), "m*")
            )
        )

    return make


@pytest.mark.parametrize(("stage", "step"), [("layers", 2), ("layers", 5), ("hits", 5), ("adversarial", 5)])
def test_an_interrupted_training_goes_on_as_if_nothing_had_happened(begun, finished, config, stage, step):
    run = begun(stage)
    with pytest.raises(InterruptedHereError):
        train(config, run, resume=True, report=interrupt(stage, step))
    # before step 3 there is no checkpoint of the stage yet: it begins anew
    assert (run / f"{stage}.pt").exists() == (step > 3)
    if step > 3:
        assert state(run, stage)["step"] == 3
    train(config, run, resume=True)
    assert_same(state(run, stage), state(finished, stage))
    lines = [{k: v for k, v in line.items() if k not in TIMINGS} for line in read_metrics(run)]
    assert lines == [
        {k: v for k, v in line.items() if k not in TIMINGS} for line in read_metrics(finished) if line["stage"] == stage
    ]


@pytest.mark.slow
def test_a_killed_training_goes_on_as_if_nothing_had_happened(begun, finished, config, tmp_path):
    # checkpoints are renamed into place: whenever the process dies, what lies there is whole
    run, file = begun("hits"), tmp_path / "tiny.toml"
    write_toml(config, file)
    code = (
        "import os, pathlib, sys\n"
        "from fastcalo.training.config import load_config\n"
        "from fastcalo.training.trainer import run_stages as train\n"
        "def report(stage, step, steps, metrics):\n"
        "    if (stage, step) == ('hits', 4):\n"
        "        os.kill(os.getpid(), 9)\n"
        "train(load_config(sys.argv[1]), pathlib.Path(sys.argv[2]), resume=True, report=report)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, file, run], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == -9, done.stderr
    train(config, run, resume=True)
    assert_same(state(run, "hits"), state(finished, "hits"))


def test_stages_may_be_run_one_by_one_in_any_order(finished, config, tmp_path):
    run = tmp_path / "run"
    for only in ("hits", "layers"):
        train(config, run, only=[only])
    assert not (run / "adversarial.pt").exists()
    for name in ("hits", "layers"):
        assert_same(state(run, name), state(finished, name), name)


def test_a_finished_run_is_left_alone(finished, config, tmp_path):
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    before = {p.name: p.read_bytes() for p in run.iterdir()}
    train(config, run, resume=True)
    assert {p.name: p.read_bytes() for p in run.iterdir()} == before


# --- gradients go through the exchange


class Recording(SingleProcess):
    """Counts what the loop hands over, and changes every gradient as partners would."""

    def __init__(self, factor, rank=0, size=1):
        self.factor, self.rank, self.size, self.calls = factor, rank, size, 0

    def backward(self, loss, parameters, share, *, last=True):
        assert share == 1 / self.size
        super().backward(loss, parameters, share, last=last)
        self.calls += 1
        for p in parameters:
            p.grad.mul_(self.factor)


def test_every_gradient_goes_through_the_exchange(begun, finished, config, tmp_path):
    same, other = Recording(1.0), Recording(-1.0)
    run = begun("adversarial")
    train(config, run, resume=True, exchange=same)
    # the critic's loss in every step, the generator's after the first two
    assert same.calls == STEPS + STEPS - 2
    assert_same(state(run, "adversarial"), state(finished, "adversarial"))
    train(config, tmp_path / "other", exchange=other, only=["layers"])
    assert other.calls == STEPS
    a, b = (state(run, "layers")["networks"]["layers"] for run in (finished, tmp_path / "other"))
    assert any(not torch.equal(a[k], b[k]) for k in a)


def test_a_loss_gives_gradients_to_the_parameters_named_and_to_nothing_else():
    a, b = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    SingleProcess().backward((a * b).sum() * 3, [a], share=1.0)
    assert a.grad.tolist() == [3, 3]
    assert b.grad is None


def test_ranks_other_than_the_first_write_nothing(config, tmp_path):
    train(config, tmp_path / "run", exchange=Recording(1.0, rank=1, size=2), only=["layers"])
    assert not (tmp_path / "run").exists()


# --- what is refused


def test_a_folder_that_holds_a_run_is_not_used_again_by_mistake(finished, config):
    with pytest.raises(TrainingError, match=r"tiny holds a training already; go on with --resume"):
        train(config, finished)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"seed": 5}, "seed"),
        ({"species": (11,)}, "species"),
        ({"network": HitsNetworkConfig(layer_width=24)}, "network"),
        ({"name": "other", "seed": 5}, "name, seed"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_another_configuration_does_not_go_on_with_a_run(finished, config, changes, key):
    with pytest.raises(TrainingError, match=rf"tiny was trained with another {key}; name another folder"):
        train(config.updated(**changes), finished, resume=True)


def test_other_showers_under_the_same_name_do_not_go_on_with_a_run(config, data, tmp_path):
    moved = data.updated(train=(str(shutil.copy(data.train[0], tmp_path / "train.h5")),))
    changed = config.updated(data=moved)
    with pytest.raises(InterruptedHereError):
        train(changed, tmp_path / "run", report=interrupt("layers", 5))
    (tmp_path / "train.h5").unlink()
    write_real(tmp_path / "train.h5", 48, start=300)
    with pytest.raises(TrainingError, match=r"layers\.pt was trained on other showers"):
        train(changed, tmp_path / "run", resume=True)


def test_losses_that_are_not_numbers_end_the_training_with_a_way_on(config, tmp_path):
    run = tmp_path / "run"
    wild = change_stage(config, "layers", learning_rate=1e30, clip=1e30, warmup=0, checkpoint_every=1)
    with pytest.raises(TrainingError, match=r"stage 'layers', step \d+: .* not finite.*lower learning_rate.*--resume"):
        train(wild, run, only=["layers"])
    # as the message states; here the checkpoint is of the first, wild step, and a new start helps
    (run / "layers.pt").unlink(missing_ok=True)
    train(change_stage(config, "layers", learning_rate=1e-3), run, only=["layers"])
    assert state(run, "layers")["step"] == STEPS


def test_a_stage_that_is_not_there_is_named(config, tmp_path):
    with pytest.raises(TrainingError, match=r"has no stage \['layer'\]; it has \['layers', 'hits', 'adversarial'\]"):
        train(config, tmp_path / "run", only=["layer"])
    assert not (tmp_path / "run").exists()


def test_a_file_of_showers_that_is_not_there_is_named(config, tmp_path):
    lost = config.updated(data=DataConfig(train=(str(tmp_path / "lost.h5"),)))
    with pytest.raises(ConfigError, match=r"my\.toml: there is no file .*lost\.h5"):
        train(lost, tmp_path / "run", where="my.toml")


def test_a_batch_of_more_showers_than_there_are_is_refused(config, tmp_path):
    with pytest.raises(InputError, match="a batch of 49 showers"):
        train(change_stage(config, "layers", batch=49), tmp_path / "run")


def test_a_run_that_is_not_finished_is_not_read(config, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(TrainingError, match="holds no training"):
        load_run(run)
    with pytest.raises(InterruptedHereError):
        train(config, run, report=interrupt("hits", 5))
    with pytest.raises(TrainingError, match="stage 'hits' stands at step 3 of 6"):
        load_run(run)


def test_a_folder_that_cannot_be_made_is_reported(config, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match=r"cannot write to the run's folder .*file"):
        train(config, tmp_path / "file" / "run")


# --- the command


def write_toml(config, path):
    """The configuration as a file; only what these tests change."""
    lines = [
        f'name = "{config.name}"', f'arch = "{config.arch}"', f"species = {list(config.species)}",
        f"seed = {config.seed}", f"threads = {config.threads}", "[data]", f"train = {list(config.data.train)}",
        f"test = {list(config.data.test)}", "[network]",
    ]  # fmt: skip
    lines += [f"{k} = {v}" for k, v in vars(config.network).items()]
    lines += ["[validity]", f"kinetic_energy = {list(config.validity.kinetic_energy)}"]
    for stage in config.stage:
        values = {k: list(v) if isinstance(v, tuple) else v for k, v in vars(stage).items()}
        lines += ["[[stage]]", *(f"{k} = {json.dumps(v)}" for k, v in values.items())]
    path.write_text("\n".join(lines))


@pytest.mark.slow
def test_the_command_trains_and_goes_on(config, finished, tmp_path):
    write_toml(config, tmp_path / "tiny.toml")
    first = run_command("train", "tiny.toml", "--stage", "layers", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "fastcalo export runs/tiny" in first.stdout + first.stderr
    again = run_command("train", "tiny.toml", cwd=tmp_path)
    assert again.returncode == 1
    assert "go on with --resume" in again.stderr
    assert "Traceback" not in again.stderr
    assert_same(state(tmp_path / "runs" / "tiny", "layers"), state(finished, "layers"))
