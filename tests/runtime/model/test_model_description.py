# SPDX-License-Identifier: BSD-3-Clause
"""What a model file states of itself suffices to run its graph without fastcalo."""

from __future__ import annotations

import math

import numpy as np
import onnxruntime
import pytest
from helpers.models.windowed_model import WINDOWED_MODEL

from fastcalo import load_model
from fastcalo.model.description import input_tensors, output_tensors
from fastcalo.model.shower_model import DEFAULT_MODELS

N, ENERGY = 3, 5.0
MODELS = (*DEFAULT_MODELS, WINDOWED_MODEL)


def fed(tensor, shape, contract):
    rng = np.random.default_rng(1)
    draw = {"normal": rng.standard_normal, "logistic": lambda shape: rng.logistic(size=shape)}
    draw["uniform"] = lambda shape: rng.uniform(1e-6, 1 - 1e-6, shape)
    kind = tensor.meaning.split(",")[0]
    if kind in draw:
        return draw[kind](shape).astype(tensor.type)
    fixed = {"kinetic_energy": ENERGY, "direction": [0, 0, 1], "entry": [0, 0], "species": contract.species[0]}
    return np.broadcast_to(fixed.get(tensor.name, True), shape).astype(tensor.type)


@pytest.mark.parametrize("name", MODELS)
def test_a_graph_runs_with_what_the_description_states(name, capfd):
    model = load_model(name)
    sizes, feed = {"N": N}, {}
    for tensor in input_tensors(model):
        if tensor.capacity is not None:
            a, b, c = tensor.capacity
            rows = 1 + math.floor(a + b * ENERGY**c)
            assert sizes.setdefault(tensor.shape[1], rows) == rows, "one letter stands for two sizes"
        feed[tensor.name] = fed(tensor, [sizes.get(size, size) for size in tensor.shape], model.contract)
    assert len(sizes) - 1 == len({spec.capacity for spec in model.contract.noise if spec.capacity})

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(model.path), options, providers=["CPUExecutionProvider"])
    outputs = output_tensors(model)
    found = dict(zip([t.name for t in outputs], session.run(None, feed), strict=True))
    for tensor in outputs:
        assert str(found[tensor.name].dtype) == tensor.type
        shape = found[tensor.name].shape
        # lists of one section are equally long
        wanted = [sizes.setdefault(s, n) if isinstance(s, str) else s for s, n in zip(tensor.shape, shape, strict=True)]
        assert list(shape) == wanted, tensor.name
    assert len(found["ECAL_deposit"]) > 10
    for flag in ("valid", "complete") if model.contract.whole else ():
        assert found[flag].all()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", DEFAULT_MODELS)
def test_a_bare_session_warns_of_nothing_and_knows_what_is_valid_and_complete(name, capfd):
    """Models of windows have an optional input, of which ONNX Runtime warns by default."""
    model = load_model(name)
    session = onnxruntime.InferenceSession(str(model.path), providers=["CPUExecutionProvider"])
    assert capfd.readouterr().err == ""

    energies = np.array([ENERGY, np.nan, 500.0, ENERGY, ENERGY], np.float32)
    feed = {}
    for tensor in input_tensors(model):
        # enough for the energies that are valid
        rows = None if tensor.capacity is None else 1 + math.floor(tensor.capacity[0] + tensor.capacity[1] * 10)
        shape = [rows if k == 1 and isinstance(s, str) else s for k, s in enumerate(tensor.shape)]
        feed[tensor.name] = np.ascontiguousarray(fed(tensor, [len(energies), *shape[1:]], model.contract))
    feed["kinetic_energy"] = energies
    feed["direction"][3] = [0, 0, -1]
    feed["species"][4] = 99
    valid, complete, shower = session.run(["valid", "complete", "ECAL_shower"], feed)
    assert (valid.dtype, valid.tolist()) == (np.bool_, [True] + 4 * [False])
    assert complete[0]
    assert set(shower.tolist()) == {0}

    few = {tensor.name for tensor in input_tensors(model) if tensor.capacity is not None}
    sparing = {k: v[:1, :2] if k in few else v[:1] for k, v in feed.items()}
    valid, complete = session.run(["valid", "complete"], sparing)
    assert valid.tolist() == [True]
    assert complete.tolist() == [False]
