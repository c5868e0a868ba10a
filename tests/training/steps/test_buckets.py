# SPDX-License-Identifier: BSD-3-Clause
"""Buckets of gradients: all in them, in turn, as soon as they are there."""

import pytest
import torch
from torch import nn

from fastcalo.training.architectures.nets import mlp
from fastcalo.training.distributed.synchronous.buckets import Bucket, Buckets


class Messages:
    """Notes what is sent, and doubles it, as two ranks of the same gradients would."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.polls = 0

    def send(self, bucket: Bucket) -> int:
        bucket.flat.mul_(2)
        self.sent.append(bucket.flat.numel())
        return bucket.flat.numel()

    def poll(self, under_way: list[int]) -> None:
        self.polls += 1
        assert under_way == self.sent[len(self.sent) - len(under_way) :]


@pytest.fixture
def network():
    torch.manual_seed(0)
    return mlp([5, 16, 16, 1])


def loss_of(network):
    return network(torch.linspace(-1, 1, 20).view(4, 5)).square().mean()


@pytest.mark.parametrize("size", [1, 256, 600, 10**9])
def test_gradients_are_those_of_the_sum_over_ranks(network, size):
    parameters = list(network.parameters())
    expected = torch.autograd.grad(loss_of(network), parameters)
    messages = Messages()
    buckets = Buckets(parameters, size, messages.send, messages.poll)
    for turn in (1, 2):
        for p in parameters:
            p.grad = None
        under_way = buckets.backward(loss_of(network), share=0.25)
        buckets.take()
        assert under_way * turn == messages.sent
        for p, g in zip(parameters, expected, strict=True):
            assert torch.allclose(p.grad, 0.5 * g, rtol=1e-6)
    # and one number for each of them
    assert sum(messages.sent) == 2 * sum(p.numel() + 1 for p in parameters)
    assert messages.polls == 2 * len(parameters)


def test_buckets_set_off_during_backward_from_the_last_layer_on(network):
    parameters, order = list(network.parameters()), []
    done = []
    network[0].register_forward_hook(lambda _, __, out: out.register_hook(lambda _: done.append(len(order))) and None)
    buckets = Buckets(parameters, 1, lambda bucket: order.append(bucket.flat.numel()), lambda _: None)
    buckets.backward(loss_of(network), share=1)
    assert order == [p.numel() + 1 for p in reversed(parameters)]
    # when backward reaches the first layer, the last ones are on their way
    assert done[0] >= 3


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_parameter_has_a_gradient_if_the_loss_depends_on_it_on_any_rank(network, elsewhere):
    idle = nn.Parameter(torch.ones(3))
    parameters = [idle, *network.parameters()]
    sent = []

    def send(bucket: Bucket) -> None:
        sent.append(bucket)
        if elsewhere and len(sent) == len(parameters):
            bucket.flat += torch.tensor([1.0, 2.0, 3.0, 1.0])

    buckets = Buckets(parameters, 1, send, lambda _: None)
    buckets.backward(loss_of(network), share=1)
    buckets.take()
    # an optimiser passes over what has no gradient, but not over zeros: it would go on by its momentum
    assert (idle.grad is None) is not elsewhere
    if elsewhere:
        assert idle.grad.tolist() == [1, 2, 3]
    assert all(p.grad is not None for p in network.parameters())


def test_other_backward_passes_send_nothing(network):
    messages = Messages()
    Buckets(list(network.parameters()), 1, messages.send, messages.poll)
    loss_of(network).backward()
    assert not messages.sent
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize("early", [False, True])
def test_gradients_of_terms_before_the_last_are_sent_with_it(network, early):
    idle = nn.Parameter(torch.ones(3))
    parameters, sent = [idle, *network.parameters()], []
    # a term that the last one shares no parameter with, or some of them
    before = (idle * torch.arange(3.0)).sum() + (loss_of(network) if early else 0.0)
    (0.5 * before).backward()
    assert not sent
    buckets = Buckets(parameters, 1, lambda bucket: sent.append(bucket.flat.numel()), lambda _: None)
    expected = torch.autograd.grad(loss_of(network), parameters[1:])
    buckets.backward(loss_of(network), share=0.5)
    buckets.take()
    assert sent == [p.numel() + 1 for p in reversed(parameters)]
    assert idle.grad.tolist() == [0, 0.5, 1]
    for p, g in zip(parameters[1:], expected, strict=True):
        assert torch.allclose(p.grad, g * (1.0 if early else 0.5), rtol=1e-6)
