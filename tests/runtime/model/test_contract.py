# SPDX-License-Identifier: BSD-3-Clause
"""The contract of a model file: what is promised comes back, and what cannot be met is refused by its clause."""

import dataclasses
import json
import math
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from helpers.models.tiny_model import write_tiny_model
from helpers.models.windowed_model import WINDOWED_MODEL
from hypothesis import given
from hypothesis import strategies as st

import fastcalo
from fastcalo.detector.description import load_detector, sha256_of
from fastcalo.errors import ContractError, InputError, ModelNotFoundError
from fastcalo.model.contract import FORMATS, WHOLE, Contract, NoiseSpec, read_contract
from fastcalo.model.onnx_file import METADATA_KEY, seal
from fastcalo.model.shower_model import ShowerModel

DETECTOR = load_detector()
SHIPPED = fastcalo.load_model("em").path


def make(**clauses):
    contract = Contract(
        name="test",
        arch="hits",
        species=(11, -11, 22),
        kinetic_energy=(0.1, 100.0),
        max_angle=0.97,
        sections=("ECAL",),
        stack=DETECTOR.stack,
        stack_hash=DETECTOR.stack_hash,
        noise=(NoiseSpec("u", (25, 3), "uniform"), NoiseSpec("points", ("P", 4), "normal", (350.0, 40.0, 0.6))),
        thresholds={"ECAL": 2e-5},
        sparse=True,
        data_hash="d" * 64,
        code_version="1.2.3",
    )
    return dataclasses.replace(contract, **clauses)


def changed(**clauses):
    """JSON of a good contract with some clauses replaced, or left out where the value is ..."""
    table = json.loads(make().to_json()) | clauses
    return json.dumps({k: v for k, v in table.items() if v is not ...})


def replaced(source, target, contract=None, *, graph=None):
    """A model file with another contract (text, or None for none at all) or a changed graph."""
    model = onnx.load(source)
    if graph:
        graph(model.graph)
    kept = {p.key: p.value for p in model.metadata_props}
    del model.metadata_props[:]
    text = kept.get(METADATA_KEY) if graph else contract
    image = model.SerializeToString()
    target.write_bytes(image if text is None else seal(image, text))
    return target


# --- round trip

names = st.text("abcXYZ_", min_size=1, max_size=8)
positive = st.floats(1e-6, 1e6)
specs = st.one_of(
    st.builds(
        NoiseSpec,
        names,
        st.lists(st.integers(1, 30), max_size=3).map(tuple),
        st.sampled_from(["uniform", "normal", "logistic"]),
    ),
    st.builds(
        NoiseSpec,
        names,
        st.just(("P", 4)),
        st.sampled_from(["uniform", "normal", "logistic"]),
        st.tuples(positive, positive, st.floats(0, 1)),
    ),
)


@given(
    st.builds(
        make,
        name=st.text(),
        species=st.lists(st.integers(-(2**31) + 1, 2**31 - 1), min_size=1, unique=True).map(tuple),
        kinetic_energy=st.tuples(st.floats(1e-3, 1.0), st.floats(1.5, 1e5)),
        max_angle=st.floats(1e-3, 1.57),
        noise=st.lists(specs, max_size=4, unique_by=lambda n: n.name).map(tuple),
        thresholds=st.fixed_dictionaries({"ECAL": positive}),
        sparse=st.booleans(),
        scores=st.dictionaries(names, st.floats(allow_nan=False, allow_infinity=False)),
    )
)
def test_a_contract_comes_back_from_json(contract):
    assert read_contract(contract.to_json(), "here") == contract


def test_the_shipped_model_keeps_its_contract():
    model = fastcalo.load_model("em")
    c = model.contract
    assert (c.name, set(c.species), c.sections) == ("em", {11, -11, 22}, ("ECAL", "HCAL"))
    assert (c.format, c.whole) == (WHOLE, True)
    assert c.kinetic_energy == (0.02, 100.0)
    assert math.degrees(c.max_angle) == pytest.approx(75)
    assert c.thresholds == {name: DETECTOR.section(name).threshold for name in ("ECAL", "HCAL")}
    c.check_detector(DETECTOR, "here")
    assert c.scores["parity_identical_showers"] > 0.99
    assert read_contract(c.to_json(), "here") == c


