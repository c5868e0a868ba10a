# SPDX-License-Identifier: BSD-3-Clause
"""HepMC text of both versions, as pyhepmc writes it: units, vertices, numbers, compression, damage."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from helpers.models.small_engine import StraightEngine
from numpy.testing import assert_allclose, assert_array_equal

from fastcalo import convert, load_detector, open_events
from fastcalo.errors import InputError

pyhepmc = pytest.importorskip("pyhepmc")
N = 25


def make_event(number: int, unit: float, length: float) -> object:
    """A Z to two photons and a pion that decays to a muon 30 mm away; in MeV and cm, or GeV and mm."""
    units = (pyhepmc.Units.GEV, pyhepmc.Units.MM) if unit == 1 else (pyhepmc.Units.MEV, pyhepmc.Units.CM)
    event = pyhepmc.GenEvent(*units)
    event.event_number = number
    momenta = np.array([[0, 0, 45, 45], [0, 0, -45, 45], [3, 4, 0, 5], [-5, 0, 1, np.hypot(5.1, 0.13957)]]) * unit
    muon = np.array([-4, 0, 1, 4.2]) * unit
    codes, status = (11, -11, 22, 211), (4, 4, 1, 2)
    parts = [pyhepmc.GenParticle(tuple(p), code, s) for p, code, s in zip(momenta, codes, status, strict=True)]
    parts.append(pyhepmc.GenParticle(tuple(muon), -13, 1))
    for part, mass in zip(parts, (0.000511, 0.000511, 0, 0.13957, 0.10566), strict=True):
        part.generated_mass = mass * unit
    collision = pyhepmc.GenVertex((0.5 * length, 0, number * length, 0))
    decay = pyhepmc.GenVertex((30 * length, 1 * length, number * length, 0))
    for part in parts[:2]:
        collision.add_particle_in(part)
    for part in parts[2:4]:
        collision.add_particle_out(part)
    decay.add_particle_in(parts[3])
    decay.add_particle_out(parts[4])
    event.add_vertex(collision)
    event.add_vertex(decay)
    return event


def write_hepmc(path: Path, numbers=range(N), mev=False, kind="HepMC3") -> Path:
    with pyhepmc.open(str(path), "w", format=kind) as file:
        for number in numbers:
            file.write(make_event(number, *((1e3, 0.1) if mev else (1.0, 1.0))))
    return path


@pytest.mark.parametrize("mev", [False, True])
@pytest.mark.parametrize("kind", ["HepMC3", "HepMC2"])
@pytest.mark.parametrize("step", [7, 1000])
def test_momenta_masses_vertices_and_numbers(tmp_path, mev, kind, step):
    reader = open_events(write_hepmc(tmp_path / "a.hepmc", range(40, 40 + N), mev, kind))
    assert reader.n_entries == N
    assert reader.schema.name == "HepMC3"
    chunks = list(reader.iterate(step))
    assert_array_equal(np.concatenate([events.event for events in chunks]), np.arange(40, 40 + N))
    for events in chunks:
        assert_array_equal(np.diff(events.offsets), 5)
        final = events.final.reshape(-1, 5)
        assert_array_equal(final, [[False, False, True, False, True]] * events.n_events)
        rows = events.final
        assert_array_equal(events.pdg[rows], [22, -13] * events.n_events)
        assert_allclose(events.momentum[rows], [[3, 4, 0], [-4, 0, 1]] * events.n_events, rtol=1e-9)
        assert_allclose(events.mass[rows], [0, 0.10566] * events.n_events, rtol=1e-3)
        z = np.repeat(events.event, 2)
        expected = np.column_stack([np.tile([0.5, 30], len(z) // 2), np.tile([0, 1], len(z) // 2), z])
        assert_allclose(events.vertex[rows], expected, rtol=1e-9)


def test_blocks_of_a_few_events_hold_the_same(tmp_path, monkeypatch):
    path = write_hepmc(tmp_path / "a.hepmc")
    (whole,) = open_events(path).iterate(1000)
    monkeypatch.setattr("fastcalo.io.particles.hepmc._BLOCK", 1000.0)
    (parts,) = open_events(path).iterate(1000)
    assert_array_equal(parts.momentum, whole.momentum)
    assert_array_equal(parts.vertex, whole.vertex)


def test_compressed_and_several_files_whose_numbers_come_again(tmp_path):
    plain = write_hepmc(tmp_path / "a.hepmc")
    packed = tmp_path / "b.hepmc.gz"
    packed.write_bytes(gzip.compress(write_hepmc(tmp_path / "b.hepmc", range(5, N + 5)).read_bytes()))
    reader = open_events([plain, packed])
    (events,) = reader.iterate(1000)
    assert events.n_events == 2 * N
    assert reader.repeats.repeated == N - 5
    assert len(set(events.stream.tolist())) == 2 * N


def test_conversion(tmp_path):
    engine = StraightEngine(load_detector())
    summary = convert(write_hepmc(tmp_path / "a.hepmc"), tmp_path / "hits.root", engine, decays=False)
    assert summary.events == N
    assert summary.particles.count == 5 * N


@pytest.mark.parametrize("part", [0.3, 0.9])
def test_a_file_cut_short_is_refused(tmp_path, part):
    path = write_hepmc(tmp_path / "a.hepmc")
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with pytest.raises(InputError, match="cut short"):
        open_events(path)


def test_damage_is_reported(tmp_path):
    path = write_hepmc(tmp_path / "a.hepmc")
    path.write_text(path.read_text().replace("P 5 -2 -13", "P x ? -13", 3))
    with pytest.raises(InputError, match=r"a.hepmc: tree 'hepmc3_tree'"):
        list(open_events(path).iterate())


def test_an_empty_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="is empty"):
        open_events(write_hepmc(tmp_path / "a.hepmc", []))
