# SPDX-License-Identifier: BSD-3-Clause
"""Kinds of values in RNTuples with the names of their C++ classes, and awkward arrays of them.

A kind is the name of a numpy type, `TEXT`, a `Record`, a `ListOf` or a `Pair`. uproot writes awkward arrays; in their
forms the C++ class of a record stands as the parameter ``__record__``, where `typed_ntuple` finds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

TEXT = "text"
"""The kind of ``std::string``."""

CLASS = "__record__"
"""Parameter of a form that holds the name of a C++ class."""


@dataclass(frozen=True)
class Record:
    """A C++ class.

    Attributes
    ----------
    name : str
        With its name space.
    members : mapping of str to kind
    version : int
        Of its dictionary in ROOT; podio gives the classes of a data model the version of its schema.
    """

    name: str
    members: Mapping[str, Kind]
    version: int = 0


@dataclass(frozen=True)
class ListOf:
    """A ``std::vector``."""

    item: Kind


@dataclass(frozen=True)
class Pair:
    """A ``std::tuple`` of two texts."""


Kind: TypeAlias = str | Record | ListOf | Pair


def form_of(kind: Kind) -> Any:
    """The awkward form of a kind."""
    from awkward.forms import ListOffsetForm, NumpyForm, RecordForm

    if isinstance(kind, Record):
        return RecordForm(
            [form_of(member) for member in kind.members.values()], list(kind.members), parameters={CLASS: kind.name}
        )
    if isinstance(kind, ListOf):
        return ListOffsetForm("i64", form_of(kind.item))
    if isinstance(kind, Pair):
        return RecordForm([form_of(TEXT), form_of(TEXT)], None)
    if kind == TEXT:
        return ListOffsetForm(
            "i64", NumpyForm("uint8", parameters={"__array__": "char"}), parameters={"__array__": "string"}
        )
    return NumpyForm(kind)


def versions_in(kind: Kind) -> dict[str, int]:
    """Versions of all C++ classes in a kind, by their names."""
    if isinstance(kind, ListOf):
        return versions_in(kind.item)
    if not isinstance(kind, Record):
        return {}
    found = {kind.name: kind.version}
    for member in kind.members.values():
        found |= versions_in(member)
    return found


def content_of(kind: Kind, values: Any) -> Any:
    """Values as awkward content.

    Parameters
    ----------
    kind : Kind
    values
        For a numpy type an array [n]; for `TEXT` a sequence of texts; for a `Pair` one of pairs of texts; for a
        `ListOf` a pair of offsets [n + 1] and of the values of its items; for a `Record` a mapping of its members, or
        an array [n, members] where all are of one numpy type.
    """
    from awkward.contents import ListOffsetArray, NumpyArray, RecordArray
    from awkward.index import Index64

    if isinstance(kind, Record):
        by_member = values if isinstance(values, Mapping) else dict(zip(kind.members, values.T, strict=True))
        contents = [content_of(member, by_member[name]) for name, member in kind.members.items()]
        return RecordArray(contents, list(kind.members), parameters={CLASS: kind.name})
    if isinstance(kind, ListOf):
        offsets, items = values
        return ListOffsetArray(Index64(np.ascontiguousarray(offsets, np.int64)), content_of(kind.item, items))
    if isinstance(kind, Pair):
        firsts, seconds = ([pair[i] for pair in values] for i in range(2))
        return RecordArray([content_of(TEXT, firsts), content_of(TEXT, seconds)], None, length=len(values))
    if kind == TEXT:
        offsets, characters = packed_texts(values)
        return ListOffsetArray(
            Index64(offsets), NumpyArray(characters, parameters={"__array__": "char"}),
            parameters={"__array__": "string"},
        )  # fmt: skip
    return NumpyArray(np.ascontiguousarray(values, np.dtype(kind)))


def packed_texts(texts: Any) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Offsets and bytes of texts, one after the other."""
    if isinstance(texts, tuple):
        return texts
    encoded = [text.encode() for text in texts]
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in encoded], dtype=np.int64)]).astype(np.int64)
    return offsets, np.frombuffer(b"".join(encoded), np.uint8)


def repeated_texts(texts: Any, times: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Offsets and bytes of the same texts, repeated as a whole."""
    offsets, characters = packed_texts(texts)
    lengths = np.tile(np.diff(offsets), times)
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), np.tile(characters, times)
