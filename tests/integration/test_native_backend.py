# SPDX-License-Identifier: BSD-3-Clause
"""The native engine in Python: the same showers as ONNX Runtime's, and the message where it is not there."""

import pickle
import re
import threading
from pathlib import Path

import numpy as np
import pytest
from helpers.models.tiny_model import write_wrong_shape
from helpers.models.windowed_model import WINDOWED_MODEL

import fastcalo
from fastcalo.errors import ConfigError, ContractError, MissingDependencyError
from fastcalo.model import native_library
from fastcalo.model.native_library import ENTRIES, LIBRARY, library_path
from fastcalo.model.random_numbers import random_streams

HEADER = Path(__file__).parents[2] / "integration" / "cpp" / "include" / "fastcalo" / "c_api.h"


# --- what is declared a second time for ctypes, against the header


def test_the_tables_entries_are_those_of_the_header():
    table = re.search(r"typedef struct fastcalo_api \{(.*?)\} fastcalo_api;", HEADER.read_text(), re.DOTALL).group(1)
    names = re.findall(r"\(\*(\w+)\)\(", table)
    assert len(names) > len(ENTRIES)
    assert tuple(names[: len(ENTRIES)]) == ENTRIES


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (native_library._Options, "model_options"),
        (native_library._Particles, "particles"),
        (native_library._Keys, "keys"),
        (native_library._SectionShowers, "section_showers"),
    ],
)
def test_structures_are_those_of_the_header(ours, theirs):
    body = re.search(rf"typedef struct fastcalo_{theirs} \{{(.*?)\}} fastcalo_{theirs};", HEADER.read_text(), re.DOTALL)
    fields = re.findall(r"(\w+);", re.sub(r"/\*.*?\*/", "", body.group(1), flags=re.DOTALL))
    assert [name for name, _ in ours._fields_] == fields


# --- where it is not there


def test_without_a_library_onnx_runtime_runs_the_model(monkeypatch):
    monkeypatch.setenv(LIBRARY, "")
    assert fastcalo.load_model("em").backend == "onnxruntime"
    with pytest.raises(MissingDependencyError, match=r"the native engine is not built: .*FASTCALO_LIBRARY"):
        fastcalo.load_model("em", backend="native")


def test_a_library_that_is_none_is_refused(monkeypatch, tmp_path):
    wrong = tmp_path / "libfastcalo.so"
    wrong.write_bytes(b"no library")
    monkeypatch.setenv(LIBRARY, str(wrong))
    with pytest.raises(MissingDependencyError, match="is no library of fastcalo"):
        fastcalo.load_model("em")
    assert fastcalo.load_model("em", backend="onnxruntime").backend == "onnxruntime"


def test_an_unknown_backend_is_refused():
    with pytest.raises(ConfigError, match="'auto', 'native', 'onnxruntime', not 'tensorrt'"):
        fastcalo.load_model("em", backend="tensorrt")


def test_the_library_beside_the_package_is_found(monkeypatch):
    monkeypatch.delenv(LIBRARY, raising=False)
    beside = library_path()
    assert beside is None or beside.parent == Path(fastcalo.__file__).parent / "_native"


# --- where it is


def particles_of(model, n, seed=1):
    rng, contract = np.random.default_rng(seed), model.contract
    low, high = contract.kinetic_energy
    theta = np.arccos(rng.uniform(np.cos(contract.max_angle), 1, n))
    phi = rng.uniform(0, 2 * np.pi, n)
    reach = 1000.0 if contract.whole else 2.5
    zero = np.zeros(n, np.int64)
    return (
        rng.choice(np.array(contract.species, np.int64), n),
        np.exp(rng.uniform(np.log(low), np.log(high), n)).astype(np.float32),
        np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], 1).astype(np.float32),
        rng.uniform(-reach, reach, (n, 2)).astype(np.float32),
        random_streams(2**63 + seed, zero, zero, np.arange(n)),
    )


def cells(showers, n):
    """Sorted rows of shower, layer, x and y; deposits in their order; first row of each shower."""
    columns = (showers.y, showers.x, showers.layer, showers.shower)
    order = np.lexsort(columns)
    rows = np.stack(columns[::-1], 1)[order]
    return rows, showers.deposit[order], np.searchsorted(rows[:, 0], np.arange(n + 1))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("library")
