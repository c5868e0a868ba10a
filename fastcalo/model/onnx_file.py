# SPDX-License-Identifier: BSD-3-Clause
"""The bytes of an ONNX file: its metadata, and a digest of all the rest, without any library of ONNX.

A file is one message of Protocol Buffers ("Encoding", protobuf.dev): records of a tag, which holds the number of the
field and how its value is laid out, and the value. Only the records of the outermost message are distinguished here,
and the two texts of each entry of ``metadata_props``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import ContractError

METADATA_KEY = "fastcalo"
"""Entry of the metadata that holds the contract."""
DIGEST_KEY = "fastcalo_digest"
"""Entry of the metadata that holds the digest of the graph, with all its weights, and of the contract."""

_METADATA_FIELD = 14
"""Of `ModelProto`: ``metadata_props`` (onnx.proto)."""
_KEY_FIELD, _VALUE_FIELD = 1, 2
"""Of `StringStringEntryProto`."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10


@dataclass(frozen=True)
class OnnxFile:
    """Description of an ONNX file, without running it.

    Attributes
    ----------
    metadata : dict of str to str
    digest : str
        SHA-256, hexadecimal, of the bytes of all records but the metadata, in the order of the file, and of the
        contract's text (UTF-8) behind them.
    """

    metadata: dict[str, str]
    digest: str

    def check_digest(self, where: str, *, required: bool) -> bool:
        """Compare the digest with the one that was written at export.

        Parameters
        ----------
        where : str
            The file, for messages.
        required : bool
            Whether the file must hold one.

        Returns
        -------
        bool
            Whether it holds one.

        Raises
        ------
        ContractError
            The file holds another digest, or must hold one and does not.
        """
        stored = self.metadata.get(DIGEST_KEY)
        if stored is None and required:
            raise ContractError(
                f"{where}: the digest of graph and contract (metadata {DIGEST_KEY!r}) is missing: the file was changed "
                "after its export; export the model again"
            )
        if stored is not None and stored != self.digest:
            raise ContractError(
                f"{where}: graph or contract are not those that were exported (their digest is {self.digest[:16]}..., "
                f"but {stored[:16]!r}... is written in the file): the file is damaged or was changed; get it again, or "
                "export the model again"
            )
        return stored is not None


def read_image(path: Path) -> bytes:
    """The bytes of a file.

    Raises
    ------
    ContractError
        It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ContractError(f"{path}: cannot be read: {error.strerror or error}") from error


def read_onnx(image: bytes, where: str) -> OnnxFile:
    """Read the metadata of an ONNX file, and compute its digest.

    Parameters
    ----------
    image : bytes
        The whole file.
    where : str
        The file, for messages.

    Raises
    ------
    ContractError
        The bytes are no records of Protocol Buffers, or the metadata are not UTF-8.
    """
    metadata: dict[str, str] = {}
    digest = hashlib.sha256()
    view = memoryview(image)
    try:
        for field, record, value in _records(view):
            if field == _METADATA_FIELD:
                entry = {number: bytes(text).decode() for number, _, text in _records(value)}
                metadata[entry.get(_KEY_FIELD, "")] = entry.get(_VALUE_FIELD, "")
            else:
                digest.update(record)
    except (ValueError, IndexError) as error:
        raise ContractError(f"{where} is not an ONNX model, or is cut short or damaged ({error})") from error
    digest.update(metadata.get(METADATA_KEY, "").encode())
    return OnnxFile(metadata, digest.hexdigest())


def seal(image: bytes, contract: str) -> bytes:
    """Put a contract and the digest that belongs to it into an ONNX file, and leave the graph as it is.

    Parameters
    ----------
    image : bytes
        The whole file; a contract and a digest that it holds are replaced.
    contract : str
        Text of the contract.

    Returns
    -------
    bytes
        The new file.

    Raises
    ------
    ContractError
        The bytes are no ONNX file.
    """
    kept = bytearray()
    try:
        for field, record, value in _records(memoryview(image)):
            keys = (
                [bytes(text) for number, _, text in _records(value) if number == _KEY_FIELD]
                if field == _METADATA_FIELD
                else []
            )
            if not any(key in (METADATA_KEY.encode(), DIGEST_KEY.encode()) for key in keys):
                kept += record
    except (ValueError, IndexError) as error:
        raise ContractError(f"the bytes are not an ONNX model ({error})") from error
    kept += _entry(METADATA_KEY, contract)
    return bytes(kept + _entry(DIGEST_KEY, read_onnx(bytes(kept), "the model").digest))


def _records(view: memoryview) -> Iterator[tuple[int, memoryview, memoryview]]:
    """Number of the field, the whole record, and its value, of every record of a message."""
    at = 0
    while at < len(view):
        begin = at
        tag, at = _varint(view, at)
        start, stop = _extent(view, at, tag & 7)
        if stop > len(view):
            raise ValueError(f"a record ends at byte {stop} of {len(view)}")
        at = stop
        yield tag >> 3, view[begin:stop], view[start:stop]


def _extent(view: memoryview, at: int, kind: int) -> tuple[int, int]:
    """Where a value that is laid out in a way begins and ends."""
    if kind == _BYTES:
        length, at = _varint(view, at)
        return at, at + length
    if kind == _VARINT:
        return at, _varint(view, at)[1]
    if kind in (_FIXED64, _FIXED32):
        return at, at + (8 if kind == _FIXED64 else 4)
    raise ValueError(f"unknown kind {kind} of record at byte {at}")


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first; and where it ends."""
    number = 0
    for k in range(_LONGEST_VARINT):
        byte = view[at + k]
        number |= (byte & 0x7F) << 7 * k
        if byte < 0x80:
            return number, at + k + 1
    raise ValueError(f"a number without an end at byte {at}")


def _entry(key: str, value: str) -> bytes:
    texts = b"".join(
        _tag(field, _BYTES) + _encoded(len(text)) + text
        for field, text in ((_KEY_FIELD, key.encode()), (_VALUE_FIELD, value.encode()))
    )
    return _tag(_METADATA_FIELD, _BYTES) + _encoded(len(texts)) + texts


def _tag(field: int, kind: int) -> bytes:
    return _encoded(field << 3 | kind)


def _encoded(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
