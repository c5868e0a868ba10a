# SPDX-License-Identifier: BSD-3-Clause
"""Prefetching of an iterator in a background thread."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any, ClassVar, Generic, TypeVar

T = TypeVar("T")


def prefetch(source: Iterator[T], ahead: int = 2) -> Iterator[T]:
    """What `source` gives, in its order, made while the consumer is busy with what it got before.

    The thread begins with the first item asked for. It ends with `source`, or after the item being made when the
    iterator is closed or collected, or the program ends.

    Parameters
    ----------
    source : iterator
        Not to be used by anyone else from then on.
    ahead : int
        Items that may wait, or be in the making, besides the one that the consumer holds.

    Yields
    ------
    object

    Raises
    ------
    BaseException
        What `source` raised, when its turn comes.
    """
    maker = _Maker(source, ahead)
    ready = maker.ready
    # this frame lives as long as the consumer's iterator, and would keep what `source` holds
    del source
    maker.start()
    try:
        while True:
            item, error = ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            maker.free.release()
            yield item  # type: ignore[misc]
    finally:
        # not joined: a collector may run this in any thread, under any lock
        maker.end()


class _Maker(threading.Thread, Generic[T]):
    """The thread; of the iterator it knows nothing, so that this can be collected."""

    known: ClassVar[set[_Maker[Any]]] = set()
    """All that may not be over yet; the thread's own list leaves out those that still let go of what they hold."""

    def __init__(self, source: Iterator[T], ahead: int) -> None:
        super().__init__(name="prefetch", daemon=True)
        self.ready: SimpleQueue[tuple[T, None] | tuple[None, BaseException]] = SimpleQueue()
        self.free, self._over, self._source = threading.Semaphore(ahead), threading.Event(), source
        # registered last and run first: what the source needs must still be there, such as the library of its files
        atexit.unregister(_end_all)
        atexit.register(_end_all)

    def start(self) -> None:
        """Begin."""
        super().start()
        self.known.difference_update([maker for maker in list(self.known) if not maker.is_alive()])
        self.known.add(self)

    def run(self) -> None:
        """Make items until `close` is called."""
        try:
            while self.free.acquire() and not self._over.is_set():
                # no name for the item: it would live here until the next one is made
                self.ready.put((next(self._source), None))
        except BaseException as error:  # noqa: BLE001 - raised in the consumer
            self.ready.put((None, error))
        finally:
            # by now, for `known` keeps the thread
            del self._source, self.ready

    def end(self) -> None:
        """Have the thread end after the item that it makes."""
        self._over.set()
        self.free.release()


def _end_all() -> None:
    # a thread stopped by the interpreter's end keeps its locks, which hangs whoever needs them next (HDF5), or takes
    # the program down where it lets go of a tensor
    while makers := list(_Maker.known):
        # all of them first: one may be the source of another, which would wait for it for ever
        for maker in makers:
            maker.end()
        for maker in makers:
            maker.join()
        _Maker.known.difference_update(makers)
