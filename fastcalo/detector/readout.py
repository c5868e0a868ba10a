# SPDX-License-Identifier: BSD-3-Clause
"""Readouts of a real detector: by which collections and cell IDs its reconstruction knows the cells of a section."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DetectorError, InputError
from .cell_id import CellEncoding
from .tables import ReadoutTable

NUMBERS = ("module", "stave", "side", "layer", "x", "y")
"""What a field of a readout may count: module; stave (0 in endcaps) and side (+1, −1; 0 in the barrel); layer; cell."""

_EXPRESSION = re.compile(rf"\s*(-?)\s*({'|'.join(NUMBERS)})\s*(?:([+-])\s*([0-9]+))?\s*")


@dataclass(frozen=True)
class FieldRule:
    """How a field follows from a number of ours: sign * number + offset, or a constant where there is no number."""

    number: str | None
    sign: int
    offset: int

    @classmethod
    def parse(cls, rule: int | str) -> FieldRule:
        """Read a constant, or a text such as ``"layer + 1"`` or ``"-x"``.

        Raises
        ------
        DetectorError
            It is neither.
        """
        if isinstance(rule, int):
            return cls(None, 1, rule)
        match = _EXPRESSION.fullmatch(rule)
        if match is None:
            raise DetectorError(f"{rule!r} is neither a number nor one of {list(NUMBERS)}, such as 'layer + 1' or '-x'")
        offset = int(match[4] or 0)
        return cls(match[2], -1 if match[1] else 1, -offset if match[3] == "-" else offset)

    def apply(self, numbers: Mapping[str, NDArray[np.int64]]) -> NDArray[np.int64] | int:
        """Value of the field."""
        return self.offset if self.number is None else self.sign * numbers[self.number] + self.offset


@dataclass(frozen=True)
class DetectorReadout:
    """A collection of a section's hits.

    Attributes
    ----------
    collection : str
    part : str
        ``"barrel"``, ``"endcap"`` or ``"all"``: whose modules' hits stand in it.
    encoding : CellEncoding
    rules : mapping of str to FieldRule
        By field of the encoding.
    description : mapping
        With the keys of the TOML file.
    """

    collection: str
    part: str
    encoding: CellEncoding
    rules: Mapping[str, FieldRule]
    description: Mapping[str, Any]

    @classmethod
    def of(cls, table: ReadoutTable) -> DetectorReadout:
        """Make a readout of its table in a description."""
        return cls(
            collection=table.collection,
            part=table.part,
            encoding=CellEncoding.parse(table.encoding),
            rules={name: FieldRule.parse(rule) for name, rule in table.fields.items()},
            description=table.as_dict(),
        )

    def modules(self, staves: int) -> range:
        """Modules whose hits stand in the collection, of a detector with so many staves."""
        return range(staves if self.part == "endcap" else 0, staves if self.part == "barrel" else staves + 2)

    def encode(self, cells: Mapping[str, NDArray[np.int64]], staves: int) -> NDArray[np.uint64]:
        """Cell IDs of cells that are known by ``module``, ``layer``, ``x`` and ``y``, uint64 [h].

        Raises
        ------
        InputError
            A number does not fit its field.
        """
        module = cells["module"]
        barrel = module < staves
        numbers = {
            **cells,
            "stave": np.where(barrel, module, 0),
            "side": np.where(barrel, 0, np.where(module == staves, 1, -1)),
        }
        values = {name: rule.apply(numbers) for name, rule in self.rules.items()}
        packed = self.encoding.encode(**values)
        return np.broadcast_to(packed, module.shape)

    def decode(self, cell_id: NDArray[np.uint64], staves: int) -> dict[str, NDArray[np.int64]]:
        """``module``, ``layer``, ``x`` and ``y`` of cell IDs.

        Raises
        ------
        InputError
            They are of another collection.
        """
        fields = self.encoding.decode(cell_id)
        found: dict[str, NDArray[np.int64]] = {}
        for name, rule in self.rules.items():
            value = (fields[name] - rule.offset) * rule.sign
            if rule.number is None:
                if value.any():
                    raise InputError(f"{self.collection}: there are cell IDs whose {name!r} is not {rule.offset}")
            else:
                found[rule.number] = value
        if "module" not in found:
            side = found.get("side", np.zeros(len(cell_id), np.int64))
            stave = found.get("stave", np.zeros(len(cell_id), np.int64))
            found["module"] = np.where(side == 0, stave, np.where(side > 0, staves, staves + 1))
        return {name: found[name] for name in ("module", "layer", "x", "y")}

    def check(self, staves: int) -> None:
        """Refuse a readout from which a cell cannot be named again.

        Raises
        ------
        DetectorError
        """
        if missing := [name for name in self.encoding.names if name not in self.rules]:
            raise DetectorError(f"fields: {missing[0]!r} of the encoding has no rule")
        if unknown := [name for name in self.rules if name not in self.encoding.names]:
            raise DetectorError(f"fields: {unknown[0]!r} is no field of the encoding")
        given = {rule.number for rule in self.rules.values()}
        by_parts = {"barrel": {"stave"}, "endcap": {"side"}, "all": {"stave", "side"}}[self.part]
        if not {"layer", "x", "y"} <= given or not ("module" in given or by_parts <= given):
            need = "module" if self.part == "all" else f"module or {min(by_parts)}"
            raise DetectorError(
                f"fields: cells are known by layer, x, y and {need}; {sorted(filter(None, given))} are there"
            )
        ends = self.modules(staves)
        for name, rule in self.rules.items():
            field = self.encoding[name]
            numbers = {"module": (ends[0], ends[-1]), "stave": (0, staves - 1), "side": (-1, 1)}
            for number in numbers.get(str(rule.number), (0, 0)) if rule.number in numbers else ():
                if self.part == "barrel" and rule.number == "side":
                    continue
                value = rule.sign * number + rule.offset
                if not field.lowest <= value <= field.highest:
                    raise DetectorError(
                        f"fields: {name!r} holds {field.lowest} to {field.highest}, but {value} is needed"
                    )
