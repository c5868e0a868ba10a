# SPDX-License-Identifier: BSD-3-Clause
"""The Geant4 plug-in in C++: compiled, and run in a Geant4 program with and without it, with and without threads.

FASTCALO_GEANT4_PREFIX names an installation of Geant4, or FASTCALO_GEANT4_SOURCE a source tree of the version that
geant4-pybind carries, whose headers go with that library.
"""

import importlib.util
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from helpers.geant4.full_simulation import skip_without_geant4
from helpers.geant4.geant4_prefix import make_prefix

import fastcalo
from fastcalo.fullsim.data import find_data
from fastcalo.model.shower_model import DEFAULT_MODELS

PLUGIN = Path(__file__).parents[2] / "integration" / "geant4" / "cpp"
MODELS = Path(fastcalo.__file__).parent / "model"
DETECTOR = fastcalo.load_detector()
EM = MODELS / f"{DEFAULT_MODELS[0]}.onnx"

# event, code, kinetic energy, direction, point on the face; 15 and 18 MeV are below the range of the model, and a
# proton is of no species that it knows
OBLIQUE = (0.36, -0.48, 0.8)
SHOTS = [
    (0, 22, 2.0, *OBLIQUE, 40.3, -12.7),
    (1, 22, 0.015, 0.0, 0.0, 1.0, -30.0, 200.0),
    (2, 22, 2.0, *OBLIQUE, 40.3, -12.7),
    (2, 22, 0.018, 0.0, 0.0, 1.0, -30.0, 200.0),
    (2, 2212, 0.3, 0.0, 0.0, 1.0, 100.0, 0.0),
    (4, 11, 1.5, *OBLIQUE, 0.0, 0.0),
    (5, -11, 3.0, *OBLIQUE, 10.0, 0.0),
]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@dataclass
class Program:
    """The compiled example with its inputs."""

    path: Path
    folder: Path
    run: object

    def __call__(self, name, *options):
        output = self.folder / f"{name}.jsonl"
        printed = self.run(
            self.path, "--geometry", self.folder / "geometry.txt", "--events", self.folder / "events.txt",
            "--model", EM, "--output", output, "--all-species", *options,
            env={**os.environ, **{key: str(value) for key, value in find_data().items()}},
        )  # fmt: skip
        return fastcalo.open_hits(output).read(), printed


def find_geant4(folder):
    if os.environ.get("FASTCALO_GEANT4_PREFIX"):
        return Path(os.environ["FASTCALO_GEANT4_PREFIX"])
    source = os.environ.get("FASTCALO_GEANT4_SOURCE")
    if not source:
        pytest.skip(
            "needs Geant4's headers: FASTCALO_GEANT4_PREFIX names an installation, or FASTCALO_GEANT4_SOURCE the "
            "source tree of the version that geant4-pybind carries"
        )
    make_prefix(Path(source), folder / "geant4")
    return folder / "geant4"