# --- clauses that make no sense

WRONG = [
    ("name", 3),
    ("species", []),
    ("species", [11.5]),
    ("species", ["e-"]),
    ("species", 11),
    ("species", [2**40]),
    ("kinetic_energy", [1.0]),
    ("kinetic_energy", [10.0, 1.0]),
    ("kinetic_energy", [0.0, 1.0]),
    ("kinetic_energy", [1.0, math.inf]),
    ("kinetic_energy", "all"),
    ("max_angle", 0.0),
    ("max_angle", 1.6),
    ("max_angle", "56 degrees"),
    ("max_angle", math.nan),
    ("sections", []),
    ("sections", ["ECAL", "ECAL"]),
    ("sections", ["TRACKER"]),
    ("stack", []),
    ("stack", {}),
    ("stack", {"sections": [1]}),
    ("stack", {"sections": [{"name": "ECAL"}]}),
    ("stack", {"sections": [{"name": "ECAL", "window": [0, 25], "absorber_mm": [2.4]}]}),
    ("stack_hash", "0" * 64),
    ("noise", {}),
    ("noise", ["u"]),
    ("noise", [{"name": "u", "shape": [3], "distribution": "poisson"}]),
    ("noise", [{"name": "u", "shape": [-3], "distribution": "normal"}]),
    ("noise", [{"name": "u", "shape": ["Q", 4], "distribution": "normal"}]),
    ("noise", [{"name": "u", "shape": ["P", 4], "distribution": "normal"}]),
    ("noise", [{"name": "u", "shape": ["P", 4], "distribution": "normal", "capacity": [1.0, 2.0]}]),
    ("noise", [{"name": "u", "shape": ["P", "Q"], "distribution": "normal", "capacity": [1.0, 2.0, 0.5]}]),
    ("noise", [{"name": "u", "shape": [3], "distribution": "normal", "capacity": [1.0, 2.0, 0.5]}]),
    ("noise", [{"name": "u", "shape": ["P", 4], "distribution": "normal", "capacity": [-1.0, 2.0, 0.5]}]),
    ("noise", [{"name": "u", "shape": [3], "distribution": "normal"}] * 2),
    ("noise", [{"shape": [3], "distribution": "normal"}]),
    ("thresholds", []),
    ("thresholds", {"ECAL": "low"}),
    ("sparse", "yes"),
    ("scores", {"auc": None}),
    ("units", "MeV, cm, degrees"),
    ("format", FORMATS[-1] + 1),
    ("format", "1"),
    ("format", 2.0),
    ("format", True),
    ("format", []),
]


@pytest.mark.parametrize(("clause", "value"), WRONG, ids=[f"{c}-{json.dumps(v)[:40]}" for c, v in WRONG])
def test_a_senseless_clause_is_refused_by_its_name(clause, value):
    with pytest.raises(ContractError, match=f"model.onnx: clause '{clause}['.[]"):
        read_contract(changed(**{clause: value}), "model.onnx")


@pytest.mark.parametrize("clause", [f.name for f in dataclasses.fields(Contract)])
def test_a_missing_clause_is_named_unless_it_has_a_default(clause):
    text = changed(**{clause: ...})
    if clause in ("scores", "units"):
        assert read_contract(text, "here") == make()
    else:
        with pytest.raises(ContractError, match=clause):
            read_contract(text, "here")


def test_a_clause_that_is_not_known_is_refused_by_its_name():
    with pytest.raises(ContractError, match="clause 'colour'"):
        read_contract(changed(colour="red"), "here")


def test_a_section_without_a_threshold_is_refused():
    with pytest.raises(ContractError, match=r"clause 'sections'.*'HCAL'"):
        read_contract(changed(sections=["ECAL", "HCAL"]), "here")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '"text"', "{}", "[" * 100_000])
def test_text_that_is_no_contract_is_refused(text):
    with pytest.raises(ContractError, match=r"model\.onnx"):
        read_contract(text, "model.onnx")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from([f.name for f in dataclasses.fields(Contract)]), json_values)
