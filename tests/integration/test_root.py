# SPDX-License-Identifier: BSD-3-Clause
"""The library for ROOT's interpreter: compiled, loaded, and used in RDataFrame.Define, with threads and without."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import fastcalo
from fastcalo.model.shower_model import DEFAULT_MODELS

SOURCES = Path(__file__).parents[2] / "integration" / "root"
MODELS = Path(fastcalo.__file__).parent / "model"
EVENTS = 40

SCRIPT = """
import json, sys, warnings
warnings.simplefilter("ignore")
import ROOT
library, header, model, events, threads, output = sys.argv[1:]
if int(threads):
    ROOT.ROOT.EnableImplicitMT(int(threads))
assert ROOT.gSystem.Load(library) >= 0
assert ROOT.gInterpreter.Declare(f'#include "{header}"')
assert ROOT.fastcalo_root_open("clic-like", "/no/such.onnx") == -1
refusal = str(ROOT.fastcalo_root_message())
assert ROOT.fastcalo_root_open("clic-like", model) == 0
frame = ROOT.RDataFrame(int(events))
frame = frame.Define("pdg", "ROOT::RVecI{22, 12, 11}")
for name, value in {"px": "2. + 0.1 * rdfentry_", "py": "1.", "pz": "-0.5"}.items():
    frame = frame.Define(name, f"ROOT::RVecD(3, {value})")
frame = frame.Define("zero", "ROOT::RVecD(3, 0.)")
call = "fastcalo_root::simulate(0, 3, 7, (long long)rdfentry_, pdg, px, py, pz, zero, zero, zero)"
frame = frame.Define("showers", call).Define("sections", "(int)showers.size()")
frame = frame.Define("cells", "showers[0].cell_id").Define("energy", "showers[0].energy")
frame = frame.Define("entry", "(ULong64_t)rdfentry_").Define("first", "showers[0].x[0]")
bad = "fastcalo_root::simulate(9, 3, 7, 0, pdg, px, py, pz, zero, zero, zero).size()"
columns = ("entry", "sections", "cells", "energy", "first")
types = ("ULong64_t", "int", "ROOT::RVec<unsigned long long>", "ROOT::RVecF", "float")
taken = [frame.Take[kind](name) for kind, name in zip(types, columns)]
empty = frame.Define("none", bad).Max("none")
rows = []
for values in zip(*(list(t.GetValue()) for t in taken)):
    entry, sections, cells, energy, first = values
    rows.append([int(entry), int(sections), [int(c) for c in cells], [float(e) for e in energy], float(first)])
text = {"rows": sorted(rows), "refusal": refusal, "empty": int(empty.GetValue())}
open(output, "w").write(json.dumps(text))
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def frame(request, run, tmp_path_factory):
    if importlib.util.find_spec("ROOT") is None:
        pytest.skip("needs ROOT: pip install 'fastcalo[root]'")
    folder = tmp_path_factory.mktemp("root")
    run("cmake", "--install", request.getfixturevalue("built"), "--prefix", folder / "installed")
    run("cmake", "-S", SOURCES, "-B", folder / "build", f"-DCMAKE_PREFIX_PATH={folder / 'installed'}")
    run("cmake", "--build", folder / "build")

    def define(threads):
        output = folder / f"{threads}.json"
        library, model = folder / "build" / "libfastcalo_root.so", MODELS / f"{DEFAULT_MODELS[0]}.onnx"
        run(sys.executable, "-c", SCRIPT, library, SOURCES / "fastcalo_root.h", model, EVENTS, threads, output)
        return json.loads(output.read_text())

    return define


@pytest.fixture(scope="module")
def alone(frame):
    return frame(0)


@pytest.mark.usefixtures("library")
def test_a_data_frame_has_the_hits_that_python_draws(alone):
    momentum = [[[2.0 + 0.1 * k, 1.0, -0.5]] * 3 for k in range(EVENTS)]
    events = fastcalo.Events.from_arrays(
        pdg=[[22, 12, 11]] * EVENTS,
        momentum=momentum,
        vertex=np.zeros((EVENTS, 3, 3)).tolist(),
        run=[7] * EVENTS,
        event=list(range(EVENTS)),
    )
    # the engines round differently, and one shower in a thousand stands on the border of a decision
    model = fastcalo.load_model(DEFAULT_MODELS[0], backend="native")
    expected = fastcalo.FastSimulation(models=[model]).run(events, seed=3).sections["ECAL"]
    assert len(alone["rows"]) == EVENTS
    for entry, sections, cells, energy, first in alone["rows"]:
        rows = slice(expected.offsets[entry], expected.offsets[entry + 1])
        assert sections == 2
        assert cells == expected.cell_id[rows].tolist()
        np.testing.assert_allclose(energy, expected.energy[rows], rtol=1e-4)
        assert first == expected.position[rows][0, 0]


def test_threads_of_root_give_the_same(frame, alone):
    assert frame(2)["rows"] == alone["rows"]


def test_what_fails_has_a_message_and_no_hits(alone):
    assert "/no/such.onnx: cannot be opened" in alone["refusal"]
    assert alone["empty"] == 0
