# SPDX-License-Identifier: BSD-3-Clause
"""Exported models: one sound ONNX file that draws the torch model's showers, or none."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from helpers.command import run_command
from helpers.models.windowed_model import WINDOWED_MODEL
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import fastcalo
from fastcalo.errors import ExportError, OutputError, TrainingError
from fastcalo.export.exporter import export
from fastcalo.export.hit_lists import fit_capacity
from fastcalo.export.hits.energies import _log_rate
from fastcalo.export.hits.exportable import ExportableHitGan
from fastcalo.export.hits.points import Blobs, Placed
from fastcalo.export.kinematics import domain
from fastcalo.export.onnx_graph import FLOAT, INT64, IR_VERSION, OPSET, Graph
from fastcalo.export.parity import check_parity
from fastcalo.model.description import WINDOWS
from fastcalo.model.noise import draw_noise
from fastcalo.model.onnx_file import DIGEST_KEY, METADATA_KEY, read_onnx
from fastcalo.model.onnx_session import open_session
from fastcalo.model.random_numbers import random_streams
from fastcalo.training.architectures.hits.cell_model import BLOBS
from fastcalo.training.trainer import load_run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def exported(tiny_run, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tiny.onnx"
    messages = []
    export(tiny_run, path, status=messages.append)
    assert len(messages) == 3
    assert [p.name for p in path.parent.iterdir()] == ["tiny.onnx"]
    return path


@pytest.fixture(params=["tiny", "windows"])
def path(request, exported):
    """The model just exported, and one that was trained for long."""
    return exported if request.param == "tiny" else WINDOWED_MODEL


# --- the file


def test_the_file_is_sound_and_of_standard_operators_only(path):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", OPSET)]
    assert model.ir_version == IR_VERSION
    assert model.producer_name == "fastcalo"
    assert not model.functions
    assert path.stat().st_size < 5e6
    # noise comes from outside: a node that draws its own numbers would not be reproducible
    assert not {n for n in operators(model.graph) if n.startswith("Random") or n in ("Bernoulli", "Multinomial")}


def operators(graph):
    for node in graph.node:
        yield node.op_type
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from operators(attribute.g)


def test_the_number_of_showers_is_free_in_all_inputs_and_outputs(path):
    graph = onnx.load(path).graph
    shapes = {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in graph.input}
    assert shapes.pop(WINDOWS) == []
    assert {s[0] for s in shapes.values()} == {"N"}
    assert shapes["direction"] == ["N", 3]
    outputs = {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in graph.output}
    assert outputs["ECAL"] == ["N", 25, 25, 25]
    assert outputs["ECAL_deposit"] == outputs["ECAL_cell"] == outputs["ECAL_shower"]


@pytest.mark.parametrize("n", [0, 1, 7])
def test_any_number_of_showers_can_be_drawn(path, n):
    model = fastcalo.load_model(path, threads=1)
    pdg, energy, direction = (x[:n] for x in domain(model.contract, 100))
    random = random_streams(1, *[np.zeros(n, np.int64)] * 2, np.arange(n))
    feed = {"kinetic_energy": energy, "direction": direction, "entry": np.zeros((n, 2), np.float32), "species": pdg}
    feed |= draw_noise(model.contract.noise, random, energy)
    dense, shower, cell, deposit = open_session(path, 1).run(["ECAL", "ECAL_shower", "ECAL_cell", "ECAL_deposit"], feed)
    assert dense.shape == (n, 25, 25, 25)
    assert_array_equal(dense.reshape(n, 25**3)[shower, cell], deposit)
    assert np.count_nonzero(dense) == len(deposit)
    assert (deposit > model.contract.thresholds["ECAL"]).all()
    feed[WINDOWS] = np.array(False)
    dense, alike = open_session(path, 1).run(["ECAL", "ECAL_deposit"], feed)
    assert not dense.size
    assert_array_equal(alike, deposit)


def test_the_contract_is_that_of_the_run(exported, tiny_run):
    config, _, facts = load_run(tiny_run)
    c = fastcalo.load_model(exported).contract
    assert (c.name, c.arch, c.species) == (config.name, "hits", config.species)
    assert c.kinetic_energy == config.validity.kinetic_energy
    assert np.degrees(c.max_angle) == pytest.approx(config.validity.angle_degrees)
    assert c.data_hash == facts["data_hash"]
    assert c.code_version == fastcalo.__version__
    c.check_detector(fastcalo.load_detector(), "here")
    kept = {p.key: p.value for p in onnx.load(exported).metadata_props}
    assert kept == {METADATA_KEY: c.to_json(), DIGEST_KEY: read_onnx(exported.read_bytes(), "here").digest}


def test_a_model_just_exported_simulates(exported):
    engine = fastcalo.FastSimulation(fastcalo.load_detector(), exported)
    events = next(iter(fastcalo.open_events(ROOT / "examples" / "demo" / "events.root").iterate(5)))
    assert engine.run(events).n_events == 5


# --- parity


def test_parity_holds_and_is_written_down(path):
    scores = fastcalo.load_model(path).contract.scores
    assert scores["parity_showers"] >= 1000
    assert scores["parity_identical_showers"] >= 0.995
    assert scores["parity_cell_median"] < 1e-5
    assert scores["parity_cell_999"] <= 1e-2
    assert scores["parity_shower_max"] < 1e-4


def network_of(run, name, layer=-1):
    _, networks, _ = load_run(run)
    networks.networks.eval()
    part = networks.networks[name.split(".")[0]].get_submodule(name.split(".")[1])
    return networks, part[layer]


@pytest.mark.parametrize("name", ["layers.count", "layers.energy", "hits.profile", "hits.share", "hits.prior"])
def test_a_graph_of_slightly_other_weights_is_refused(exported, tiny_run, monkeypatch, name):
    monkeypatch.setattr(ExportableHitGan, "parity_showers", 500)
    networks, layer = network_of(tiny_run, name)
    exportable = ExportableHitGan(networks)
    assert check_parity(exported, exportable)["parity_identical_showers"] > 0.99
    with torch.no_grad():
        layer.bias.add_(0.2 * torch.randn_like(layer.bias))
    with pytest.raises(ExportError, match="does not draw the showers of the torch model"):
        check_parity(exported, exportable)


def test_nothing_is_written_where_parity_fails(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr(ExportableHitGan, "parity_showers", 300)
    right = ExportableHitGan.showers

    def brighter(self, contract, feed):
        return {name: 1.05 * window for name, window in right(self, contract, feed).items()}

    monkeypatch.setattr(ExportableHitGan, "showers", brighter)
    with pytest.raises(ExportError, match="cell energies differ by more than"):
        export(tiny_run, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_the_domain_holds_its_corners_and_nothing_else():
    c = fastcalo.load_model(WINDOWED_MODEL).contract
    pdg, energy, direction = domain(c, 2000)
    low, high = np.float32(c.kinetic_energy)
    assert set(pdg) == set(c.species)
    assert energy.min() == low
    assert energy.max() == high
    assert_allclose(np.linalg.norm(direction, axis=1), 1, rtol=1e-6)
    assert direction[:, 2].max() == 1
    assert np.arccos(direction[:, 2].min()) == pytest.approx(c.max_angle, rel=1e-5)
    assert np.histogram(np.log(energy[40:]), 10)[0].min() > 120


# --- noise enough


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.floats(0, 300), st.floats(1, 100), st.floats(0.4, 0.8))
def test_capacity_is_enough_for_nearly_all_showers(seed, a, b, power):
    rng = np.random.default_rng(seed)
    energy = np.exp(rng.uniform(np.log(0.1), np.log(100), 3000))
    rows = np.floor((a + b * energy**power) * rng.uniform(0.3, 1.0, 3000))
    ca, cb, cp = fit_capacity(energy, rows)
    enough = ca + cb * energy**cp
    assert (rows > enough).mean() < 0.01
    # and no more than it must be, on the whole
    assert enough.mean() < 2.5 * rows.mean() + 10


# --- what is refused


def test_an_existing_file_is_replaced_only_when_asked(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr(ExportableHitGan, "parity_showers", 100)
    path = tmp_path / "model.onnx"
    path.write_text("something dear")
    with pytest.raises(OutputError, match=r"model\.onnx: exists already"):
        export(tiny_run, path)
    assert path.read_text() == "something dear"
    export(tiny_run, path, overwrite=True)
    assert fastcalo.load_model(path).name == "tiny"


def test_a_run_that_is_not_finished_is_refused(tiny_run, tmp_path):
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    (run / "adversarial.pt").unlink()
    with pytest.raises(TrainingError, match="stage 'adversarial' stands at step 0 of 6"):
        export(run, tmp_path / "model.onnx")
    with pytest.raises(TrainingError, match="holds no training"):
        export(tmp_path, tmp_path / "model.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_a_folder_that_is_not_there_is_reported(tiny_run, tmp_path):
    with pytest.raises(OutputError, match=r"none/model\.onnx: there is no folder"):
        export(tiny_run, tmp_path / "none" / "model.onnx")


# --- the builder


def run_graph(build, **inputs):
    g = Graph()
    for name, value in inputs.items():
        g.input(name, FLOAT if value.dtype == np.float32 else INT64, value.shape)
    for i, (value, kind, rank) in enumerate(build(g)):
        g.output(value, f"out_{i}", kind, [f"n_{i}_{k}" for k in range(rank)])
    session = onnxruntime.InferenceSession(g.model("test", "0").SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def test_the_builders_pieces_calculate_what_they_promise():
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    w, bias = np.arange(12, dtype=np.float32).reshape(4, 3) / 10, np.ones(3, np.float32)

    def build(g):
        yield g.slice("x", 1, 1, 3), FLOAT, 2
        yield g.slice("x", 0, g.const([1], np.int64), g.size("x")), FLOAT, 2
        yield g.reshape("x", -1, 2), FLOAT, 2
        yield g.flat("x"), FLOAT, 1
        yield g.column(g.flat("x")), FLOAT, 2
        yield g.row(g.flat("x")), FLOAT, 2
        yield g.sum("x", 1), FLOAT, 2
        yield g.sum("x", 1, keep=False), FLOAT, 1
        yield g.size("x"), INT64, 1
        yield g.arange(g.size("x")), INT64, 1
        yield g.full(g.size("x"), 2.5, np.float32), FLOAT, 1
        yield g.clip("x", -0.5, None), FLOAT, 2
        yield g.clip("x", None, 0.5), FLOAT, 2
        yield g.silu("x"), FLOAT, 2
        yield g.gemm("x", w, bias), FLOAT, 2
        yield g.gemm("x", w), FLOAT, 2
        yield g.cast("x", INT64), INT64, 2
        yield g.at(g.flat("x"), g.const([7, 0, 7], np.int64)), FLOAT, 1

    wanted = [
        x[:, 1:3], x[1:], x.reshape(-1, 2), x.ravel(), x.reshape(-1, 1), x.reshape(1, -1), x.sum(1, keepdims=True),
        x.sum(1), [5], np.arange(5), np.full(5, 2.5), np.maximum(x, -0.5), np.minimum(x, 0.5), x / (1 + np.exp(-x)),
        x @ w + bias, x @ w, np.trunc(x), x.ravel()[[7, 0, 7]],
    ]  # fmt: skip
    got = run_graph(build, x=x)
    assert len(got) == len(wanted)
    for a, b in zip(got, wanted, strict=True):
        assert a.shape == np.shape(b)
        assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_the_rate_of_hits_far_from_all_blobs_is_a_number():
    rng, hits, zero = np.random.default_rng(1), 200_000, np.zeros(1, np.float32)
    blobs = Blobs(
        weight_GK=np.full((1, BLOBS), 1 / BLOBS, np.float32),
        inverse_GK=rng.uniform(1, 20, (1, BLOBS)).astype(np.float32),
        centre_x_GK=rng.uniform(-1, 1, (1, BLOBS)).astype(np.float32),
        centre_y_GK=rng.uniform(-1, 1, (1, BLOBS)).astype(np.float32),
        log_rate_G=zero, kappa_G=zero, codes_GC=zero,
    )  # fmt: skip

    def build(g):
        names = {name: g.const(value) for name, value in vars(blobs).items()}
        placed = Placed("group", "", "", "x", "y", "", "", "")
        return [(_log_rate(g, Blobs(**names), placed), FLOAT, 1)]

    x, y = rng.uniform(-12, 12, (2, hits)).astype(np.float32)
    (found,) = run_graph(build, group=np.zeros(hits, np.int64), x=x, y=y)
    assert np.isfinite(found).all()
    assert found.min() == pytest.approx(np.log(1e-9), abs=0.01)


def test_constants_are_kept_once_and_names_are_never_used_twice():
    g = Graph()
    assert g.const([1.0, 2.0]) == g.const(np.array([1, 2], np.float32))
    # equal in value, but not in kind or shape
    assert len({g.const(1.0), g.const([1.0]), g.const(1, np.int64), g.const(1.0, np.float64)}) == 4
    inner = Graph(g)
    assert inner.const([1.0, 2.0]) == g.const([1.0, 2.0])
    assert not inner.initializers
    names = [h.op("Neg", g.const(1.0)) for h in (g, inner, g, inner)]
    assert len(set(names)) == 4


def test_a_body_runs_in_a_loop_and_sees_the_graph_around_it():
    def build(g):
        def body(b):
            b.input("i", INT64, [])
            go_on = b.input("go_on", onnx.TensorProto.BOOL, [])
            state = b.input("state", FLOAT, ["S"])
            b.output(go_on, "go_on_out", onnx.TensorProto.BOOL, [])
            b.output(b.op("Add", state, "x"), "state_out", FLOAT, ["S"])

        yield g.ops("Loop", 1, g.const(3, np.int64), "", g.const(np.zeros(2)), body=g.body("body", body))[0], FLOAT, 1

    x = np.array([1, 2], np.float32)
    assert_array_equal(run_graph(build, x=x)[0], 3 * x)


# --- the command


@pytest.mark.slow
def test_the_command_exports_once(tiny_run, tmp_path):
    arguments = ("export", tiny_run, "-o", "tiny.onnx")
    first = run_command(*arguments, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "comparing with the torch model" in first.stdout + first.stderr
    assert "parity_identical_showers" in first.stdout + first.stderr
    assert fastcalo.load_model(tmp_path / "tiny.onnx").name == "tiny"
    again = run_command(*arguments, cwd=tmp_path)
    assert again.returncode == 1
    assert "exists already" in again.stderr
    assert "Traceback" not in again.stderr
