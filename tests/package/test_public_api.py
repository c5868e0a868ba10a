# SPDX-License-Identifier: BSD-3-Clause
"""The public names, what they return, and how that looks."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from dataclasses import FrozenInstanceError, is_dataclass
from html.parser import HTMLParser
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from numpy.testing import assert_array_equal

import fastcalo
from fastcalo import Events, FastSimulation, Hits, Reason
from fastcalo.errors import ConfigError, InputError, OutputError
from fastcalo.io.hits.root_tree import Lists, open_tree
from fastcalo.system.install import install_line

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "examples" / "demo" / "events.root"
SHOWERS = ROOT / "examples" / "data" / "em_geant4.h5"

PUBLIC = [
    "Detector",
    "Events",
    "FastCaloError",
    "FastSimulation",
    "Geant4Simulation",
    "Hits",
    "Reason",
    "SectionHits",
    "ShowerModel",
    "__version__",
    "compare",
    "convert",
    "export",
    "gun",
    "inspect",
    "load_detector",
    "load_model",
    "merge",
    "open_events",
    "open_hits",
    "open_showers",
    "train",
    "validate",
    "write_hits",
]

# of the upper levels, with libraries of their own
UPPER = {"export", "train"}


@pytest.fixture(scope="module")
def engine() -> FastSimulation:
    return FastSimulation("clic-like", "em", threads=1)


@pytest.fixture(scope="module")
def hits(engine: FastSimulation) -> Hits:
    return engine.run(next(fastcalo.open_events(DEMO).iterate(step_size=40)), seed=1)


def test_the_public_names_are_these() -> None:
    # whoever adds or removes one names it here and in the changelog
    assert sorted(fastcalo.__all__) == sorted(PUBLIC)
    assert sorted(dir(fastcalo)) == sorted(PUBLIC)
    for name in PUBLIC:
        if name not in UPPER or all(importlib.util.find_spec(library) for library in ("torch", "onnx")):
            assert getattr(fastcalo, name) is not None


def test_type_checkers_see_the_same_names() -> None:
    stub = (ROOT / "fastcalo" / "__init__.pyi").read_text()
    named = re.findall(r"^from \.[\w.]+ import (\w+) as \1$", stub, re.MULTILINE)
    assert sorted(named) == sorted(PUBLIC)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = fastcalo.nonsense


def test_importing_fastcalo_loads_only_what_it_needs() -> None:
    code = "import sys; before = set(sys.modules); import fastcalo; print(*sorted(set(sys.modules) - before))"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    packages = {name.split(".")[0] for name in loaded} - sys.stdlib_module_names
    assert packages == {"fastcalo", "lazy_loader"}


def test_what_a_name_needs_and_is_not_installed_is_named() -> None:
    hide = "import sys; sys.modules['torch'] = sys.modules['onnx'] = None; import fastcalo\n"
    for name, library in (("train", "torch"), ("export", "onnx")):
        done = subprocess.run(
            [sys.executable, "-c", f"{hide}fastcalo.{name}"], capture_output=True, text=True, check=False
        )
        message = f"fastcalo.{name} needs {library}, which is not installed: {install_line(name)}"
        assert done.stderr.splitlines()[-1] == f"fastcalo.errors.MissingDependencyError: {message}"


def test_export_is_the_function_whatever_was_imported_before() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    code = "import fastcalo.export.exporter, fastcalo; print(callable(fastcalo.export), fastcalo.export.__name__)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == ["True", "export"]


NESTED = {
    "lists": ([[11, -11], [], [22]], [[1.0, 2.0], [], [3.0]]),
    "awkward": (ak.Array([[11, -11], [], [22]]), ak.Array([[1.0, 2.0], [], [3.0]])),
    "lists of arrays": ([np.array([11, -11]), np.array([], int), np.array([22])], [[1.0, 2.0], [], [3.0]]),
}


@pytest.mark.parametrize("kind", NESTED)
def test_events_are_made_of_nested_lists_and_awkward_arrays(kind: str) -> None:
    pdg, pz = NESTED[kind]
    events = Events.from_arrays(pdg=pdg, px=0, py=0, pz=pz, run=7)
    assert_array_equal(events.offsets, [0, 2, 2, 3])
    assert_array_equal(events.pdg, [11, -11, 22])
    assert_array_equal(events.momentum, [[0, 0, 1], [0, 0, 2], [0, 0, 3]])
    # the masses are those of the Particle Data Group, the vertex is the origin, and events are numbered
    np.testing.assert_allclose(events.mass, [0.51099895e-3, 0.51099895e-3, 0])
    assert not events.vertex.any()
    assert events.final.all()
    assert_array_equal(events.run, [7, 7, 7])
    assert_array_equal(events.event, [0, 1, 2])


def test_flat_arrays_are_one_event_or_as_many_as_counts_has() -> None:
    pdg, momentum = np.array([11, 22, 211]), np.arange(9.0).reshape(3, 3)
    assert_array_equal(Events.from_arrays(pdg=pdg, momentum=momentum).offsets, [0, 3])
    events = Events.from_arrays(pdg=pdg, momentum=momentum, counts=[1, 0, 2], vertex=[0, 0, 5.0])
    assert_array_equal(events.offsets, [0, 1, 1, 3])
    assert_array_equal(events.momentum, momentum)
    assert_array_equal(events.vertex, [[0, 0, 5]] * 3)


def test_momenta_are_also_given_by_pt_eta_and_phi() -> None:
    events = Events.from_arrays(pdg=[[22]], pt=2.0, eta=[[1.0]], phi=[[np.pi / 2]])
    np.testing.assert_allclose(events.momentum, [[0, 2, 2 * np.sinh(1)]], atol=1e-12)


def test_records_as_uproot_reads_them_become_events_and_come_back() -> None:
    records = ak.Array([[{"pdg": 22, "px": 0.0, "py": 5.0, "pz": 1.0}], []])
    events = Events.from_awkward(records)
    again = Events.from_awkward(events.to_awkward())
    for name in ("offsets", "pdg", "momentum", "mass", "vertex", "final", "run", "event"):
        assert_array_equal(getattr(again, name), getattr(events, name), err_msg=name)
    assert_array_equal(events.momentum, [[0, 5, 1]])


WRONG = {
    "a code that is no integer": ({"pdg": [22.5], "momentum": [0, 0, 1]}, "pdg: .* particle 0 is 22.5"),
    "a code beyond 32 bits": ({"pdg": [2**40], "momentum": [0, 0, 1]}, "pdg: .* particle 0"),
    "text": ({"pdg": ["e-"], "momentum": [0, 0, 1]}, "pdg: should hold numbers"),
    "a number for a list": ({"pdg": 22, "momentum": [0, 0, 1]}, "pdg: should be a list"),
    "no momenta": ({"pdg": [22]}, "give momenta in one way"),
    "half of them": ({"pdg": [22], "px": 1.0}, "give momenta in one way"),
    "both ways": ({"pdg": [22], "pt": 1, "eta": 1, "phi": 1, "momentum": [0, 0, 1]}, "give momenta in one way"),
    "other lengths": ({"pdg": [[22], [11]], "px": [[1], [1, 2]], "py": 0, "pz": 0}, "px: has 2 values in event 1"),
    "other events": ({"pdg": [[22], [11]], "px": [[1]], "py": 0, "pz": 0}, "px: has 1 events"),
    "other nesting": ({"pdg": [[22]], "px": [1], "py": 0, "pz": 0}, "px: has 1 axes"),
    "two components": ({"pdg": [22, 22], "momentum": [[1, 2], [1, 2]]}, "momentum: .* three components"),
    "ragged vectors": ({"pdg": [22, 22], "momentum": [[1, 2], [1, 2, 3]]}, "momentum: does not hold"),
    "missing values": ({"pdg": [[22]], "momentum": [[[0, 0, None]]]}, "momentum: does not hold"),
    "a vertex in part": ({"pdg": [22], "momentum": [0, 0, 1], "vx": 1}, "give all of vx, vy, vz"),
    "a vertex twice": ({"pdg": [22], "momentum": [0, 0, 1], "vx": 1, "vertex": [0, 0, 0]}, "not both"),
    "counts of other sum": ({"pdg": [22], "momentum": [0, 0, 1], "counts": [2]}, "counts: add up to 2"),
    "counts below 0": ({"pdg": [22], "momentum": [0, 0, 1], "counts": [2, -1]}, "counts: should hold"),
    "counts of lists": ({"pdg": [[22]], "momentum": [0, 0, 1], "counts": [1]}, "counts: is for flat arrays"),
    "identifiers of other length": ({"pdg": [22], "momentum": [0, 0, 1], "event": [1, 2]}, "event: has shape"),
    "identifiers that are no integers": ({"pdg": [22], "momentum": [0, 0, 1], "run": 1.5}, "run: should hold integers"),
}


@pytest.mark.parametrize("what", WRONG)
def test_arrays_that_do_not_fit_are_refused_by_name(what: str) -> None:
    arguments, message = WRONG[what]
    with pytest.raises(InputError, match=message):
        Events.from_arrays(**arguments)


def test_records_with_other_fields_are_refused() -> None:
    with pytest.raises(InputError, match="has the field 'pt2'"):
        Events.from_awkward(ak.Array([[{"pdg": 22, "pt2": 0.0}]]))
    with pytest.raises(InputError, match="has no fields"):
        Events.from_awkward(ak.Array([[1, 2]]))


def test_a_particle_made_by_hand_is_simulated(engine: FastSimulation) -> None:
    found = engine.run(Events.from_arrays(pdg=[[22], [12]], momentum=[[[0, 20.0, 0]], [[0, 20.0, 0]]]), seed=1)
    assert_array_equal(found.reason, [Reason.SIMULATED, Reason.INVISIBLE])
    assert found.sections["ECAL"].total_energy > 0.2


def test_hits_become_awkward_records(hits: Hits) -> None:
    array = hits.to_awkward()
    assert array.fields == ["run", "event", "ECAL", "HCAL"]
    assert_array_equal(array.event, hits.event)
    section = hits.sections["ECAL"]
    assert_array_equal(ak.flatten(array.ECAL.energy), section.energy)
    assert_array_equal(ak.flatten(array.ECAL.z), section.position[:, 2])
    assert_array_equal(ak.num(array.ECAL), np.diff(section.offsets))
    assert section.to_awkward().to_list() == array.ECAL.to_list()


def test_hits_are_written_and_read_back(hits: Hits, tmp_path: Path) -> None:
    path = tmp_path / "hits.root"
    fastcalo.write_hits(path, (hits for _ in range(2)), detector="clic-like")
    with fastcalo.open_hits(path) as file:
        assert (len(file), file.sections) == (80, ("ECAL", "HCAL"))
        assert file.detector is not None
        assert file.detector.name == "clic-like"
        parts = list(file.iterate(step_size=40))
        whole = file.read()
    assert whole.n_events == 80
    for part in parts:
        assert_array_equal(part.event, hits.event)
        assert_array_equal(part.particles, hits.particles)
        for name, section in hits.sections.items():
            for column in ("offsets", "cell_id", "energy", "position", "layer"):
                assert_array_equal(getattr(part.sections[name], column), getattr(section, column), err_msg=column)
    assert fastcalo.compare(path, path).drop_in
    with pytest.raises(OutputError, match="exists"):
        fastcalo.write_hits(path, hits)


def test_what_is_read_depends_on_no_step_size(hits: Hits, tmp_path: Path) -> None:
    path = tmp_path / "hits.root"
    fastcalo.write_hits(path, hits)
    with fastcalo.open_hits(path) as file:
        for step_size in (7, 1000, "10 kB"):
            parts = list(file.iterate(step_size=step_size))
            assert_array_equal(
                np.concatenate([p.sections["ECAL"].cell_id for p in parts]), hits.sections["ECAL"].cell_id
            )
            assert_array_equal(np.concatenate([p.event for p in parts]), hits.event)
        for wrong in (0, "much"):
            with pytest.raises(ConfigError, match="step_size"):
                next(file.iterate(step_size=wrong))


def test_luminosity_blocks_survive_the_file(hits: Hits, tmp_path: Path) -> None:
    from dataclasses import replace

    blocks = np.arange(40) // 4
    fastcalo.write_hits(tmp_path / "hits.root", replace(hits, luminosity_block=blocks))
    assert_array_equal(fastcalo.open_hits(tmp_path / "hits.root").read().luminosity_block, blocks)
    with pytest.raises(InputError, match="luminosity blocks"):
        fastcalo.write_hits(tmp_path / "mixed.root", [hits, replace(hits, luminosity_block=blocks)])
    assert not (tmp_path / "mixed.root").exists()


def test_files_that_are_no_hits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no hits to write"):
        fastcalo.write_hits(tmp_path / "none.root", [])
    one = Lists(np.array([0, 1]), {"energy": np.ones(1, np.float32)})
    with open_tree(tmp_path / "half.root", {"event": np.int64}, {"ECAL": {"energy": np.float32}}) as tree:
        tree.append({"event": np.zeros(1, np.int64)}, {"ECAL": one})
    with pytest.raises(InputError, match=r"no branches .*'ECAL_cell_id'"):
        fastcalo.open_hits(tmp_path / "half.root").read()
    with pytest.raises(InputError, match="has no hits"):
        fastcalo.open_hits(DEMO)
    with uproot.recreate(tmp_path / "empty.root") as file:
        file["text"] = "no tree"
    with pytest.raises(InputError, match="neither a TTree"):
        fastcalo.open_hits(tmp_path / "empty.root")


def test_showers_are_read_step_by_step() -> None:
    with fastcalo.open_showers(SHOWERS) as file:
        parts = list(file.iterate(step_size=700))
        assert [part.start for part in parts] == list(range(0, len(file), 700))
        assert sum(len(part) for part in parts) == len(file)
        offsets, cell, deposit = file.hits("ECAL")
        assert_array_equal(np.concatenate([part.sections["ECAL"].cell for part in parts]), cell)
        first = parts[0].to_awkward()
        assert_array_equal(ak.flatten(first.ECAL.deposit), deposit[: offsets[700]])
        assert_array_equal(first.kinetic_energy, file.kinetic_energy(0, 700))
        with pytest.raises(ConfigError, match="step_size"):
            next(file.iterate(step_size=0))


def test_old_names_still_work_and_name_the_new_ones(engine: FastSimulation, tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning, match="iterate"):
        assert next(fastcalo.open_events(DEMO).chunks(5)).n_events == 5
    with pytest.warns(DeprecationWarning, match="step_size"):
        fastcalo.convert(DEMO, tmp_path / "hits.root", engine, chunk=100)


def test_detectors_go_by_name_wherever_models_do(tmp_path: Path) -> None:
    detector = fastcalo.load_detector("clic-like")
    assert fastcalo.load_detector(detector) is detector
    assert fastcalo.FastSimulation(models="em").detector.hash == detector.hash
    assert fastcalo.Geant4Simulation("clic-like").detector.hash == detector.hash
    with pytest.raises(fastcalo.FastCaloError, match="no-such"):
        fastcalo.FastSimulation("no-such", "em")
    with pytest.raises(ConfigError, match="'nothing' is neither"):
        fastcalo.gun(tmp_path / "showers.h5", detector="clic-like", species=["nothing"])
    with pytest.raises(ConfigError, match="spectrum"):
        fastcalo.gun(tmp_path / "showers.h5", spectrum="steep")


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        del attrs
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def shown(hits: Hits, engine: FastSimulation, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What a notebook may show, by a text that must stand in it."""
    folder = tmp_path_factory.mktemp("shown")
    summary = fastcalo.convert(DEMO, folder / "hits.root", engine)
    events = fastcalo.open_events(DEMO)
    showers = fastcalo.open_showers(SHOWERS)
    return {
        "kinetic energy [GeV]": summary,
        "in the final state": next(events.iterate()),
        "one event per entry": events,
        "visible energy [GeV]": hits,
        "FastSimulation": fastcalo.open_hits(folder / "hits.root"),
        "FAST / FULL": fastcalo.compare(folder / "hits.root", folder / "hits.root"),
        "seconds_per_shower": showers,
        "deposits": next(showers.iterate(step_size=10)),
        "4 T along z": fastcalo.load_detector(),
        "species": engine.models[0],
        "Detector clic-like": fastcalo.inspect("clic-like"),
    }


def test_everything_looks_good_in_a_notebook_and_at_a_prompt(shown: dict[str, object]) -> None:
    for text, value in shown.items():
        tags = _Tags()
        tags.feed(value._repr_html_())
        assert not tags.open, type(value)
        assert text in tags.text, type(value)
        assert len(repr(value)) < (200 if not text.startswith("Detector") else 5000), type(value)


def test_texts_of_files_are_no_html() -> None:
    from fastcalo.display import html_table

    assert "<script>" not in html_table("<script>", ("<script>",), [("<script>",)], "<script>")


def test_results_cannot_be_changed_by_accident(shown: dict[str, object], hits: Hits) -> None:
    for value in (hits, shown["FAST / FULL"], shown["deposits"], shown["Detector clic-like"]):
        assert is_dataclass(value)
        name = next(iter(value.__dataclass_fields__))
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, None)