def test_whatever_stands_in_a_clause_it_is_read_or_refused(clause, value):
    try:
        contract = read_contract(changed(**{clause: value}), "here")
    except ContractError as error:
        assert re.search(rf"['\"]{clause}", str(error))  # noqa: PT017 - reading it without complaint is fine too
    else:
        assert read_contract(contract.to_json(), "here") == contract


# --- files


def test_the_error_about_a_file_without_a_contract_names_what_makes_such_files(tmp_path):
    bare = replaced(SHIPPED, tmp_path / "bare.onnx", None)
    with pytest.raises(ContractError, match=r"bare\.onnx holds no contract.*fastcalo export"):
        fastcalo.load_model(bare)


def test_a_truncated_file_is_refused(tmp_path):
    whole = SHIPPED.read_bytes()
    cut = tmp_path / "cut.onnx"
    for size in (0, 10, len(whole) // 2, len(whole) - 10):
        cut.write_bytes(whole[:size])
        with pytest.raises(ContractError, match=r"cut\.onnx"):
            fastcalo.load_model(cut)


def test_a_file_of_something_else_is_refused(tmp_path):
    text = tmp_path / "text.onnx"
    text.write_text("this is not a model\n" * 100)
    with pytest.raises(ContractError, match=r"text\.onnx"):
        fastcalo.load_model(text)


@pytest.mark.parametrize("name", ["nothing", "nowhere/em.onnx", ""])
def test_the_error_about_an_unknown_name_lists_what_there_is(name):
    with pytest.raises(ModelNotFoundError, match="em"):
        fastcalo.load_model(name)


@pytest.mark.parametrize(("old", "new"), [("em-whole", "em"), ("hadron-whole", "hadron")])
def test_an_old_name_points_to_the_new_one(old, new):
    for look in (fastcalo.load_model, fastcalo.inspect):
        with pytest.raises((ModelNotFoundError, InputError), match=f"'?{old}'?.* any more: it is now '{new}'"):
            look(old)


@pytest.mark.parametrize(("name", "version"), [("em", 1), ("em", 2), ("hadron", 2)])
def test_models_of_windows_that_were_shipped_are_refused(tmp_path, name, version):
    """Their contracts, on the graph of one of them; what a user trained, of whatever name, is read."""
    table = json.loads(fastcalo.load_model(WINDOWED_MODEL).contract.to_json()) | {"name": name, "format": version}
    data = {"em": table["data_hash"], "hadron": "edfd42035ea84942e5e68e58b9a46ac65bfadc6c408594f447d287adef9bdaee"}
    old = replaced(WINDOWED_MODEL, tmp_path / "old.onnx", json.dumps(table | {"data_hash": data[name]}))
    with pytest.raises(
        ContractError, match=rf"old\.onnx: is a model '{name}' that .* '{name}' that is shipped now replaces it"
    ):
        fastcalo.load_model(old)
    own = replaced(WINDOWED_MODEL, tmp_path / "own.onnx", json.dumps(table | {"data_hash": "d" * 64}))
    assert fastcalo.load_model(own).contract.format == version


def test_a_folder_is_not_a_model(tmp_path):
    with pytest.raises(ModelNotFoundError, match=re.escape(str(tmp_path))):
        fastcalo.load_model(tmp_path)


def test_another_format_is_refused(tmp_path):
    table = json.loads(fastcalo.load_model("em").contract.to_json())
    newer = replaced(SHIPPED, tmp_path / "newer.onnx", json.dumps(table | {"format": 7}))
    with pytest.raises(ContractError, match="clause 'format': 7"):
        fastcalo.load_model(newer)


def test_the_layers_of_another_detector_are_refused_by_what_differs(tmp_path):
    thicker = tmp_path / "thicker.toml"
    text = (Path(fastcalo.__file__).parent / "detector" / "clic-like.toml").read_text()
    assert text.count("sensor_mm = 0.5") == 1
    thicker.write_text(text.replace("sensor_mm = 0.5", "sensor_mm = 0.6").replace("front_mm = 140", "front_mm = 145"))
    other = load_detector(thicker)
    with pytest.raises(ContractError, match=r"clause 'stack'.*sections\[0\]\.sensor_mm: 0\.5 there, 0\.6 here"):
        fastcalo.FastSimulation(other, "em")


def test_where_modules_stand_does_not_matter_to_a_model():
    moved = dataclasses.replace(DETECTOR, barrel=dataclasses.replace(DETECTOR.barrel, inner_radius_mm=1600.0))
    assert fastcalo.FastSimulation(moved, "em").detector is moved


# --- graphs that don't do what the contract states


def rename_input(old, new):
    def change(graph):
        for value in graph.input:
            if value.name == old:
                value.name = new
        for node in graph.node:
            node.input[:] = [new if name == old else name for name in node.input]

    return change


def add_input(graph):
    graph.input.append(onnx.helper.make_tensor_value_info("extra", onnx.TensorProto.FLOAT, ["N", 2]))


def reshape_input(graph):
    value = next(v for v in graph.input if v.name == "u")
    value.type.tensor_type.shape.dim[1].dim_value = 3


def drop_output(graph):
    graph.output[0].name = "other"
    graph.node[-1].output[0] = "other"


@pytest.mark.parametrize(
    ("graph", "clause", "message"),
    [
        (rename_input("u", "v"), "noise", "'v'"),
        (add_input, "noise", "'extra'"),
        (reshape_input, "noise", "'u'"),
        (drop_output, "sections", "'ECAL'"),
    ],
    ids=["renamed", "extra", "reshaped", "no output"],
)
def test_a_graph_that_takes_or_gives_something_else_is_refused(tmp_path, graph, clause, message):
    source = write_tiny_model(tmp_path / "tiny.onnx")
    assert ShowerModel(source).contract.name == "tiny"
    other = replaced(source, tmp_path / "other.onnx", graph=graph)
    with pytest.raises(ContractError, match=f"clause '{clause}'.*{message}"):
        ShowerModel(other)


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        ((), "'u'"),
        ((NoiseSpec("u", (1,), "uniform"), NoiseSpec("more", (2,), "normal")), "'more'"),
        ((NoiseSpec("u", (2,), "uniform"),), r"\['N', 2\]"),
        ((NoiseSpec("u", (1, 1), "uniform"),), r"\['N', 1, 1\]"),
    ],
    ids=["missing", "extra", "longer", "more axes"],
)
def test_a_contract_that_promises_other_noise_is_refused(tmp_path, noise, message):
    path = write_tiny_model(tmp_path / "tiny.onnx", noise=noise)
    with pytest.raises(ContractError, match=f"clause 'noise'.*{message}"):
        ShowerModel(path, backend="onnxruntime")


