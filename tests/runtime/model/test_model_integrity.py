# SPDX-License-Identifier: BSD-3-Clause
"""A model file that is damaged is refused, and so is a model that gives numbers that are none."""

import json
import logging
import math
import pickle
import random

import numpy as np
import onnx
import pytest
from helpers.models.tiny_model import write_tiny_model, write_wrong_shape
from onnx import TensorProto, helper, numpy_helper

import fastcalo
from fastcalo.errors import ContractError
from fastcalo.model.contract import FORMAT
from fastcalo.model.onnx_file import DIGEST_KEY, METADATA_KEY, read_onnx, seal
from fastcalo.model.shower_model import ShowerModel

PHOTON = {"pdg": 22, "kinetic_energy": [2.0, 5.0], "direction": [0, 0, 1], "entry": [0, 0]}
SHIPPED = [fastcalo.load_model(name).path for name in ("em", "hadron")]


def with_metadata(path, **entries):
    """A file with entries of its metadata replaced, or left out where they are None, and the digest as it was."""
    model = onnx.load(path)
    kept = {p.key: p.value for p in model.metadata_props} | entries
    del model.metadata_props[:]
    helper.set_model_props(model, {k: v for k, v in kept.items() if v is not None})
    onnx.save(model, path)
    return path


def contract_of(path, **clauses):
    return json.dumps(json.loads(read_onnx(path.read_bytes(), "here").metadata[METADATA_KEY]) | clauses)


# --- the digest


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_the_shipped_models_hold_their_digest(path):
    assert read_onnx(path.read_bytes(), str(path)).check_digest(str(path), required=True)


def test_metadata_are_those_that_onnx_reads():
    for path in SHIPPED:
        assert read_onnx(path.read_bytes(), "here").metadata == {p.key: p.value for p in onnx.load(path).metadata_props}


def test_a_seal_leaves_the_graph_alone_and_replaces_the_seal_before(tmp_path):
    image = write_tiny_model(tmp_path / "tiny.onnx").read_bytes()
    twice = onnx.load_from_string(seal(seal(image, "one"), "two"))
    assert [p.key for p in twice.metadata_props] == [METADATA_KEY, DIGEST_KEY]
    assert twice.metadata_props[0].value == "two"
    assert twice.graph == onnx.load_from_string(image).graph


def test_one_flipped_bit_anywhere_is_found(tmp_path):
    image = write_tiny_model(tmp_path / "tiny.onnx").read_bytes()
    draw, damaged = random.Random(7), tmp_path / "damaged.onnx"
    # all bits of the metadata, which are at the end, and some of the graph
    head = len(image) - 400
    for at in [draw.randrange(head) for _ in range(200)] + list(range(head, len(image))):
        changed = bytearray(image)
        changed[at] ^= 1 << draw.randrange(8)
        damaged.write_bytes(changed)
        with pytest.raises(ContractError, match=r"damaged\.onnx"):
            ShowerModel(damaged)


def test_a_contract_that_was_edited_is_refused(tmp_path):
    path = write_tiny_model(tmp_path / "tiny.onnx")
    with_metadata(path, **{METADATA_KEY: contract_of(path, species=[13])})
    with pytest.raises(ContractError, match="are not those that were exported"):
        ShowerModel(path)


def test_a_file_of_before_digests_is_read_with_a_warning(tmp_path, caplog):
    path = write_tiny_model(tmp_path / "tiny.onnx")
    whole = ShowerModel(path).generate(**PHOTON)
    with_metadata(path, **{METADATA_KEY: contract_of(path, format=1), DIGEST_KEY: None})
    with caplog.at_level(logging.WARNING):
        model = ShowerModel(path)
    assert "was exported before files held a digest" in caplog.text
    assert model.contract.format == 1
    assert np.array_equal(model.generate(**PHOTON)["ECAL"], whole["ECAL"])


def test_a_file_that_must_hold_a_digest_and_does_not_is_refused(tmp_path):
    path = with_metadata(write_tiny_model(tmp_path / "tiny.onnx"), **{DIGEST_KEY: None})
    assert json.loads(contract_of(path))["format"] == FORMAT
    with pytest.raises(ContractError, match=f"'{DIGEST_KEY}'.* is missing"):
        ShowerModel(path)