def test_arguments_are_checked_as_without_it(tmp_path):
    native, ort = (fastcalo.load_model(WINDOWED_MODEL, 1, backend) for backend in ("native", "onnxruntime"))
    none = {"pdg": [], "kinetic_energy": [], "direction": np.zeros((0, 3)), "entry": np.zeros((0, 2))}
    for model in (native, ort):
        assert {name: window.shape for name, window in model.generate(**none).items()} == {"ECAL": (0, 25, 25, 25)}
    with pytest.raises(ConfigError, match="threads must be a whole number"):
        fastcalo.load_model("em", 0, "native")
    with pytest.raises(ContractError, match=r"wrong\.onnx: could not be run: native engine: Reshape"):
        fastcalo.load_model(write_wrong_shape(tmp_path / "wrong.onnx"), 1, "native").generate(
            pdg=[22, 22], kinetic_energy=[2.0, 1.0], direction=[0, 0, 1], entry=[0, 0]
        )


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["em", "hadron", "muon", WINDOWED_MODEL])
@pytest.mark.usefixtures("library")
def test_both_backends_give_the_same_showers(name):
    native, ort = (fastcalo.load_model(name, 1, backend) for backend in ("native", "onnxruntime"))
    assert (native.backend, ort.backend) == ("native", "onnxruntime")
    n = 60
    particles = particles_of(ort, n)
    different, apart, hits = set(), 0, 0
    mine = native.sample(*particles)
    for section, theirs in ort.sample(*particles).items():
        (a, x, at), (b, y, bt) = cells(mine[section], n), cells(theirs, n)
        hits += len(y)
        for i in range(n):
            ours, other = slice(at[i], at[i + 1]), slice(bt[i], bt[i + 1])
            if not np.array_equal(a[ours], b[other]) or not np.allclose(x[ours], y[other], rtol=1e-3, atol=0):
                different.add(i)
            else:
                apart += int(np.sum(np.abs(x[ours] - y[other]) > 1e-4 * y[other]))
    # an edge between two cells, or two components of a mixture, is met by one shower of a thousand
    assert len(different) <= 1
    assert apart <= 1e-3 * hits


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("library")
def test_batches_processes_and_threads_change_nothing():
    model = fastcalo.load_model("em", backend="native")
    pdg, energy, direction, entry, random = particles_of(model, 20)
    whole = model.sample(pdg, energy, direction, entry, random)["ECAL"]
    found = {}

    def work(i):
        copy = pickle.loads(pickle.dumps(model))  # noqa: S301
        one = np.array([i])
        found[i] = copy.sample(pdg[one], energy[one], direction[one], entry[one], random.take(one))["ECAL"]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(20):
        mine = whole.shower == i
        for column in ("x", "y", "layer"):
            assert getattr(found[i], column).tolist() == getattr(whole, column)[mine].tolist()
        np.testing.assert_allclose(found[i].deposit, whole.deposit[mine], rtol=1e-4)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("library")
def test_more_showers_of_high_energy_than_one_batch_takes():
    """Their noise is large, so that they are drawn in several runs."""
    model = fastcalo.load_model("em", backend="native")
    pdg, energy, direction, entry, random = particles_of(model, 60)
    energy = np.linspace(90, 100, len(pdg)).astype(np.float32)[::-1].copy()
    whole = model.sample(pdg, energy, direction, entry, random)["ECAL"]
    assert np.unique(whole.shower).tolist() == list(range(60))
    for part in (np.arange(3), np.arange(30, 60)):
        mine = model.sample(pdg[part], energy[part], direction[part], entry[part], random.take(part))["ECAL"]
        here = np.isin(whole.shower, part)
        by_shower = [np.argsort(s.shower[keep], kind="stable") for s, keep in ((whole, here), (mine, slice(None)))]
        for column in ("x", "y", "layer"):
            theirs = getattr(whole, column)[here][by_shower[0]]
            assert getattr(mine, column)[by_shower[1]].tolist() == theirs.tolist()
        np.testing.assert_allclose(mine.deposit[by_shower[1]], whole.deposit[here][by_shower[0]], rtol=1e-4)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("library")
def test_events_and_dense_windows_go_through_it():
    events = fastcalo.Events.from_arrays(
        pdg=[[22, 211, 14], [11]], momentum=[[[0, 8, 1], [4, 1, 0], [1, 1, 1]], [[3, 0, 1]]]
    )
    engines = [fastcalo.FastSimulation(models=["em", "hadron"], backend=b) for b in ("native", "onnxruntime")]
    mine, theirs = (engine.run(events, seed=3) for engine in engines)
    assert mine.reason.tolist() == theirs.reason.tolist()
    for name, section in theirs.sections.items():
        assert mine.sections[name].cell_id.tolist() == section.cell_id.tolist()
        np.testing.assert_allclose(mine.sections[name].energy, section.energy, rtol=1e-4)
    assert engines[0].network_seconds > 0
    given = {"pdg": 22, "kinetic_energy": [1.0, 5.0], "direction": [0, 0, 1], "entry": [0, 0]}
    a, b = (fastcalo.load_model("em", backend=b).generate(**given)["ECAL"] for b in ("native", "onnxruntime"))
    np.testing.assert_allclose(a, b, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("library")
def test_no_particles_give_no_hits():
    model = fastcalo.load_model("hadron", backend="native")
    showers = model.sample(
        *(column[:0] for column in particles_of(model, 1)[:4]), random_streams(0, *[np.zeros(0, int)] * 3)
    )
    assert all(len(s.deposit) == 0 for s in showers.values())
