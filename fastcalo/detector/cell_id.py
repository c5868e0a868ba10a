# SPDX-License-Identifier: BSD-3-Clause
"""Cell IDs: bit fields of one 64-bit number, in the notation of DD4hep.

``"system:5,layer:8,x:32:-16"`` reads: five bits for ``system``, the next eight for ``layer``, and sixteen bits from
bit 32 on for ``x``, in two's complement (the minus sign).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DetectorError, InputError

# values are handed around as int64, which holds no unsigned field of 64 bits
_MAX_WIDTH = 63


@dataclass(frozen=True)
class BitField:
    """One field of a cell ID: where its bits stand, and whether they carry a sign."""

    name: str
    offset: int
    width: int
    signed: bool

    @property
    def lowest(self) -> int:
        """Smallest value the field holds."""
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def highest(self) -> int:
        """Largest value the field holds."""
        return (1 << (self.width - self.signed)) - 1

    @property
    def mask(self) -> int:
        """The field's bits, moved down to bit 0."""
        return (1 << self.width) - 1

    @classmethod
    def parse(cls, text: str, start: int) -> BitField:
        """Read ``name:width`` (placed at bit `start`) or ``name:offset:width``."""
        name, *numbers = (part.strip() for part in text.split(":"))
        try:
            *offsets, width = map(int, numbers)
            (offset,) = offsets or (start,)
        except ValueError:
            raise DetectorError(f"{text.strip()!r} is neither name:width nor name:offset:width") from None
        field = cls(name, offset, abs(width), signed=width < 0)
        if not name:
            raise DetectorError(f"{text.strip()!r} names no field")
        if not 1 <= field.width <= _MAX_WIDTH:
            raise DetectorError(f"{name!r} has {field.width} bits, but must have 1 to {_MAX_WIDTH}")
        if not 0 <= offset <= 64 - field.width:
            raise DetectorError(f"{name!r} takes bits {offset} to {offset + field.width - 1}, beyond the 64 there are")
        return field

    def pack(self, values: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Put checked values at the field's place in the 64 bits."""
        outside = (values < self.lowest) | (values > self.highest)
        if outside.any():
            bad = values[outside].flat[0]
            raise InputError(f"cell ID field {self.name!r} holds {self.lowest} to {self.highest}, but got {bad}")
        return (values.astype(np.uint64) & np.uint64(self.mask)) << np.uint64(self.offset)

    def unpack(self, cell_id: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Take the field's values out of cell IDs."""
        raw = ((cell_id >> np.uint64(self.offset)) & np.uint64(self.mask)).astype(np.int64)
        if not self.signed:
            return raw
        sign = np.int64(1 << (self.width - 1))
        return (raw ^ sign) - sign


@dataclass(frozen=True)
class CellEncoding:
    """How the numbers that name a cell are packed into its ID.

    Attributes
    ----------
    text : str
        The encoding as written, for example ``"system:5,layer:8,x:32:-16"``.
    fields : tuple of BitField
    """

    text: str
    fields: tuple[BitField, ...]

    @classmethod
    def parse(cls, text: str) -> CellEncoding:
        """Read an encoding from its text.

        Raises
        ------
        DetectorError
            A part of the text cannot be read, a name comes twice, or fields overlap or leave the 64 bits.
        """
        fields: list[BitField] = []
        taken = start = 0
        for part in text.split(","):
            field = BitField.parse(part, start)
            bits = field.mask << field.offset
            if field.name in {f.name for f in fields}:
                raise DetectorError(f"{field.name!r} comes twice")
            if taken & bits:
                raise DetectorError(f"{field.name!r} takes bits that another field has")
            taken |= bits
            start = field.offset + field.width
            fields.append(field)
        return cls(text, tuple(fields))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the fields, in the order written."""
        return tuple(field.name for field in self.fields)

    def __getitem__(self, name: str) -> BitField:
        return self.fields[self.names.index(name)]

    def encode(self, **values: ArrayLike) -> NDArray[np.uint64]:
        """Pack values into cell IDs.

        Parameters
        ----------
        **values : int or int [h]
            One for each field, broadcast against each other.

        Returns
        -------
        uint64 [h]

        Raises
        ------
        InputError
            A field is not given, is none of the encoding, or a value does not fit; the message names the field.
        """
        if set(values) != set(self.names):
            raise InputError(f"a cell ID {self.text!r} is made of {list(self.names)}, but got {sorted(values)}")
        packed = [field.pack(_integers(field.name, values[field.name])) for field in self.fields]
        return np.asarray(np.bitwise_or.reduce(np.broadcast_arrays(*packed)), dtype=np.uint64)

    def decode(self, cell_id: ArrayLike) -> dict[str, NDArray[np.int64]]:
        """Take cell IDs apart.

        Parameters
        ----------
        cell_id : uint64 [h]

        Returns
        -------
        dict of str to int64 [h]
            The values of every field, by name.
        """
        cells = np.asarray(cell_id, dtype=np.uint64)
        return {field.name: field.unpack(cells) for field in self.fields}


def _integers(name: str, values: ArrayLike) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise InputError(f"cell ID field {name!r} takes integers, but got {array.dtype}")
    return array.astype(np.int64)