def test_a_model_that_is_replaced_while_it_is_sent_to_a_worker_is_refused(tmp_path):
    path = write_tiny_model(tmp_path / "tiny.onnx")
    sent = pickle.dumps(ShowerModel(path))
    write_tiny_model(path, name="another")
    with pytest.raises(ContractError, match="was replaced by another model"):
        pickle.loads(sent).generate(**PHOTON)  # noqa: S301 - our own


def test_metadata_that_are_no_text_are_refused(tmp_path):
    path = write_tiny_model(tmp_path / "tiny.onnx")
    image = path.read_bytes()
    path.write_bytes(image.replace(b'"arch": "test"', b'"arch": "\xff\xfe\xfd\xfc"'))
    with pytest.raises(ContractError, match=r"tiny\.onnx is not an ONNX model, or is cut short or damaged"):
        ShowerModel(path)


# --- what a model gives, though its file is whole


def change_weights(path, change):
    model = onnx.load(path)
    template = next(t for t in model.graph.initializer if t.name == "template")
    values = numpy_helper.to_array(template).copy()
    change(values)
    template.CopyFrom(numpy_helper.from_array(values, "template"))
    path.write_bytes(seal(model.SerializeToString(), contract_of(path)))
    return path


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_deposits_that_are_no_energies_are_refused(tmp_path, value):
    def spoil(template):
        template[0, 12, 12, 3] = value

    path = change_weights(write_tiny_model(tmp_path / "tiny.onnx"), spoil)
    model = ShowerModel(path, backend="onnxruntime")
    with pytest.raises(
        ContractError, match=r"model 'tiny' .*gives deposits that are no energies in ECAL: 2 of .* of gamma of 2 GeV"
    ):
        model.generate(**PHOTON)


def write_lists(path, shower, cell, deposit):
    """A model whose lists of hits are always the same."""
    write_tiny_model(path, sparse=True)
    model = onnx.load(path)
    lists = {"shower": (shower, np.int64), "cell": (cell, np.int64), "deposit": (deposit, np.float32)}
    for name, (values, kind) in lists.items():
        model.graph.initializer.append(numpy_helper.from_array(np.array(values, kind), f"list_{name}"))
        model.graph.node.append(helper.make_node("Identity", [f"list_{name}"], [f"ECAL_{name}"]))
        element = TensorProto.FLOAT if kind is np.float32 else TensorProto.INT64
        model.graph.output.append(helper.make_tensor_value_info(f"ECAL_{name}", element, ["H"]))
    path.write_bytes(seal(model.SerializeToString(), contract_of(path)))
    return ShowerModel(path, backend="onnxruntime")


def test_lists_that_are_sound_are_taken(tmp_path):
    model = write_lists(tmp_path / "lists.onnx", [0, 1], [0, 25**3 - 1], [0.5, 0.25])
    assert [float(window.sum()) for window in model.generate(**PHOTON)["ECAL"]] == [0.5, 0.25]


@pytest.mark.parametrize(
    ("shower", "cell", "deposit", "message"),
    [
        ([0], [25**3], [0.5], r"hits outside the window \[25, 25, 25\]"),
        ([0], [-1], [0.5], "hits outside the window"),
        ([2], [0], [0.5], "hits outside the window"),
        ([-1], [0], [0.5], "hits outside the window"),
        ([0], [0], [0.0], "deposits that are no energies"),
        ([0, 1], [0], [0.5], "the lists of ECAL differ in length"),
    ],
)
def test_lists_that_make_no_sense_are_refused(tmp_path, shower, cell, deposit, message):
    model = write_lists(tmp_path / "lists.onnx", shower, cell, deposit)
    with pytest.raises(ContractError, match=f"model 'tiny'.*{message}"):
        model.generate(**PHOTON)


def test_an_error_of_onnx_runtime_names_the_model(tmp_path):
    path = write_wrong_shape(tmp_path / "tiny.onnx")
    with pytest.raises(ContractError, match=r"model 'tiny' .*ONNX Runtime could not run it"):
        ShowerModel(path, backend="onnxruntime").generate(**PHOTON)
