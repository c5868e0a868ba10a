# SPDX-License-Identifier: BSD-3-Clause
"""Executors: whatever makes the parts, the same comes out; and ranges of entries hold what the whole input does."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import uproot
from helpers.files.root_files import plain, write_tree
from helpers.models.small_engine import StraightEngine
from helpers.mpi import script
from numpy.testing import assert_array_equal

from fastcalo import load_detector, open_events
from fastcalo.errors import ConfigError, FastCaloError
from fastcalo.io.event_streams.batches import PER_EVENT, PER_PARTICLE, join_events
from fastcalo.production.executors import SerialExecutor, Shared, dask_workers, worker_processes
from fastcalo.production.parts.run import convert_in_parts

ENGINE = StraightEngine(load_detector())


def jagged(path: Path) -> Path:
    # numbers that come again within the file, and in the other one
    return write_tree(path, plain(70, seed=5) | {"event": np.arange(70) % 30})


def rows(path: Path, torn: bool) -> Path:
    rng = np.random.default_rng(1)
    event = np.repeat(np.arange(70), rng.integers(1, 5, 70))
    if torn:
        event = event[np.argsort(event + rng.uniform(0, 3, len(event)))]
    columns = {name: rng.normal(0, 10, len(event)) for name in ("px", "py", "pz")}
    return write_tree(path, {"pdg": rng.choice([22, 211], len(event)), "event": event, **columns})


@pytest.fixture(params=["jagged", "rows", "torn"])
def reader(request, tmp_path):
    paths = [tmp_path / "a.root", tmp_path / "b.root"]
    for path in paths:
        jagged(path) if request.param == "jagged" else rows(path, request.param == "torn")
    return open_events(paths, gather=request.param == "torn")


@pytest.mark.parametrize("size", [1, 13, 70, 1000])
def test_ranges_of_entries_hold_together_what_the_input_does(reader, size):
    whole = join_events(list(reader.iterate()))
    stops = [*range(size, reader.n_entries, size), reader.n_entries]
    parts = [
        events
        for start, stop in zip([0, *stops], stops, strict=False)
        for events in pickle.loads(pickle.dumps(reader.part(range(start, stop)))).iterate(7)  # noqa: S301
    ]
    found = join_events(parts)
    for name in (*PER_PARTICLE, *PER_EVENT, "offsets"):
        one, other = getattr(found, name), getattr(whole, name)
        assert (one is None) == (other is None), name
        if one is not None:
            assert_array_equal(one, other, err_msg=name)


@pytest.mark.parametrize("every", [1, 9, 70, 500])
def test_parts_begin_where_so_many_events_end(reader, every):
    entries = join_events(list(reader.iterate())).entry
    assert reader.starts(every) == entries[::every].tolist()


def double(value: list[int], more: int) -> tuple[int, int]:
    return 2 * value[0] + more, os.getpid()


class Counted(list):
    """A list that counts how often it is sent."""

    sent = 0

    def __reduce__(self):
        Counted.sent += 1
        return list, (list(self),)


def results_of_calls(pool, calls: int) -> list[tuple[int, int]]:
    """Results of calls with a large value: of the first two, which are under way together, and of others one by one."""
    Counted.sent = 0
    shared = Shared(pool, Counted([20]))
    first = [shared.submit(double, 2) for _ in range(2)]
    return [call.result() for call in first] + [shared.submit(double, 2).result() for _ in range(calls - 2)]


def test_a_large_value_is_not_sent_with_every_call():
    with worker_processes(1) as pool:
        assert isinstance(pool, SerialExecutor)
        assert {value for value, _ in results_of_calls(pool, 12)} == {42}
        assert Counted.sent == 0
    # two calls were under way when the worker did not have it; after each of these it comes with another call
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert {value for value, _ in results_of_calls(pool, 12)} == {42}
        assert Counted.sent == 4


def test_a_worker_that_is_asked_later_is_sent_a_large_value_too():
    with worker_processes(2) as pool:
        results = results_of_calls(pool, 40)
    assert {value for value, _ in results} == {42}
    # idle workers take turns, so that it could be sent with every call, and always to the same one
    # at most a few times more, where the second one starts late and misses its turn
    assert 1 <= Counted.sent <= 12


def fail(value: str, more: int) -> None:
    raise FastCaloError(f"{value} {more}")


def test_errors_of_workers_are_raised_where_the_result_is_asked_for():
    for workers in (1, 2):
        with worker_processes(workers) as pool, pytest.raises(FastCaloError, match="no 3"):
            Shared(pool, "no").submit(fail, 3).result()


def made(folder: Path, source: Path, **options) -> list:
    folder.mkdir()
    convert_in_parts(open_events(source), folder / "hits.root", ENGINE, events_per_file=9, seed=4, **options)
    return [event for path in sorted(folder.glob("*.root")) for event in uproot.open(path)["Events"].arrays().tolist()]


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    return jagged(tmp_path_factory.mktemp("in") / "in.root")


@pytest.fixture(scope="module")
def serial(source, tmp_path_factory) -> list:
    return made(tmp_path_factory.mktemp("serial") / "x", source)


def test_threads_and_processes(tmp_path, source, serial):
    with ThreadPoolExecutor(3) as pool:
        assert made(tmp_path / "threads", source, executor=pool, workers=3) == serial
    assert made(tmp_path / "processes", source, workers=2) == serial


DASK = """
import sys
from pathlib import Path
import dask
from fastcalo.errors import InputError, WorkerDiedError
from fastcalo.production.executors import dask_workers
from fastcalo.production.parts.run import convert_in_parts
from fastcalo import open_events, load_detector
from helpers.models.small_engine import KilledEngine

