# SPDX-License-Identifier: BSD-3-Clause
"""Model contract: the JSON metadata of an ONNX model, validated before the model is run."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from ..config.validation import validate
from ..detector.description import Detector, sha256_of
from ..errors import ContractError
from .contract_table import ContractTable
from .onnx_file import METADATA_KEY

FORMAT = 2
"""Of models with windows: entry from the centre of the cell of the first section that is hit, cells are indices of the
window. From 2 on a file holds the digest of its graph and contract (`onnx_file`)."""
WHOLE = 3
"""Of models of whole showers: entry in the frame of the module, cells are (x, y, layer), counted from the cell that the
line of flight crosses."""
FORMATS = (1, FORMAT, WHOLE)
"""Of the contracts that are read."""
UNITS = "GeV, mm, rad"
_WITHDRAWN = {
    ("em", "18702177a841964f06087a0bcfd118dae9c491df33a14c18362e628976a18bc0"),
    ("hadron", "edfd42035ea84942e5e68e58b9a46ac65bfadc6c408594f447d287adef9bdaee"),
}
"""Clauses ``name`` and ``data_hash`` of the models of windows that were shipped, in formats 1 and 2."""


@dataclass(frozen=True)
class NoiseSpec:
    """One noise tensor that the graph takes.

    Attributes
    ----------
    name : str
    shape : tuple
        Without the batch axis; ``"P"`` stands for a number that grows with energy (see `capacity`).
    distribution : str
        ``"uniform"`` (strictly between 0 and 1), ``"normal"`` (mean 0, deviation 1) or ``"logistic"`` (mean 0,
        scale 1).
    capacity : (float, float, float), optional
        Where the shape holds ``"P"``: a shower of kinetic energy E in GeV reads at most a + b E^c rows.
    """

    name: str
    shape: tuple[int | str, ...]
    distribution: str
    capacity: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Contract:
    """The contract of a model file.

    Attributes
    ----------
    name, arch : str
    species : tuple of int
        PDG numbers.
    kinetic_energy : (float, float)
        Smallest and largest, GeV.
    max_angle : float
        Largest angle between direction and layer normal, rad.
    sections : tuple of str
        Sections that the model gives; a section of the detector that is not named holds nothing.
    stack : dict
        Description of the calorimeter's layers.
    stack_hash : str
    noise : tuple of NoiseSpec
    thresholds : dict of str to float
        Smallest deposit that counts as a hit, per section, GeV.
    sparse : bool
        Whether the outputs ``S_shower``, ``S_cell``, ``S_deposit`` are there besides the dense ones.
    data_hash, code_version : str
        Of the training.
    scores : dict of str to float
        What was measured at export.
    """

    name: str
    arch: str
    species: tuple[int, ...]
    kinetic_energy: tuple[float, float]
    max_angle: float
    sections: tuple[str, ...]
    stack: dict[str, Any] = field(repr=False)
    stack_hash: str
    noise: tuple[NoiseSpec, ...]
    thresholds: dict[str, float]
    sparse: bool
    data_hash: str
    code_version: str
    scores: dict[str, float] = field(default_factory=dict)
    units: str = UNITS
    format: int = FORMAT

    def to_json(self) -> str:
        """The contract as it stands in the file's metadata."""
        return json.dumps(asdict(self), sort_keys=True)

    @property
    def whole(self) -> bool:
        """Whether the model gives whole showers for entries in the frame of the module."""
        return self.format == WHOLE

    def window_shape(self, section: str) -> tuple[int, int, int]:
        """Shape of the dense window of a section: cells along x, cells along y, layers."""
        described = next(s for s in self.stack["sections"] if s["name"] == section)
        nx, ny = described["window"]
        return int(nx), int(ny), len(described["absorber_mm"])

    def check_detector(self, detector: Detector, where: str) -> None:
        """Refuse a detector whose layers are not those that the model was trained for.

        Raises
        ------
        ContractError
            Names the first thing that differs.
        """
        if detector.stack_hash != self.stack_hash:
            difference = _first_difference(self.stack, detector.stack)
            raise ContractError(
                f"{where}: clause 'stack': the model was trained for other layers than those of detector "
                f"{detector.name!r} ({difference}); name the detector it was made for (--detector), or train a model "
                "for yours"
            )


def read_contract(text: str | None, where: str) -> Contract:
    """Parse and check a contract.

    Parameters
    ----------
    text : str or None
        The metadata; None where the file has none.
    where : str
        The file, for messages.

    Raises
    ------
    ContractError
        The contract is missing, of another format, or a clause makes no sense; the message names the clause.
    """
    if text is None:
        raise ContractError(
            f"{where} holds no contract (metadata {METADATA_KEY!r}): it was not made by `fastcalo export`"
        )
    try:
        table = json.loads(text)
        version = table.pop("format")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as e:
        raise ContractError(f"{where}: the contract is not readable ({type(e).__name__}: {e})") from e
    if type(version) is not int or version not in FORMATS:
        known = " and ".join(map(str, FORMATS))
        raise ContractError(f"{where}: clause 'format': {version!r} is unknown here; this fastcalo reads {known}")
    clauses = validate(ContractTable, table, where, ContractError, "clause")
    values: dict[str, Any] = {name: getattr(clauses, name) for name in ContractTable.model_fields}
    values["noise"] = tuple(NoiseSpec(n.name, n.shape, n.distribution, n.capacity) for n in clauses.noise)
    # with keys that need not be known here: the digest is that of the whole
    values |= {"stack": table["stack"], "format": version}
    contract = Contract(**values)
    _check_together(contract, where)
    if not contract.whole and (contract.name, contract.data_hash) in _WITHDRAWN:
        raise ContractError(
            f"{where}: is a model {contract.name!r} that fastcalo shipped before, and no longer trusts: it drew "
            "windows of 25 x 25 cells only, without leakage, and placed showers in the HCAL up to 15 mm off; the "
            f"model {contract.name!r} that is shipped now replaces it: give its name, in place of a path"
        )
    return contract


def _check_together(c: Contract, where: str) -> None:
    """Refuse clauses that contradict each other."""
    if sha256_of(c.stack) != c.stack_hash:
        raise ContractError(f"{where}: clause 'stack_hash' does not belong to clause 'stack'")
    described = {s["name"] for s in c.stack["sections"]}
    for section in c.sections:
        if section not in described or section not in c.thresholds:
            raise ContractError(
                f"{where}: clause 'sections': {section!r} is not described by clause 'stack' and clause 'thresholds'"
            )


def _first_difference(a: Any, b: Any, path: str = "") -> str:
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted({*a, *b}):
            if a.get(key) != b.get(key):
                return _first_difference(a.get(key), b.get(key), f"{path}.{key}" if path else key)
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            if x != y:
                return _first_difference(x, y, f"{path}[{i}]")
    return f"{path}: {a!r} there, {b!r} here"
