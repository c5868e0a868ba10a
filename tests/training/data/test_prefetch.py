# SPDX-License-Identifier: BSD-3-Clause
"""Prefetching changes nothing but when things are made."""

import gc
import subprocess
import sys
import threading
import time
import weakref
from itertools import count, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastcalo.training.data.prefetch import prefetch


def threads():
    return [t for t in threading.enumerate() if t.name == "prefetch"]


@pytest.fixture(autouse=True)
def _all_threads_end():
    yield
    gc.collect()
    for thread in threads():
        thread.join(10)
        assert not thread.is_alive()


@given(st.lists(st.integers()), st.integers(1, 5))
def test_everything_comes_in_order(items, ahead):
    assert list(prefetch(iter(items), ahead)) == items


def test_an_error_is_raised_when_its_turn_comes():
    def source():
        yield 1
        yield 2
        raise ValueError("the third")

    items = prefetch(source(), 5)
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(ValueError, match="the third"):
        next(items)
    assert list(items) == []


@pytest.mark.parametrize("ahead", [1, 3])
def test_no_more_is_made_than_asked_for(ahead):
    made = []
    enough = threading.Event()

    def source():
        for i in count():
            made.append(i)
            if i == ahead:
                enough.set()
            yield i

    items = prefetch(source(), ahead)
    assert next(items) == 0
    # made while nobody asks
    assert enough.wait(10)
    time.sleep(0.05)
    assert made == list(range(ahead + 1))


@pytest.mark.parametrize("end", ["closed", "collected"])
def test_the_thread_ends_with_the_iterator(end):
    closed = threading.Event()

    def source():
        try:
            yield from count()
        finally:
            closed.set()

    items = prefetch(source())
    assert list(islice(items, 3)) == [0, 1, 2]
    (thread,) = threads()
    assert thread.daemon
    if end == "closed":
        items.close()
    del items
    thread.join(10)
    assert not thread.is_alive()
    assert closed.wait(10)


def test_a_program_ends_only_after_the_item_being_made():
    program = """
import threading, time
from fastcalo.training.data.prefetch import prefetch
busy = threading.Event()
def source():
    yield 1
    busy.set()
    time.sleep(0.5)
    print("whole")
    yield 2
    print("too much")
items = prefetch(source(), 1)
print(next(items))
busy.wait()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["1", "whole"]
    assert not done.stderr


def test_what_is_made_is_not_held_any_longer_than_needed():
    class Large:
        pass

    made = []

    def source():
        while True:
            item = Large()
            made.append(weakref.ref(item))
            yield item
            del item

    for i, item in enumerate(prefetch(source(), 1)):
        assert sum(ref() is not None for ref in made) <= 3
        assert item is made[i]()
        if i == 20:
            break


LETTING_GO = """
import time
from fastcalo.training.data.prefetch import prefetch

class Item:
    def __del__(self):
        time.sleep(0.3)
        print("gone", flush=True)

def source():
    while True:
        yield Item()

items = prefetch(source(), 3)
kept = next(items)
time.sleep(0.2)
items.close()
del items
# the thread is off the list of threads, and busy with what was made ahead
time.sleep(0.1)
"""


def test_the_program_ends_after_a_thread_has_let_go_of_what_it_made():
    done = subprocess.run([sys.executable, "-c", LETTING_GO], capture_output=True, text=True, timeout=60, check=False)
    # three made ahead, and the one that was kept
    assert (done.returncode, done.stderr, done.stdout.split()) == (0, "", ["gone"] * 4)
