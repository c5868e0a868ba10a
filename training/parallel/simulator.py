"""Workers and their master played in one process, message by message in a prescribed order.

The same order of messages gives the same central parameters as a training over MPI, to the bit.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from itertools import cycle

from fastcalo.errors import InputError

from .centre import Centre
from .messages import Push
from .worker import Worker


def simulate(
    centre: Centre,
    workers: Sequence[Worker],
    order: Iterable[int] = (),
    served: Callable[[Push], None] = lambda _: None,
) -> None:
    """Play until all steps are made.

    Parameters
    ----------
    centre : Centre
    workers : sequence of Worker
        Worker k must have the number k.
    order : iterable of int
        Whose message the master serves, one after the other; when it is at its end, workers take turns.
    served : callable
        Called after each message with it.

    Raises
    ------
    InputError
        The order names a worker that does not exist, or one that has no step left to make.
    """
    pulls = [centre.first(k) for k in range(len(workers))]

    def serve(k: int) -> None:
        push = workers[k].round(pulls[k])
        pulls[k] = centre.serve(push)
        served(push)

    for k in order:
        if k not in centre.busy:
            raise InputError(f"the order names worker {k}, but only {sorted(centre.busy)} have steps to make")
        serve(k)
    for k in cycle(range(len(workers))):
        if not centre.busy:
            return
        if k in centre.busy:
            serve(k)


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
