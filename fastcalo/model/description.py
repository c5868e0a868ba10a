# SPDX-License-Identifier: BSD-3-Clause
"""Description of a model: its domain, and all tensors that its graph takes and gives."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from ..particles import name_of
from .contract import Contract, NoiseSpec

Rows = list[tuple[str, str]]

WINDOWS = "windows"
"""Optional input, bool: whether a graph that gives lists of hits fills its dense windows as well."""
_TYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(bool)": "bool",
}
_DISTRIBUTIONS = {
    "uniform": "uniform, strictly between 0 and 1",
    "normal": "normal, mean 0, standard deviation 1",
    "logistic": "logistic, mean 0, scale 1",
}
# letters for numbers of rows: one for each formula, and none that counts something else
_LETTERS = "PQRSTUVW"
# energies at which numbers of rows are listed, GeV
_DECADES = (0.1, 1.0, 10.0, 100.0, 1000.0)


@dataclass(frozen=True)
class TensorDescription:
    """A tensor of the graph.

    Attributes
    ----------
    name, type : str
    shape : tuple of int or str
        N is the number of particles; other letters stand for one number each, in all tensors of the model.
    meaning : str
    capacity : (float, float, float), optional
        a, b, c of a noise tensor: the letter in `shape` must be at least 1 + floor(a + b E^c) for the largest kinetic
        energy E of the batch, GeV.
    """

    name: str
    type: str
    shape: tuple[int | str, ...]
    meaning: str
    capacity: tuple[float, float, float] | None = None

    @property
    def text(self) -> str:
        """Type, shape and meaning in one line."""
        shape = f" [{', '.join(map(str, self.shape))}]" if self.shape else ""
        return f"{self.type}{shape}: {self.meaning}"


class DescribedModel(Protocol):
    """What is described: a `ShowerModel`."""

    @property
    def contract(self) -> Contract:
        """What the model does."""
        ...

    @property
    def path(self) -> Path:
        """Of the file."""
        ...

    @property
    def file_hash(self) -> str:
        """SHA-256 of the file, hexadecimal."""
        ...

    @property
    def graph_inputs(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Type and shape by name of the tensors that the graph must have, and of those that may be left out."""
        ...

    @property
    def graph_outputs(self) -> dict[str, Any]:
        """Type and shape by name of the tensors that the graph gives."""
        ...


def describe_model(model: DescribedModel) -> tuple[tuple[str, Rows], ...]:
    """Return headings, and rows under each: what the model is for, and all that is needed to run its graph."""
    inputs, outputs = input_tensors(model), output_tensors(model)
    return (
        ("", _domain(model)),
        ("Inputs of the graph (N: particles)", [(t.name, t.text) for t in inputs]),
        ("Rows of noise, of each particle", _rows_of_noise(model.contract, inputs)),
        ("Outputs of the graph (H: hits)", [(t.name, t.text) for t in outputs]),
    )


def model_facts(model: DescribedModel) -> dict[str, Any]:
    """The same as JSON can hold it: the contract, the tensors, and the file."""
    return {
        "contract": asdict(model.contract),
        "inputs": [asdict(tensor) for tensor in input_tensors(model)],
        "outputs": [asdict(tensor) for tensor in output_tensors(model)],
        "file": {"path": str(model.path), "bytes": model.path.stat().st_size, "sha256": model.file_hash},
    }


def _domain(model: DescribedModel) -> Rows:
    c = model.contract
    low, high = c.kinetic_energy
    return [
        ("name", c.name),
        ("architecture", c.arch),
        ("contract", f"format {c.format}"),
        ("species", ", ".join(f"{code} ({name_of(code)})" for code in c.species)),
        ("kinetic energy", f"{low:g} to {high:g} GeV"),
        ("angle to the normal", f"up to {math.degrees(c.max_angle):.4g} degrees"),
        ("sections", ", ".join(_section(model, name) for name in c.sections)),
        ("layers", f"SHA-256 {c.stack_hash}"),
        ("training data", f"SHA-256 {c.data_hash}"),
        ("made by", f"fastcalo {c.code_version}"),
        *((f"score: {name}", f"{value:.6g}") for name, value in c.scores.items()),
        ("file", f"{model.path.stat().st_size / 1e6:.2f} MB, SHA-256 {model.file_hash}"),
    ]


