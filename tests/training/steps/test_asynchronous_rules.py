# SPDX-License-Identifier: BSD-3-Clause
"""Rules of asynchronous training and the simulator that plays them, without MPI."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
import torch
from helpers.trainings.asynchronous_simulator import order_of, simulate
from helpers.trainings.tiny_training import parallel_config
from helpers.trainings.toy_problem import RATE, TRUTH, Line, make_centre, make_masters, make_workers, stage
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fastcalo.errors import ConfigError, InputError, TrainingError
from fastcalo.training.config import ParallelConfig, load_config
from fastcalo.training.distributed.asynchronous.flat_parameters import FlatParameters
from fastcalo.training.distributed.asynchronous.messages import Pull, Push
from fastcalo.training.distributed.asynchronous.topology import Topology
from fastcalo.training.distributed.asynchronous.update_rules import Downpour, Easgd, Gem
from fastcalo.training.distributed.asynchronous.worker import Worker
from fastcalo.training.stages.optimisers import make_optimiser, set_rate

STRATEGIES = list(RATE)


def play(config: ParallelConfig, workers: int, order=(), steps: int = 600):
    """Centre after a training, and the staleness of each message."""
    settings, stale = stage(config.strategy, steps), []
    centre = make_centre(config, workers, settings)
    simulate(centre, make_workers(config, workers, settings), order, lambda _: stale.append(centre.staleness))
    return centre, stale


def play_tree(config: ParallelConfig, workers: int, order=(), steps: int = 600):
    """Centre after a training with sub-masters, the pushes of these with its staleness, and the steps made."""
    settings, pushes, made = stage(config.strategy, steps), [], []
    centre = make_centre(config, workers, settings)

    def push_upwards(push):
        pull = centre.serve(push)
        pushes.append((push, centre.staleness))
        return pull

    masters = make_masters(config, workers, settings, centre, push_upwards)
    players = make_workers(config, workers, settings)
    for worker in players:
        worker._problem.made = made
    simulate(centre, players, order, masters=masters)
    return centre, pushes, made


@pytest.mark.parametrize("push_every", [1, 4])
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_centre_comes_to_the_minimum(strategy, workers, push_every):
    steps = 200 * (1 + push_every)
    centre, stale = play(parallel_config(strategy, push_every=push_every), workers, steps=steps)
    assert centre.step == steps
    assert centre.version == len(stale) == steps / push_every
    assert torch.allclose(centre.flat.values_N, TRUTH, atol=0.02)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_worker_much_slower_than_the_others_does_no_harm(strategy):
    order = order_of([1.0, 1.0, 12.0], 580)
    centre, stale = play(parallel_config(strategy), 3, order)
    assert max(stale) == 24
    assert torch.allclose(centre.flat.values_N, TRUTH, atol=0.03)


def test_one_worker_of_downpour_is_a_training_of_one_process():
    settings = stage("downpour", 100)
    line = Line()
    optimisers = {name: make_optimiser(settings, name, ps) for name, ps in line.parameters.items()}
    for step in range(100):
        for name, loss, *_ in line.losses(step, {}):
            optimisers[name].zero_grad()
            loss.backward(inputs=line.parameters[name])
            set_rate(optimisers[name], settings, name, step)
            optimisers[name].step()
    centre, _ = play(parallel_config("downpour"), 1, steps=100)
    assert torch.equal(centre.flat.values_N, torch.cat([line.slope.detach(), line.offset.detach()]))


def test_staleness_is_the_number_of_messages_between_fetch_and_push():
    _, stale = play(parallel_config("easgd"), 3, [0, 1, 2, 0, 0, 1], steps=9)
    assert stale[:6] == [0, 1, 2, 2, 0, 3]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_step_is_made_once_and_the_rest_of_the_last_message_too(strategy):
    steps = []

    class Watched(Line):
        def losses(self, step, metrics):
            steps.append(step)
            return super().losses(step, metrics)

    config, settings = parallel_config(strategy, push_every=4), stage(strategy, 30)
    workers = [Worker(k, 3, Watched(), settings, config) for k in range(3)]
    centre = make_centre(config, 3, settings)
    simulate(centre, workers, [2, 2, 0])
    assert sorted(steps) == list(range(30))
    assert centre.step == 30


def test_a_stopped_centre_takes_what_is_under_way_and_gives_no_more():
    config, settings = parallel_config("downpour"), stage("downpour", 100)
    centre = make_centre(config, 3, settings)
    simulate(centre, make_workers(config, 3, settings), served=lambda _: centre.step < 10 or centre.stop())
    # the messages of all three, after the tenth
    assert centre.step == 13


def test_more_workers_than_steps():
    centre, stale = play(parallel_config("easgd", push_every=2), 4, steps=3)
    assert centre.step == 3
    assert stale == [0, 1]


# trees


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_tree_comes_to_the_minimum_too(strategy):
    centre, pushes, made = play_tree(parallel_config(strategy, masters=2, sync_every=3), 4, steps=700)
    assert sorted(made) == list(range(700))
    assert centre.step == sum(push.steps for push, _ in pushes) == 700
    assert torch.allclose(centre.flat.values_N, TRUTH, atol=0.02)


@pytest.mark.parametrize("order", [[], [0, 0, 3, 1, 2, 2, 4, 0]])
def test_a_tree_of_downpour_that_passes_on_each_message_is_one_master(order):
    alone, _ = play(parallel_config("downpour"), 5, order, steps=60)
    tree, _, _ = play_tree(parallel_config("downpour", masters=2, sync_every=1), 5, order, steps=60)
    assert torch.equal(alone.flat.values_N, tree.flat.values_N)


@settings(max_examples=30)
@given(
    st.integers(2, 3), st.integers(0, 3), st.integers(1, 4), st.integers(1, 3), st.integers(1, 40),
    st.lists(st.integers(0, 5), max_size=20),
)  # fmt: skip
def test_every_step_is_made_once_in_whatever_tree(masters, more, sync_every, push_every, steps, order):
    workers = masters + more
    config = parallel_config("easgd", masters=masters, sync_every=sync_every, push_every=push_every)
    # an order may ask for more of a worker than there is
    with suppress(InputError):
        play_tree(config, workers, [k for k in order if k < workers], steps)
    centre, pushes, made = play_tree(config, workers, steps=steps)
    assert sorted(made) == list(range(steps))
    assert not centre.busy
    assert centre.step == steps
    # as many messages of workers in each, but for the last ones
    assert all(push.steps == sync_every * push_every for push, _ in pushes[: -workers - masters])


def test_staleness_in_a_tree_is_that_of_each_level():
    config = parallel_config("easgd", masters=2, sync_every=2)
    # workers 0 and 1 are with one master, 2 and 3 with the other
    _, pushes, _ = play_tree(config, 4, [0, 1, 0, 0, 2, 2, 0, 0], steps=24)
    numbers = [(push.worker, stale, push.metrics["staleness"], push.metrics["staleness_max"]) for push, stale in pushes]
    assert numbers[:4] == [(0, 0, 0.5, 1.0), (0, 0, 0.5, 1.0), (1, 2, 0.0, 0.0), (0, 1, 0.0, 0.0)]


def test_a_submaster_of_downpour_sends_the_mean_gradient_and_goes_on_from_the_centre():
    config, settings = parallel_config("downpour", masters=2, sync_every=2), stage("downpour", 40)
    heard, answer = [], torch.tensor([1.0, 2.0, 3.0])

    def push_upwards(push):
        heard.append(push)
        return Pull(7, 2, 1, answer)

    centre = make_centre(config, 4, settings)
    master = make_masters(config, 4, settings, centre, push_upwards)[0]
    rows = [torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[3.0, 6.0, -3.0]])]
    for worker, row in enumerate(rows):
        pull = master.serve(Push(worker, 1, 0, ("critic", "generator"), {}, row, signal=15 * worker))
    assert heard[0].rows_RN.tolist() == [[2.0, 4.0, 0.0]]
    assert (heard[0].steps, heard[0].signal, heard[0].version) == (2, 15, 0)
    assert pull.values_N.tolist() == answer.tolist()
    assert (pull.step, pull.steps) == (7, 1)


def test_a_submaster_of_easgd_is_tied_to_the_centre_and_its_workers_to_it():
    config, settings = parallel_config("easgd", masters=2, sync_every=1, elasticity=0.5), stage("easgd", 40)
    centre = make_centre(config, 4, settings)
    master = make_masters(config, 4, settings, centre, centre.serve)[0]
    pull = master.serve(Push(0, 1, 0, ("critic", "generator"), {}, torch.full((1, 3), 16.0)))
    # of 16, a quarter goes to the master, and of that a quarter to the centre
    assert pull.values_N.tolist() == [12.0] * 3
    assert master.flat.values_N.tolist() == [3.0] * 3
    assert centre.flat.values_N.tolist() == [1.0] * 3


def test_all_are_notified_of_a_checkpoint():
    config, settings = parallel_config("easgd", masters=2, sync_every=1), stage("easgd", 40)
    centre = make_centre(config, 4, settings)
    masters = make_masters(config, 4, settings, centre, centre.serve)
    centre.note_checkpoint(5)
    heard = {}
    for worker in (0, 1, 0, 2, 3, 3):
        push = Push(worker, 1, 0, (), {}, torch.zeros(1, 3))
        heard.setdefault(worker, []).append(masters[worker // 2].serve(push).checkpoint)
    assert heard == {0: [5, 0], 1: [5], 2: [5], 3: [5, 0]}


@given(st.integers(1, 6), st.integers(0, 40))
def test_each_worker_is_served_by_one_rank(masters, more):
    tree = Topology.of(1 + masters * (masters > 1) + masters + more, masters)
    assert tree.workers == masters + more
    blocks = [tree.block(m) for m in range(masters)]
    assert [k for block in blocks for k in block] == list(range(tree.workers))
    assert max(map(len, blocks)) - min(map(len, blocks)) <= 1
    assert all(k in tree.block(tree.master_of(k)) for k in range(tree.workers))


def test_the_order_of_messages_follows_from_the_time_that_workers_take():
    assert order_of([1.0, 2.5], 7) == [0, 0, 1, 0, 0, 0, 1]
    assert order_of([1.0, 1.0], 4) == [0, 1, 0, 1]


def test_an_order_with_a_worker_that_does_not_exist_is_refused():
    with pytest.raises(InputError, match=r"the order names worker 3, but only \[0, 1, 2\] have steps"):
        play(parallel_config("easgd"), 3, [3])


def test_a_loss_that_is_not_finite_names_step_and_worker():
    class Broken(Line):
        def losses(self, step, metrics):
            for part in super().losses(step, metrics):
                metrics["generator"] = float("nan") if step == 7 else 0.0
                yield part

    config, settings = parallel_config("easgd"), stage("easgd")
    workers = [Worker(k, 2, Broken(), settings, config) for k in range(2)]
    with pytest.raises(TrainingError, match="stage 'toy', step 7, worker 1: generator is not finite"):
        simulate(make_centre(config, 2, settings), workers)


# the rules by themselves

numbers = arrays(np.float32, 6, elements=st.floats(-8, 8, width=16)).map(torch.from_numpy)


@given(numbers, numbers, st.integers(1, 8))
def test_springs_pull_worker_and_centre_by_the_same_length(centre, mine, workers):
    before = centre.clone()
    rule = Easgd(0.9, workers)
    mine_after = rule.serve(centre, rule.message(mine, before))
    assert torch.allclose(centre + mine_after, before + mine, atol=1e-5)
    assert torch.allclose(centre - before, 0.9 / workers * (mine - before), atol=1e-5)


def test_springs_by_numbers():
    centre, rule = torch.tensor([0.0, 10.0]), Easgd(0.5, 2)
    reply = rule.serve(centre, rule.message(torch.tensor([4.0, 10.0]), torch.zeros(2)))
    assert centre.tolist() == [1.0, 10.0]
    assert reply.tolist() == [3.0, 10.0]


@given(numbers, numbers, numbers)
def test_no_more_energy_than_the_proxy_has(fetched, mine, moved):
    rule = Gem(0.9, 1.0)
    for _ in range(3):
        centre = fetched + moved
        before = centre.clone()
        message = rule.message(mine, fetched)
        rule.serve(centre, message)
        own, others, proxy = (centre - before).abs(), (before - fetched).abs(), message[1]
        assert (own <= (proxy - others).clamp(min=0) + 1e-4).all()
        # never against the update
        assert ((centre - before) * (mine - fetched) >= 0).all()


def test_energy_by_numbers():
    rule, fetched = Gem(0.5, 1.0), torch.zeros(4)
    rule.message(torch.tensor([2.0, 2.0, 2.0, 0.1]), fetched)
    # moments are 0.5 * 2 + 1 = 2, and so on; the others have moved the second by 0.5 and the third by more than 2
    centre = torch.tensor([0.0, 0.5, -3.0, 0.0])
    message = rule.message(torch.tensor([1.0, 1.0, 1.0, 0.0]), fetched)
    assert rule.serve(centre, message) is None
    assert centre.tolist() == [2.0, 2.0, -3.0, 0.0]


def test_an_update_grows_to_five_times_itself_at_most():
    rule = Gem(0.9, 1.0)
    rule.message(torch.tensor([100.0]), torch.zeros(1))
    centre = torch.zeros(1)
    rule.serve(centre, rule.message(torch.ones(1), torch.zeros(1)))
    assert centre.tolist() == [5.0]


def test_gradients_of_several_steps_are_averaged():
    applied = []
    rule = Downpour(applied.append)
    for numbers in ([1.0, 2.0], [3.0, 6.0]):
        rule.accrue(torch.tensor(numbers))
    nothing = torch.zeros(2)
    message = rule.message(nothing, nothing)
    assert rule.serve(nothing, message) is None
    assert applied[0].tolist() == [2.0, 4.0]
    rule.accrue(torch.ones(2))
    assert rule.message(nothing, nothing).tolist() == [[1.0, 1.0]]


def test_parameters_and_their_vector_are_the_same_memory():
    line = Line()
    flat = FlatParameters(line.parameters)
    flat.values_N.copy_(TRUTH)
    assert line.slope.tolist() == [1.0, -2.0]
    with torch.no_grad():
        line.offset += 1
    assert flat.part("critic").tolist() == [1.5]
    flat.set_gradient("generator", torch.tensor([3.0, 4.0]))
    assert line.slope.grad.tolist() == [3.0, 4.0]
    assert flat.gradient("critic").tolist() == [0.0]


# bad input


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('"gossip"', "parallel.strategy: must be one of 'allreduce', 'downpour', 'easgd', 'gem', but is 'gossip'"),
        ('"easgd"\npush_every = 0', "parallel.push_every: must be at least 1, but is 0"),
        ('"gem"\nmasters = 0', "parallel.masters: must be at least 1, but is 0"),
        ('"downpour"\nsync_every = 0', "parallel.sync_every: must be at least 1, but is 0"),
        ('"easgd"\nelasticity = 0.0', "parallel.elasticity: must be greater than 0, but is 0.0"),
        ('"easgd"\nelasticity = 1.5', "parallel.elasticity: must be at most 1, but is 1.5"),
        ('"gem"\nmomentum = 1.0', "parallel.momentum: must be less than 1, but is 1.0"),
        ('"gem"\namplification = 0', "parallel.amplification: must be greater than 0, but is 0"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(tmp_path, line, message):
    file = tmp_path / "run.toml"
    file.write_text(
        f'name = "n"\narch = "hits"\nspecies = [11]\n[parallel]\nstrategy = {line}\n'
        '[data]\ntrain = ["a.h5"]\n[[stage]]\nname = "hits"\nsteps = 1\n'
    )
    with pytest.raises(ConfigError) as error:
        load_config(file)
    assert message in str(error.value)
    assert str(file) in str(error.value)
    file.write_text(file.read_text().replace(line, '"gem"'))
    assert load_config(file).parallel == parallel_config("gem")
