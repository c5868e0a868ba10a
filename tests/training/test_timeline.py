# SPDX-License-Identifier: BSD-3-Clause
"""Speed in the log of metrics, and the timeline of all ranks."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import defaultdict
from itertools import pairwise

import pytest
from helpers.files.shower_files import write_real
from helpers.mpi import command, pid, start, train, until, write_config

from fastcalo.errors import OutputError
from fastcalo.training.exchange import SingleProcess
from fastcalo.training.run.throughput import TIMINGS, Throughput
from fastcalo.training.run.timeline import NoTimeline, RankTimeline, write_timeline

RANKS = [0, pytest.param(2, marks=pytest.mark.mpi)]
KINDS = {"preparation", "log", "data", "compute", "backward", "waiting", "optimiser", "evaluation", "checkpoint"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_real(folder / "a.h5", 30)
    write_real(folder / "b.h5", 30, start=500)
    return folder


@pytest.mark.parametrize("ranks", RANKS)
def test_the_log_states_the_speed_and_the_timeline_what_took_the_time(data, tmp_path, ranks):
    config = write_config(tmp_path / "run.toml", data, "hits adversarial", steps=12)
    run, file = tmp_path / "run", tmp_path / "trace.json"
    done = train(ranks, config, run, "--trace", str(file))
    assert done.returncode == 0, done.stderr

    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        assert (line["kind"] == "train") == (set(TIMINGS) <= line.keys())
        if line["kind"] == "train":
            assert line["showers_per_second"] > 0
            assert 0 <= line["communication_share"] <= line["communication_share_max"] < 1
            assert (line["communication_share"] > 0) == (ranks > 1)

    events = json.loads(file.read_text())["traceEvents"]
    names = {e["pid"]: e["args"]["name"] for e in events if e["ph"] == "M"}
    assert names == {r: f"rank {r} ({os.uname().nodename})" for r in range(max(1, ranks))}
    by_rank = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            by_rank[event["pid"]].append(event)
    assert by_rank.keys() == names.keys()
    for rank, own in by_rank.items():
        kinds = {event["name"] for event in own}
        assert kinds <= KINDS
        assert {"data", "compute", "backward", "optimiser"} <= kinds
        # only the first evaluates and writes
        assert ("evaluation" in kinds) == (rank == 0)
        assert ("waiting" in kinds) == (ranks > 1)
        assert sum(event["name"] == "data" for event in own) == 24
        # one after the other
        assert all(a["ts"] + a["dur"] <= b["ts"] + 0.002 for a, b in pairwise(own))
        assert own[0]["ts"] >= 0


def test_without_the_option_nothing_is_noted(tiny_run):
    assert not list(tiny_run.parent.rglob("*trace*"))
    assert vars(NoTimeline()) == {}


@pytest.mark.mpi
def test_a_stopped_training_leaves_its_timeline(data, tmp_path):
    config = write_config(tmp_path / "run.toml", data, "hits", steps=100_000, checkpoint=100_000)
    run, file = tmp_path / "run", tmp_path / "trace.json"
    parts = command(2, config, run, "--trace", str(file))
    process = start(parts)
    until((run / "metrics.jsonl").exists)
    os.kill(pid(run, 1), signal.SIGUSR1)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0, errors
    events = json.loads(file.read_text())["traceEvents"]
    assert {event["pid"] for event in events} == {0, 1}


def test_a_trace_that_cannot_be_written_is_reported_before_the_training(data, tmp_path):
    config = write_config(tmp_path / "run.toml", data, "hits")
    done = train(0, config, tmp_path / "run", "--trace", str(tmp_path / "nothing" / "trace.json"))
    assert done.returncode == 1
    assert "there is no folder" in done.stderr
    assert not (tmp_path / "run").exists()


class Waiting(SingleProcess):
    """A process that has waited."""

    waited = 0.0


def test_a_lap_ends_with_the_waiting_in_it():
    exchange, trace = Waiting(), RankTimeline()
    trace.begin(exchange)
    time.sleep(0.02)
    exchange.waited += 0.01
    trace.lap("backward")
    (first, start, length), (second, then, waited) = trace.events
    assert (first, second, start) == ("backward", "waiting", 0)
    assert then == length
    assert waited == 10_000_000
    # never longer than the lap
    exchange.waited += 100
    trace.lap("compute")
    assert trace.events[2:]
    assert all(name == "waiting" and length < 1e9 for name, _, length in trace.events[2:])


def test_pace_counts_since_the_last_look():
    exchange = Waiting()
    throughput = Throughput(exchange, step=10)
    time.sleep(0.02)
    exchange.waited += 0.01
    look = throughput.look(30, batch=8)
    assert 0 < look["showers_per_second"] <= 20 * 8 / 0.02
    assert 0 < look["communication_share"] == look["communication_share_max"] <= 0.5
    assert throughput.look(31, batch=8)["communication_share"] == 0


def test_a_trace_is_whole_or_not_there(tmp_path):
    with pytest.raises(OutputError, match="there is no folder"):
        write_timeline(tmp_path / "nothing" / "t.json", [("a", [])])
    write_timeline(tmp_path / "t.json", [("a", [("data", 0, 1500)])])
    (_, event) = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    assert event == {"name": "data", "ph": "X", "pid": 0, "tid": 0, "ts": 0.0, "dur": 1.5}
