# SPDX-License-Identifier: BSD-3-Clause
"""The C++ library: built and tested by CMake, installed, used by a project of its own, and compared with Python."""

import importlib.util
import json
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import fastcalo
from fastcalo import particles
from fastcalo.errors import OutputError
from fastcalo.export.cpp_example import write_cpp_example
from fastcalo.model.contract import read_contract
from fastcalo.model.onnx_file import METADATA_KEY, read_onnx
from fastcalo.model.shower_model import DEFAULT_MODELS

SOURCES = Path(__file__).parents[2] / "integration" / "cpp"
EXAMPLE = SOURCES / "examples" / "standalone"
VECTORS = SOURCES / "tests" / "vectors"
MODELS = Path(fastcalo.__file__).parent / "model"

built_once = pytest.mark.timeout(1800)


@pytest.mark.slow
@built_once
def test_the_library_builds_without_warnings_and_passes_its_own_tests(built, run):
    report = run("ctest", "--test-dir", built, "--output-on-failure")
    assert "100% tests passed" in report
    assert re.search(r"vectors_onnxruntime \.+ +Passed", report)


@pytest.mark.slow
@built_once
def test_a_project_of_its_own_uses_the_installed_package(built, run, onnxruntime_library, tmp_path):
    run("cmake", "--install", built, "--prefix", tmp_path / "installed")
    run("cmake", "-S", EXAMPLE, "-B", tmp_path / "example", f"-DCMAKE_PREFIX_PATH={tmp_path / 'installed'}")
    run("cmake", "--build", tmp_path / "example")
    printed = run(
        tmp_path / "example" / "simulate",
        MODELS / "em.onnx",
        env={**os.environ, "FASTCALO_ONNXRUNTIME": str(onnxruntime_library)},
    )
    events = fastcalo.Events.from_arrays(
        pdg=[22, 11, 12, 22],
        momentum=[[0.0, 20.0, 1.0], [-5.0, 1.0, 0.5], [1.0, 1.0, 1.0], [0.0, 0.0, 10.0]],
        vertex=[[0, 0, 0], [0.1, 0, -2], [0, 0, 0], [0, 0, 0]],
        run=[1],
        event=[42],
    )
    hits = fastcalo.FastSimulation(models=["em"]).run(events, seed=1)
    for i, reason in enumerate(hits.reason):
        assert f"particle {i} ({events.pdg[i]}): {fastcalo.Reason(reason).text}" in printed
    for name, section in hits.sections.items():
        count, energy = re.search(rf"{name}: (\d+) hits, ([\d.]+) GeV", printed).groups()
        assert int(count) == section.n_hits
        assert float(energy) == pytest.approx(section.total_energy, rel=1e-4, abs=1e-6)


@pytest.mark.slow
@built_once
def test_a_written_example_compiles_against_the_installed_package(built, run, tmp_path):
    """What ``fastcalo export MODEL --cpp-example DIR`` writes is built, and its test passes."""
    name = DEFAULT_MODELS[0]
    printed = run(sys.executable, "-m", "fastcalo", "export", name, "--cpp-example", tmp_path / "mine")
    assert f"{name}.onnx" in printed
    assert sorted(p.name for p in (tmp_path / "mine").iterdir()) == [
        "CMakeLists.txt", "README.md", f"{name}.onnx", "simulate.cpp",
    ]  # fmt: skip
    run("cmake", "--install", built, "--prefix", tmp_path / "installed")
    run(
        "cmake", "-S", tmp_path / "mine", "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={tmp_path / 'installed'}"
    )  # fmt: skip
    run("cmake", "--build", tmp_path / "build")
    assert "100% tests passed" in run("ctest", "--test-dir", tmp_path / "build")