if __name__ == "__main__":
    source, output, flag = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    # else it tries a part three times more
    dask.config.set({"distributed.scheduler.allowed-failures": 0})
    engine = KilledEngine(load_detector(), fewer_than=9, flag=flag)
    with dask_workers("local", 2) as (executor, workers):
        options = {"events_per_file": 9, "seed": 4, "executor": executor, "workers": workers}
        try:
            convert_in_parts(open_events(source), output, engine, **options)
        except (InputError, WorkerDiedError) as error:
            print(error)
            flag.unlink()
        convert_in_parts(open_events(source), output, engine, resume=True, **options)
"""


@pytest.mark.slow
def test_dask_of_which_a_worker_is_killed(tmp_path, source, serial):
    pytest.importorskip("distributed")
    program, flag = tmp_path / "program.py", tmp_path / "flag"
    program.write_text(DASK)
    flag.touch()
    path = os.pathsep.join([str(Path(__file__).parents[2]), str(Path(__file__).parents[3])])
    done = subprocess.run(
        [sys.executable, program, source, tmp_path / "hits.root", flag],
        env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # the last part has seven events; one that waits for the same worker is given up with it, and two end the job
    assert re.match(
        r"(1 of 8 parts could not be made: part 7: |2 parts were given up one after the other\. )"
        r"a worker process died.*--resume",
        done.stdout,
    )
    assert "part 7 failed: a worker process died" in done.stderr
    # nor does Dask log anything of its own end
    for line in done.stderr.splitlines():
        assert line.startswith(("40 of 70 events bear", "part 7 failed: ", "part 6 failed: "))
    paths = sorted(tmp_path.glob("hits_*.root"))
    assert [event for path in paths for event in uproot.open(path)["Events"].arrays().tolist()] == serial


def test_dask_that_is_not_there():
    pytest.importorskip("distributed")
    with pytest.raises(ConfigError, match="there is no scheduler of Dask"), dask_workers("nowhere", 1):
        pass


MPI = """
import sys
from fastcalo.production.executors import mpi_ranks
from fastcalo.production.parts.run import convert_in_parts
from fastcalo import open_events, load_detector
from helpers.models.small_engine import StraightEngine

with mpi_ranks() as ranks:
    if ranks is not None:
        pool, workers = ranks
        assert workers == 2
        convert_in_parts(
            open_events(sys.argv[1]), sys.argv[2], StraightEngine(load_detector()), events_per_file=9, seed=4,
            executor=pool, workers=workers,
        )
"""


@pytest.mark.slow
@pytest.mark.mpi
def test_ranks(tmp_path, source, serial):
    done = script(3, MPI, source, tmp_path / "hits.root")
    assert done.returncode == 0
    (warning,) = done.stderr.splitlines()
    assert warning.startswith("40 of 70 events bear")
    paths = sorted(tmp_path.glob("hits_*.root"))
    assert [event for path in paths for event in uproot.open(path)["Events"].arrays().tolist()] == serial
