# SPDX-License-Identifier: BSD-3-Clause
"""The example from HepMC3 to hits: compiled where HepMC3's headers are, and compared with Python's hits of the file.

They are found by CMake, or in the folder that FASTCALO_HEPMC3_PREFIX names (of Debian's package, or the wheel's).
"""

import os
from pathlib import Path

import numpy as np
import pytest

import fastcalo
from fastcalo.model.shower_model import DEFAULT_MODELS

SOURCES = Path(__file__).parents[2] / "integration" / "hepmc3"
MODELS = Path(fastcalo.__file__).parent / "model"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def write_events(path):
    """Two events in cm and MeV: particles of which one is not final, and one is born away from the origin."""
    hep = pytest.importorskip("pyhepmc")
    with hep.open(str(path), "w") as file:
        for number in (4, 9):
            event = hep.GenEvent(hep.Units.MEV, hep.Units.CM)
            event.event_number = number
            first = hep.GenParticle((0, 3000, 500, 3041.38126515), 22, 2)
            photon = hep.GenParticle((0, 2000.0 * number, 500, np.hypot(2000.0 * number, 500)), 22, 1)
            electron = hep.GenParticle((1000, -2500, 100, 2694.43871706), 11, 1)
            neutrino = hep.GenParticle((1000, 1000, 0, 1414.21356238), 12, 1)
            vertex = hep.GenVertex((0.1, -0.2, 1.5, 0))
            vertex.add_particle_in(first)
            for particle in (photon, electron, neutrino):
                vertex.add_particle_out(particle)
            event.add_vertex(vertex)
            file.write(event)


@pytest.fixture(scope="module")
def prefix():
    named = os.environ.get("FASTCALO_HEPMC3_PREFIX")
    known = [Path(named)] if named else [Path("/usr"), Path("/usr/local")]
    for folder in known:
        if (folder / "include" / "HepMC3" / "GenEvent.h").is_file():
            return folder
    pytest.skip("needs HepMC3's headers: apt-get install libhepmc3-dev, or FASTCALO_HEPMC3_PREFIX")


def test_hits_of_a_hepmc_file_are_those_of_python(prefix, request, run, tmp_path):
    write_events(tmp_path / "events.hepmc")
    run("cmake", "--install", request.getfixturevalue("built"), "--prefix", tmp_path / "installed")
    found = f"{tmp_path / 'installed'};{prefix}"
    # the wheel of HepMC3 has the strings of older compilers; the interface of our library is C, and takes either
    library = next(path for folder in ("lib", "lib64") for path in (prefix / folder).rglob("libHepMC3.so"))
    flags = "" if b"ReaderAsciiC1ERKNSt7__cxx11" in library.read_bytes() else "-D_GLIBCXX_USE_CXX11_ABI=0"
    run(
        "cmake", "-S", SOURCES, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={found}", f"-DCMAKE_CXX_FLAGS={flags}"
    )  # fmt: skip
    run("cmake", "--build", tmp_path / "build")
    model = MODELS / f"{DEFAULT_MODELS[0]}.onnx"
    program = tmp_path / "build" / "hepmc_to_hits"
    assert "2 events" in run(program, tmp_path / "events.hepmc", tmp_path / "hits.jsonl", 5, model)

    events = next(fastcalo.open_events(tmp_path / "events.hepmc").iterate(step_size=10))
    expected = fastcalo.FastSimulation(models=[DEFAULT_MODELS[0]]).run(events, seed=5)
    hits = fastcalo.open_hits(tmp_path / "hits.jsonl").read()
    assert hits.event.tolist() == expected.event.tolist() == [4, 9]
    assert sorted(hits.reason.tolist()) == sorted(expected.reason.tolist())
    for name, section in expected.sections.items():
        assert hits.sections[name].offsets.tolist() == section.offsets.tolist()
        assert hits.sections[name].cell_id.tolist() == section.cell_id.tolist()
        np.testing.assert_allclose(hits.sections[name].energy, section.energy, rtol=1e-4)
    assert hits.sections["ECAL"].n_hits > 100
