# SPDX-License-Identifier: BSD-3-Clause
"""Conversions that fail: what is reported, and that nothing is left behind."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from pathlib import Path

import pytest
import uproot
from helpers.models.small_engine import StraightEngine, make_engine

from fastcalo.detector.description import load_detector
from fastcalo.errors import ConfigError, FastCaloError, InputError, OutputError
from fastcalo.event.events import Events
from fastcalo.event.hits import Hits
from fastcalo.production.convert import convert

DEMO = Path(__file__).parents[3] / "examples" / "demo" / "events.root"


# failures


@dataclass
class Breaks(StraightEngine):
    """An engine that fails at one event: by an error, or with its whole process."""

    at: int = 0
    kill: bool = False

    def run(self, events: Events, seed: int = 0) -> Hits:
        if self.at in events.event:
            if self.kill:
                os._exit(1)
            raise InputError(f"event {self.at} is cursed")
        return super().run(events, seed)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_the_engine_leaves_nothing(tmp_path, workers):
    engine = Breaks(load_detector(), at=222)
    with pytest.raises(InputError, match="event 222 is cursed"):
        convert(DEMO, tmp_path / "hits.root", engine, rejected=tmp_path / "no.root", step_size=20, workers=workers)
    assert list(tmp_path.iterdir()) == []


def test_the_death_of_a_worker_is_reported_and_leaves_nothing(tmp_path):
    engine = Breaks(load_detector(), at=222, kill=True)
    with pytest.raises(FastCaloError, match="a worker process died"):
        convert(DEMO, tmp_path / "hits.root", engine, step_size=20, workers=2)
    assert list(tmp_path.iterdir()) == []


def test_damaged_input_leaves_nothing(tmp_path):
    whole = bytearray(DEMO.read_bytes())
    with uproot.open(DEMO) as file:
        start = file["events"]["MCParticles.mass"].member("fBasketSeek")[0]
    whole[start + 100 : start + 1500] = bytes(1400)
    source = tmp_path / "damaged.root"
    source.write_bytes(whole)
    with pytest.raises(InputError, match=r"damaged\.root: tree 'events', entries 0 to 300"):
        convert(source, tmp_path / "hits.root", make_engine(), step_size=20)
    assert list(tmp_path.iterdir()) == [source]


def test_a_full_disk_leaves_nothing(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OutputError, match=r"hits\.root: cannot be written: File too large"):
            convert(DEMO, tmp_path / "hits.root", make_engine(), step_size=20, rejected=tmp_path / "rejected.root")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


class Never(StraightEngine):
    """An engine that must not be asked."""

    def run(self, events: Events, seed: int = 0) -> Hits:  # noqa: ARG002
        raise AssertionError("work began before the outputs were checked")


def test_outputs_are_checked_before_the_work(tmp_path):
    engine = Never(load_detector())
    copy = tmp_path / "in.root"
    copy.write_bytes(DEMO.read_bytes())
    taken = tmp_path / "taken.root"
    taken.write_text("precious")
    free = tmp_path / "hits.root"
    with pytest.raises(OutputError, match="exists already"):
        convert(copy, taken, engine)
    with pytest.raises(OutputError, match="exists already"):
        convert(copy, free, engine, rejected=taken)
    with pytest.raises(OutputError, match="it is an input"):
        convert(copy, tmp_path / "." / "in.root", engine, overwrite=True)
    with pytest.raises(OutputError, match="it is another output"):
        convert(copy, free, engine, rejected=free)
    with pytest.raises(OutputError, match="there is no folder"):
        convert(copy, tmp_path / "none" / "hits.root", engine)
    with pytest.raises(ConfigError, match="step_size and workers must be at least 1, but are 0 and 1"):
        convert(copy, free, engine, step_size=0)
    assert taken.read_text() == "precious"
    assert copy.read_bytes() == DEMO.read_bytes()
    assert sorted(tmp_path.iterdir()) == [copy, taken]
