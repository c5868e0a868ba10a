# SPDX-License-Identifier: BSD-3-Clause
"""Simulator of asynchronous training: workers and servers in one process, message by message in a given order.

The same order of messages gives the same central parameters as a training over MPI, to the bit.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from itertools import cycle

from fastcalo.errors import InputError
from fastcalo.training.distributed.asynchronous.messages import Push
from fastcalo.training.distributed.asynchronous.parameter_server import ParameterServer, Server
from fastcalo.training.distributed.asynchronous.sub_server import SubServer
from fastcalo.training.distributed.asynchronous.worker import Worker


def simulate(
    centre: ParameterServer,
    workers: Sequence[Worker],
    order: Iterable[int] = (),
    served: Callable[[Push], None] = lambda _: None,
    masters: Sequence[SubServer] = (),
) -> None:
    """Play until all steps are made.

    In a tree, a sub-master whose message is due brings it to the centre at once. So any order of messages to all
    masters is that of some order of the workers' ones.

    Parameters
    ----------
    centre : ParameterServer
    workers : sequence of Worker
        Worker k must have the number k.
    order : iterable of int
        Of workers, whose message a master serves, one after the other; when it is at its end, workers take turns.
    served : callable
        Called after each worker's message with it.
    masters : sequence of SubServer
        Between `centre` and workers; they must bring their messages to `centre`.

    Raises
    ------
    InputError
        The order names a worker that does not exist, or one that has no step left to make.
    """
    servers: Sequence[ParameterServer | SubServer] = masters or [centre]
    server_of = {k: server for server in servers for k in server.children}
    pulls = {k: server.first(k) for k, server in server_of.items()}

    def serve(k: int) -> None:
        push = workers[k].round(pulls[k])
        pulls[k] = server_of[k].serve(push)
        served(push)

    for k in order:
        if k not in (busy := _busy(servers)):
            raise InputError(f"the order names worker {k}, but only {sorted(busy)} have steps to make")
        serve(k)
    for k in cycle(range(len(workers))):
        if not (busy := _busy(servers)):
            return
        if k in busy:
            serve(k)


def _busy(servers: Sequence[Server]) -> set[int]:
    return set().union(*(server.busy for server in servers))


def order_of(seconds: Sequence[float], messages: int) -> list[int]:
    """Order in which messages arrive if each worker takes its own time for one, and the master none.

    Parameters
    ----------
    seconds : sequence of float
        Of each worker, for the steps of one message.
    messages : int
        How many, all workers together.

    Returns
    -------
    list of int
        Numbers of the workers; of those that arrive together, the lower comes first.
    """
    due = [(time, k) for k, time in enumerate(seconds)]
    heapq.heapify(due)
    order = []
    for _ in range(messages):
        time, k = due[0]
        order.append(k)
        heapq.heapreplace(due, (time + seconds[k], k))
    return order
