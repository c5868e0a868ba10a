"""Model contract: the JSON metadata of an ONNX model, validated before the model is run."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from ..detector.description import Detector, sha256_of
from ..errors import ContractError

FORMAT = 1
METADATA_KEY = "fastcalo"
DISTRIBUTIONS = ("uniform", "normal", "logistic")
UNITS = "GeV, mm, rad"


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
                f"{detector.name!r} ({difference}); use the detector it was made for, or train a model for yours"
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
    if version != FORMAT:
        raise ContractError(f"{where}: clause 'format': {version} is unknown here; this fastcalo reads format {FORMAT}")
    if unknown := set(table) - set(_CLAUSES):
        raise ContractError(f"{where}: clause {min(unknown)!r} is unknown here")
    values = {}
    for name, parse in _CLAUSES.items():
        if name in table:
            try:
                values[name] = parse(table[name])
            except (ValueError, TypeError, KeyError, OverflowError) as e:
                raise ContractError(f"{where}: clause {name!r} makes no sense ({type(e).__name__}: {e})") from e
        elif name not in _OPTIONAL:
            raise ContractError(f"{where}: clause {name!r} is missing")
    contract = Contract(**values)
    _check_together(contract, where)
    return contract


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a number")
    return float(value)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is not a list")
    return value


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is not a table")
    return value


def _species(value: Any) -> tuple[int, ...]:
    codes = _list(value)
    if not codes or not all(type(c) is int and abs(c) < 1 << 31 for c in codes):
        raise ValueError(f"{codes!r} are not PDG numbers")
    return tuple(codes)


def _range(value: Any) -> tuple[float, float]:
    low, high = (_number(v) for v in _list(value))
    if not 0 < low < high:
        raise ValueError(f"{value!r} is not a range")
    return low, high


def _angle(value: Any) -> float:
    angle = _number(value)
    if not 0 < angle < math.pi / 2:
        raise ValueError(f"{angle} is not between 0 and pi/2")
    return angle


def _sections(value: Any) -> tuple[str, ...]:
    names = tuple(_text(v) for v in _list(value))
    if not names or len(set(names)) != len(names):
        raise ValueError(f"{names!r} are not names of sections")
    return names


def _units(value: Any) -> str:
    if value != UNITS:
        raise ValueError(f"{value!r} are not {UNITS!r}")
    return UNITS


def _stack(value: Any) -> dict[str, Any]:
    for section in _list(_table(value)["sections"]):
        _text(_table(section)["name"])
        nx, ny = (int(_number(v)) for v in _list(section["window"]))
        if nx < 1 or ny < 1 or not _list(section["absorber_mm"]):
            raise ValueError(f"section {section['name']!r} has no cells")
    return _table(value)


def _numbers(value: Any) -> dict[str, float]:
    return {_text(name): _number(v) for name, v in _table(value).items()}


def _noise(value: Any) -> tuple[NoiseSpec, ...]:
    specs = tuple(_tensor(_table(v)) for v in _list(value))
    if len({n.name for n in specs}) != len(specs):
        raise ValueError("two tensors have one name")
    return specs


def _tensor(table: dict[str, Any]) -> NoiseSpec:
    name, distribution = _text(table["name"]), _text(table["distribution"])
    shape, capacity = tuple(_list(table["shape"])), table.get("capacity")
    if distribution not in DISTRIBUTIONS:
        raise ValueError(f"distribution {distribution!r} of {name!r} is unknown here")
    if capacity is None:
        if not all(type(s) is int and s > 0 for s in shape):
            raise ValueError(f"{name!r} has the shape {list(shape)}, and no capacity")
        return NoiseSpec(name, shape, distribution)
    if not (len(shape) == 2 and shape[0] == "P" and type(shape[1]) is int and shape[1] > 0):
        raise ValueError(f"{name!r} has a capacity, and then must have a shape like ['P', 3], not {list(shape)}")
    a, b, c = (_number(v) for v in _list(capacity))
    if min(a, b, c) < 0:
        raise ValueError(f"{name!r} has the capacity {capacity}")
    return NoiseSpec(name, shape, distribution, (a, b, c))


_CLAUSES: dict[str, Callable[[Any], Any]] = {
    "name": _text,
    "arch": _text,
    "species": _species,
    "kinetic_energy": _range,
    "max_angle": _angle,
    "sections": _sections,
    "stack": _stack,
    "stack_hash": _text,
    "noise": _noise,
    "thresholds": _numbers,
    "sparse": _flag,
    "data_hash": _text,
    "code_version": _text,
    "scores": _numbers,
    "units": _units,
}
_OPTIONAL = ("scores", "units")


def _check_together(c: Contract, where: str) -> None:
    """Refuse clauses that contradict each other."""
    if sha256_of(c.stack) != c.stack_hash:
        raise ContractError(f"{where}: clause 'stack_hash' does not belong to clause 'stack'")
    described = {s["name"] for s in c.stack["sections"]}
    for section in c.sections:
        if section not in described or section not in c.thresholds:
            raise ContractError(
                f"{where}: clause 'sections': {section!r} is not described by clauses 'stack' and 'thresholds'"
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
