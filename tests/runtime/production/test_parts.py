# SPDX-License-Identifier: BSD-3-Clause
"""One input to many files: the events and hits that one file would have, in one pass."""

from __future__ import annotations

import json
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.command import run_command
from helpers.files.root_files import plain, write_tree
from helpers.models.small_engine import StraightEngine

from fastcalo import convert, load_detector, open_events
from fastcalo.errors import ConfigError, OutputError
from fastcalo.production.parts.plan import part_path
from fastcalo.production.parts.run import convert_in_parts

ENGINE = StraightEngine(load_detector())


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    # numbers that come again, so that parts must know of each other
    branches = plain(50, seed=3) | {"event": np.arange(50) % 30}
    return write_tree(tmp_path_factory.mktemp("split") / "in.root", branches)


def events_of(paths) -> list:
    return [event for path in paths for event in uproot.open(path)["Events"].arrays().tolist()]


@pytest.mark.parametrize(("each", "step"), [(7, 500), (20, 9), (50, 500), (1000, 4)])
def test_files_together_hold_what_one_file_would(tmp_path, source, each, step):
    whole = convert(source, tmp_path / "whole.root", ENGINE, seed=2, rejected=tmp_path / "whole_rejected.root")
    done = convert_in_parts(
        open_events(source), tmp_path / "hits_{part:02}.root", ENGINE, seed=2, events_per_file=each, step_size=step,
        rejected=tmp_path / "rejected.root",
    )  # fmt: skip
    number = -(-50 // each)
    paths = [tmp_path / f"hits_{k:02}.root" for k in range(number)]
    assert not (tmp_path / f"hits_{number:02}.root").exists()
    assert [uproot.open(path)["Events"].num_entries for path in paths[:-1]] == [each] * (number - 1)
    assert events_of(paths) == events_of([tmp_path / "whole.root"])
    refused = [tmp_path / f"rejected_{k:04}.root" for k in range(number)]
    assert events_of(refused) == events_of([tmp_path / "whole_rejected.root"])
    assert done.particles.count == whole.particles.count
    counts = [json.loads(str(uproot.open(path)["fastcalo_provenance"]))["accounts"]["events"] for path in paths]
    assert sum(counts) == 50 == done.events
    assert {r: c.count for r, c in done.reasons.items()} == {r: c.count for r, c in whole.reasons.items()}
    assert {n: c.count for n, c in done.sections.items()} == {n: c.count for n, c in whole.sections.items()}


def test_workers_make_no_difference(tmp_path, source):
    for name, workers in (("one", 1), ("two", 2)):
        pattern = tmp_path / f"{name}_{{part}}.root"
        convert_in_parts(open_events(source), pattern, ENGINE, events_per_file=30, workers=workers, step_size=8)
    found = [events_of([tmp_path / f"{name}_{k}.root" for k in range(2)]) for name in ("one", "two")]
    assert found[0] == found[1]


def test_an_input_without_events_gives_one_file(tmp_path):
    empty = write_tree(tmp_path / "empty.root", {name: ak.Array([[1.0]])[:0] for name in ("pdg", "px", "py", "pz")})
    done = convert_in_parts(open_events(empty), tmp_path / "hits.root", ENGINE, events_per_file=5)
    assert done.events == 0
    assert [path.name for path in tmp_path.glob("hits*.root")] == ["hits_0000.root"]


def test_names():
    assert part_path("a/hits.root", 3) == Path("a/hits_0003.root")
    assert part_path("{part:02}/hits.root", 3) == Path("03/hits.root")
    for wrong in ("hits_{}.root", "hits_{number}.root", "hits_{part:q}.root", "hits_{part.x}.root", "hits_{part"):
        with pytest.raises(ConfigError, match="a pattern of outputs is written as"):
            part_path(wrong, 0)
    with pytest.raises(ConfigError, match="all outputs would have this name"):
        part_path("hits_{{x}}.root", 0)


def test_a_file_that_exists_is_found_before_anything_is_made(tmp_path, source):
    (tmp_path / "hits_0001.root").write_text("mine")
    with pytest.raises(OutputError, match=r"hits_0001.root"):
        convert_in_parts(open_events(source), tmp_path / "hits.root", ENGINE, events_per_file=20)
    assert [path.name for path in tmp_path.iterdir()] == ["hits_0001.root"]
    with pytest.raises(ConfigError, match="at least 1"):
        convert_in_parts(open_events(source), tmp_path / "hits.root", ENGINE, events_per_file=0)


def test_the_command(tmp_path, source):
    pattern = tmp_path / "hits-{part}.root"
    arguments = ["--output-pattern", pattern, "--events-per-file", 40, "--model", "em"]
    assert run_command("convert", source, *arguments).returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "hits-0.root",
        "hits-1.root",
        "hits-manifest.accounts.jsonl",
        "hits-manifest.jsonl",
    ]