def test_a_contract_that_promises_lists_which_the_graph_lacks_is_refused(tmp_path):
    path = write_tiny_model(tmp_path / "tiny.onnx", sparse=True)
    with pytest.raises(ContractError, match=r"clause 'sections'.*ECAL_cell"):
        ShowerModel(path, backend="onnxruntime")


def test_a_window_of_another_size_than_the_graph_gives_is_refused(tmp_path):
    stack = json.loads(json.dumps(DETECTOR.stack))
    stack["sections"][0]["window"] = [25, 27]
    path = write_tiny_model(tmp_path / "tiny.onnx", stack=stack, stack_hash=sha256_of(stack))
    with pytest.raises(ContractError, match=r"clause 'stack'.*27"):
        ShowerModel(path)


def test_a_model_of_other_noise_draws_what_its_contract_states(tmp_path):
    model = ShowerModel(write_tiny_model(tmp_path / "tiny.onnx"))
    n = 1000
    visible = model.generate(pdg=22, kinetic_energy=np.full(n, 2.0), direction=[0, 0, 1], entry=[0, 0], seed=5)["ECAL"]
    fraction = visible.sum((1, 2, 3), dtype=np.float64) / 2.0 / 0.025
    # 0.5 + u with u uniform in (0, 1)
    assert fraction.min() > 0.5
    assert fraction.max() < 1.5
    assert fraction.mean() == pytest.approx(1.0, abs=4 * math.sqrt(1 / 12 / n))