@pytest.fixture(scope="module")
def program(request, run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("geant4_cpp")
    geant4 = find_geant4(folder)
    skip_without_geant4()
    run("cmake", "--install", request.getfixturevalue("built"), "--prefix", folder / "installed")
    run(
        "cmake", "-S", PLUGIN, "-B", folder / "build", f"-DCMAKE_PREFIX_PATH={folder / 'installed'};{geant4}",
        "-DFASTCALO_WARNINGS_AS_ERRORS=ON",
    )  # fmt: skip
    run("cmake", "--build", folder / "build")
    (folder / "geometry.txt").write_text(inputs().geometry(DETECTOR))
    lines = ["0", "3", *(" ".join(map(repr, shot)) for shot in SHOTS)]
    (folder / "events.txt").write_text("\n".join(lines) + "\n")
    return Program(folder / "build" / "example" / "event_loop", folder, run)


@pytest.fixture(scope="module")
def fast(program):
    return program("fast")


@pytest.fixture(scope="module")
def without(program):
    return program("without", "--without")[0]


def inputs():
    spec = importlib.util.spec_from_file_location("write_inputs", PLUGIN / "example" / "write_inputs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cells(hits, section, event):
    s = hits.sections[section]
    rows = slice(s.offsets[event], s.offsets[event + 1])
    return dict(zip(s.cell_id[rows].tolist(), s.energy[rows].tolist(), strict=True))


def counts(printed):
    found = re.findall(r"^ *(\d+) with +([\d.e+-]+) GeV: (.*)$", printed, re.MULTILINE)
    return {text: (int(n), float(energy)) for n, energy, text in found}


def same(one, other):
    return all(cells(one, s, e) == cells(other, s, e) for s in ("ECAL", "HCAL") for e in range(one.n_events))


def test_a_photon_leaves_the_hits_that_python_draws_for_it(fast):
    """Through the navigator and the sensitive detector: of another cell or energy they would differ."""
    axes, point = DETECTOR.layout.axes[0], np.array([[40.3, -12.7, 0.0]])
    events = fastcalo.Events.from_arrays(
        pdg=[[22]],
        momentum=[[2.0 * np.array(OBLIQUE) @ axes]],
        vertex=[[DETECTOR.layout.to_global([0], point)[0]]],
        run=[0],
        event=[0],
    )
    expected = fastcalo.FastSimulation(models=[DEFAULT_MODELS[0]]).run(events, seed=0)
    for section in ("ECAL", "HCAL"):
        ours, theirs = cells(fast[0], section, 0), cells(expected, section, 0)
        theirs = {cell: e for cell, e in theirs.items() if e > DETECTOR.section(section).threshold}
        assert ours.keys() == theirs.keys()
        np.testing.assert_allclose(
            [ours[c] for c in sorted(ours)], [theirs[c] for c in sorted(theirs)], rtol=1e-4, atol=1e-9
        )
    assert len(cells(fast[0], "ECAL", 0)) > 10


def test_refused_particles_are_tracked_on_as_if_there_were_no_models(fast, without):
    """An event with nothing else is the same to the last bit, and one without particles is empty."""
    assert cells(fast[0], "ECAL", 1) == cells(without, "ECAL", 1)
    assert len(cells(without, "ECAL", 1)) > 0
    assert not cells(fast[0], "ECAL", 3)


def test_what_enters_is_what_was_shot_and_all_of_it_has_a_reason(fast):
    found = counts(fast[1])
    simulated = [shot for shot in SHOTS if shot[2] > 1]
    assert found[fastcalo.Reason.SIMULATED.text] == (len(simulated), sum(shot[2] for shot in simulated))
    # what comes back, and enters again, is counted as well
    assert found[fastcalo.Reason.ENERGY_TOO_LOW.text][0] >= 2
    assert found[fastcalo.Reason.ENERGY_TOO_LOW.text][1] >= 0.015 + 0.018
    assert found[fastcalo.Reason.UNKNOWN_SPECIES.text][0] >= 1
    assert found[fastcalo.Reason.UNKNOWN_SPECIES.text][1] >= 0.3


def test_a_mixed_event_has_the_deposits_of_both(fast, without):
    """The photon's hits are those of its own event; those of the tracked-on particles come on top."""
    mixed, photon = cells(fast[0], "ECAL", 2), cells(fast[0], "ECAL", 0)
    assert sum(mixed.values()) > sum(photon.values())
    # event 2 is not event 0: the showers differ, and share the mean
    assert sum(mixed.values()) == pytest.approx(sum(cells(without, "ECAL", 2).values()), rel=0.5)


def test_energies_of_hits_are_those_of_the_models(program):
    """Nothing is lost between the models and the sensitive detectors: with photons only, accounts close."""
    hits, printed = program("closed", "--first", "4")
    total = sum(section.total_energy for section in hits.sections.values())
    found = re.search(r"(\d+) hits with ([\d.]+) GeV(; .* no sensitive detector is)?", printed)
    assert found.group(3) is None
    # thresholds of the sums take away a little
    assert total == pytest.approx(float(found.group(2)), rel=1e-3)


def test_hits_straight_to_the_cells_are_those_through_the_detectors(program, fast):
    assert same(program("direct", "--direct")[0], fast[0])


def test_four_threads_give_the_hits_of_one(program, fast):
    assert same(program("threads", "--threads", "4")[0], fast[0])


def test_commands_change_what_is_stopped(program, without):
    """Where nothing is stopped, hits are those of models that are disabled.

    Those of a run without the plug-in can differ by single steps: the process that Geant4 attaches locates the volumes
    anew when a track starts.
    """
    disabled, printed = program("disabled", "--command", "/fastcalo/enable false")
    assert "fastcalo:" not in printed
    assert disabled.sections["ECAL"].energy.sum() == pytest.approx(without.sections["ECAL"].energy.sum(), rel=0.05)
    hits, printed = program("commands", "--command", "/fastcalo/minEnergy 2.5 GeV", "--command", "/fastcalo/exclude e+")
    assert counts(printed)["kept from the models by a cut"][0] >= 4
    assert fastcalo.Reason.SIMULATED.text not in counts(printed)
    assert same(hits, disabled)
    seeded = program("seeded", "--command", "/fastcalo/seed 18446744073709551615", "--count", "1")[0]
    assert cells(seeded, "ECAL", 0) != cells(hits, "ECAL", 0)


def test_the_file_states_which_detector_it_is_of(program, fast):
    head = json.loads((program.folder / "fast.jsonl").read_text().splitlines()[0])
    assert head["stack_hash"] == DETECTOR.stack_hash
    assert fast[0].n_events == 6