def _section(model: DescribedModel, name: str) -> str:
    nx, ny, layers = model.contract.window_shape(name)
    cells = f"{layers} layers, whole showers" if model.contract.whole else f"{nx} x {ny} cells, {layers} layers"
    return f"{name} ({cells}, hits above {model.contract.thresholds[name]:g} GeV)"


def input_tensors(model: DescribedModel) -> list[TensorDescription]:
    """Tensors that the graph takes, in its order; those that may be left out are last."""
    c, (taken, optional) = model.contract, model.graph_inputs
    low, high = c.kinetic_energy
    noise = {spec.name: spec for spec in c.noise}
    letters = _letters(c.noise)
    meanings = {
        "kinetic_energy": f"GeV, {low:g} to {high:g}",
        "direction": f"unit vectors in the frame of the layers, z along their normal, inwards, up to "
        f"{math.degrees(c.max_angle):.4g} degrees from it",
        "entry": _entry(c),
        "species": f"PDG codes: {', '.join(map(str, c.species))}",
    }
    found = []
    for name, (kind, shape) in taken.items():
        if (spec := noise.get(name)) is None:
            found.append(TensorDescription(name, kind, shape, meanings.get(name, "")))
        else:
            tail = tuple(letters[spec.capacity] if s == "P" and spec.capacity else s for s in spec.shape)
            text = _DISTRIBUTIONS[spec.distribution]
            found.append(TensorDescription(name, kind, ("N", *tail), text, spec.capacity))
    for name, (kind, shape) in optional.items():
        what = "false: the dense windows come out empty, which saves time; may be left out" if name == WINDOWS else ""
        found.append(TensorDescription(name, kind, shape, what))
    return found


def _entry(c: Contract) -> str:
    if c.whole:
        return "mm, where the particle enters the front face, in the frame of the module"
    first = c.stack["sections"][0]
    half = f", up to {first['cell_mm'] / 2:g} each way" if "cell_mm" in first else ""
    return f"mm, where the particle enters the front face, from the centre of the {first['name']} cell there{half}"


def _letters(noise: tuple[NoiseSpec, ...]) -> dict[tuple[float, float, float], str]:
    """A letter for each formula: tensors whose rows are counted by the same one have as many."""
    formulae = list(dict.fromkeys(spec.capacity for spec in noise if spec.capacity is not None))
    return {
        formula: _LETTERS[k] if len(formulae) <= len(_LETTERS) else f"P{k + 1}" for k, formula in enumerate(formulae)
    }


def _rows_of_noise(c: Contract, inputs: list[TensorDescription]) -> Rows:
    low, high = c.kinetic_energy
    energies = sorted({low, *(e for e in _DECADES if low < e < high), high})
    found = {}
    for tensor in inputs:
        if tensor.capacity is not None:
            a, b, e = tensor.capacity
            counts = ", ".join(f"{1 + math.floor(a + b * energy**e)} at {energy:g} GeV" for energy in energies)
            found[str(tensor.shape[1])] = (
                f"at least 1 + floor({a:g} + {b:g} E^{e:g}), E the largest kinetic energy of the batch: {counts}"
            )
    return list(found.items())


def output_tensors(model: DescribedModel) -> list[TensorDescription]:
    """Tensors that the graph gives, in its order."""
    c = model.contract
    meanings = {
        "valid": "whether the particle is in the model's domain; nothing is drawn for others",
        "complete": "whether the rows of noise sufficed",
    }
    for name in c.sections:
        nx, ny, layers = model.contract.window_shape(name)
        meanings |= {
            name: "deposits, GeV: x, y and layer of the window, which is centred on the cell that the line of flight "
            "crosses in each layer",
            f"{name}_shower": "particle of each hit, 0 to N - 1",
            f"{name}_deposit": f"GeV, above {c.thresholds[name]:g}",
            f"{name}_cell": "x, y, counted from the cell that the line of flight crosses, and layer"
            if c.whole
            else f"place in the window: (x * {ny} + y) * {layers} + layer, x below {nx}",
        }
    return [TensorDescription(n, kind, shape, meanings.get(n, "")) for n, (kind, shape) in model.graph_outputs.items()]


def tensors_of(arguments: Any) -> dict[str, tuple[str, tuple[int | str, ...]]]:
    """Type and shape by name, of arguments of an ONNX Runtime session; sizes without a name are ``?``."""
    return {a.name: (_TYPES.get(a.type, a.type), tuple("?" if s is None else s for s in a.shape)) for a in arguments}