def test_an_example_is_not_written_over_something(tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(OutputError, match="is not empty"):
        write_cpp_example("em", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["note.txt"]


@pytest.mark.slow
@built_once
def test_the_library_exports_the_one_function_of_its_interface(built, run):
    library = built / "src" / "libfastcalo.so"
    if shutil.which("nm") is None or not library.exists():
        pytest.skip("needs nm, and a library of ELF")
    symbols = [line.split()[-2:] for line in run("nm", "-D", "--defined-only", library).splitlines()]
    # weak ones are of the standard library's templates
    assert [name for kind, name in symbols if kind not in "WVu"] == ["fastcalo_get_api"]


# --- what C++ holds a copy of, against Python's own


def test_the_shipped_detector_is_that_of_python():
    text = (SOURCES / "src" / "detector" / "shipped_detectors.cpp").read_text()
    described = json.loads(re.search(r'R"json\((.*)\)json"', text, re.DOTALL).group(1))
    assert described == fastcalo.load_detector("clic-like").description


def test_masses_and_charges_are_those_of_python():
    text = (SOURCES / "src" / "detector" / "particle_table.cpp").read_text()
    rows = re.findall(r"\{(\d+), ([\d.e-]+), (-?\d)\}", text)
    assert len(rows) > 20
    codes = [int(code) for code, _, _ in rows]
    assert [float(mass) for _, mass, _ in rows] == particles.mass(codes).tolist()
    assert [float(charge) for _, _, charge in rows] == particles.charge(codes).tolist()


def test_numbers_of_reasons_are_those_of_python():
    text = (SOURCES / "include" / "fastcalo" / "c_api.h").read_text()
    assert {r.name: r.value for r in fastcalo.Reason} == {
        name: int(value)
        for name, value in re.findall(r"FASTCALO_(\w+) = (\d+)", text.split("fastcalo_reason {")[1].split("}")[0])
    }


def test_every_species_of_a_model_and_every_substitute_is_in_the_table():
    known = {
        int(c)
        for c in re.findall(r"\{(\d+), [\d.e-]+, -?\d\}", (SOURCES / "src/detector/particle_table.cpp").read_text())
    }
    wanted = {row.species for row in fastcalo.load_detector().substitutes.rows}
    for path in MODELS.glob("*.onnx"):
        contract = read_contract(read_onnx(path.read_bytes(), path.name).metadata[METADATA_KEY], path.name)
        wanted |= set(contract.species)
    assert {abs(code) for code in wanted} <= known


# --- the test vectors are what Python draws today


def make_vectors():
    spec = importlib.util.spec_from_file_location(
        "make_vectors", Path(__file__).parents[1] / "data" / "make_vectors.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("name", ["em", "hadron", "muon", "windows"])
def test_vectors_of_models_are_what_python_draws(name):
    stored, now = json.loads((VECTORS / f"{name}.json").read_text()), make_vectors().model_vectors(name)
    assert stored["file_hash"] == now["file_hash"], "the model changed: run tests/data/make_vectors.py"
    for a, b in zip(stored["particles"], now["particles"], strict=True):
        sections_a, sections_b = a.pop("sections"), b.pop("sections")
        assert a == b
        for section, hits in sections_a.items():
            x, y = np.array(hits["hits"]).reshape(-1, 4), np.array(sections_b[section]["hits"]).reshape(-1, 4)
            assert x[:, :3].tolist() == y[:, :3].tolist()
            np.testing.assert_allclose(x[:, 3], y[:, 3], rtol=1e-4)


@pytest.mark.slow
def test_vectors_of_events_are_what_python_draws():
    stored, now = json.loads((VECTORS / "events.json").read_text()), make_vectors().event_vectors()
    for name, hits in stored["sections"].items():
        assert hits["cell_id"] == now["sections"][name]["cell_id"]
        np.testing.assert_allclose(hits["energy"], now["sections"][name]["energy"], rtol=1e-4)
    assert {k: v for k, v in stored.items() if k not in ("sections", "arrivals")} == {
        k: v for k, v in now.items() if k not in ("sections", "arrivals")
    }
