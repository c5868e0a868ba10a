# SPDX-License-Identifier: BSD-3-Clause
"""Hits as lines of JSON: read like our own trees, compared, merged, and refused where they are damaged."""

import json

import numpy as np
import pytest

import fastcalo
from fastcalo.errors import InputError
from fastcalo.event.reasons import Reason
from fastcalo.production.merge import merge
from fastcalo.validation.hits.compare import compare

DETECTOR = fastcalo.load_detector()


@pytest.fixture(scope="module")
def hits():
    events = fastcalo.Events.from_arrays(
        pdg=[[22, 11, 12], [], [22]],
        momentum=[[[0.0, 4.0, 1.0], [-2.0, 1.0, 0.5], [1.0, 1.0, 1.0]], [], [[3.0, 0.0, -1.0]]],
        vertex=[[[0.0, 0.0, 0.0]] * 3, [], [[0.0, 0.0, 0.0]]],
        run=[7, 7, 7],
        event=[1, 2, 3],
    )
    return fastcalo.FastSimulation(models="em").run(events, seed=3)


def lines_of(hits):
    """What the C++ library writes, which tests of integration compare with."""
    head = {"format": "fastcalo-hits", "version": 1, "detector": DETECTOR.name, "stack_hash": DETECTOR.stack_hash}
    lines = [{**head, "sections": list(hits.sections)}]
    for e in range(hits.n_events):
        rows = slice(hits.particle_offsets[e], hits.particle_offsets[e + 1])
        counts = np.bincount(hits.reason[rows], minlength=len(Reason)).tolist()
        line = {"run": int(hits.run[e]), "event": int(hits.event[e]), "particles": counts}
        for name, s in hits.sections.items():
            mine = slice(s.offsets[e], s.offsets[e + 1])
            line[name] = {"cell_id": s.cell_id[mine].tolist(), "energy": s.energy[mine].tolist()}
        lines.append(line)
    return [*lines, {"events": hits.n_events}]


def write(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def file(hits, tmp_path):
    return write(tmp_path / "hits.jsonl", lines_of(hits))


def test_they_are_read_as_our_own_tree_is(hits, file, tmp_path):
    fastcalo.write_hits(tmp_path / "hits.root", [hits], detector=DETECTOR)
    ours, theirs = fastcalo.open_hits(file).read(), fastcalo.open_hits(tmp_path / "hits.root").read()
    assert ours.run.tolist() == [7, 7, 7]
    assert ours.event.tolist() == [1, 2, 3]
    assert ours.reason.tolist() == theirs.reason.tolist()
    for name, section in theirs.sections.items():
        for column in ("offsets", "cell_id", "energy", "position", "layer"):
            a, b = getattr(ours.sections[name], column), getattr(section, column)
            assert a.dtype == b.dtype
            assert (a == b).all()
    report = compare(tmp_path / "hits.root", file)
    assert report.drop_in


def test_steps_give_the_events_one_by_one(hits, file):
    with fastcalo.open_hits(file) as opened:
        steps = list(opened.iterate(step_size=2))
        assert [step.n_events for step in steps] == [2, 1]
        assert sum(s.sections["ECAL"].n_hits for s in steps) == hits.sections["ECAL"].n_hits
        assert [step.n_events for step in opened.iterate(step_size="1 kB")] == [1, 1, 1]


def test_they_become_a_root_file(file, tmp_path):
    with fastcalo.open_hits(file) as opened:
        fastcalo.write_hits(tmp_path / "hits.root", opened.iterate(step_size=1), detector=opened.detector)
    assert compare(file, tmp_path / "hits.root").drop_in


def test_they_are_not_merged_for_lack_of_the_particles_energies(file, tmp_path):
    with pytest.raises(InputError, match="does not state how it was made"):
        merge(str(file), str(file), str(tmp_path / "all.root"))


@pytest.mark.parametrize("change", [{"stack_hash": "of another"}, {"detector": "mine"}])
def test_another_detector_is_to_be_named(hits, tmp_path, change):
    lines = lines_of(hits)
    lines[0].update(change)
    path = write(tmp_path / "other.jsonl", lines)
    with pytest.raises(InputError, match="name the one it was made in"):
        fastcalo.open_hits(path)
    assert fastcalo.open_hits(path, "clic-like").read().n_events == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines.pop(), "was cut short"),
        (lambda lines: lines.pop(2), "was cut short"),
        (lambda lines: lines.clear(), "no JSON"),
        (lambda lines: lines[0].update(format="other"), "is no file of hits"),
        (lambda lines: lines[0].update(version=2), "is of version 2"),
        (lambda lines: lines[0].update(sections="ECAL"), "does not list the sections"),
        (lambda lines: lines[1].pop("run"), "lines 2 to 4: 'run' is missing or no number"),
        (lambda lines: lines[1].update(particles=[0]), "'particles_"),
        (lambda lines: lines[1]["ECAL"].update(cell_id=[-1]), "'ECAL_cell_id' is missing or no number"),
        (lambda lines: lines[1]["ECAL"]["energy"].pop(), "is not as long as"),
        (lambda lines: lines.__setitem__(1, [1]), "is no JSON object"),
    ],
)
def test_what_is_damaged_is_refused(hits, tmp_path, change, message):
    lines = lines_of(hits)
    change(lines)
    with pytest.raises(InputError, match=message):
        fastcalo.open_hits(write(tmp_path / "bad.jsonl", lines)).read()


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        fastcalo.open_hits(tmp_path / "none.jsonl")
