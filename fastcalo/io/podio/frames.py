# SPDX-License-Identifier: BSD-3-Clause
"""Writer of podio files: categories of frames, each with its collections and parameters, in bounded memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from .data_types import (
    EDM4HEP_VERSION,
    OBJECT_ID,
    PODIO_VERSION,
    SCHEMA_VERSION,
    DataType,
    collection_id,
    definition,
)
from .kinds import TEXT, Kind, ListOf, Pair, Record, content_of, repeated_texts
from .typed_ntuple import TypedNtuple, type_name

METADATA = "podio_metadata"
"""Name of the RNTuple with what podio must know of a file before it reads it."""

_WRITE_INFO = Record(
    "podio::root_utils::CollectionWriteInfo",
    {
        "collectionID": "uint32",
        "dataType": TEXT,
        "isSubset": "bool",
        "schemaVersion": "uint32",
        "name": TEXT,
        "storageType": TEXT,
    },
)
# types of parameters in the order of podio's fields
_PARAMETERS: dict[str, Kind] = {"Int": "int32", "Float": "float32", "Double": "float64", "String": TEXT}

Parameter = NDArray[Any] | Sequence[Sequence[str]] | tuple[NDArray[np.int64], NDArray[Any]]
"""Values of a parameter: one per frame; or offsets [n_frames + 1] and values; or texts, a list per frame."""


@dataclass(frozen=True, eq=False)
class References:
    """References of the objects of a collection to those of another one.

    Attributes
    ----------
    collection : str
        The other one.
    index : int [r]
        Place of each object that is referred to in its frame.
    counts : int [n] or None
        References of each object; None where each has one.
    """

    collection: str
    index: NDArray[np.integer]
    counts: NDArray[np.integer] | None = None


@dataclass(frozen=True, eq=False)
class Collection:
    """Objects of one type in a number of frames, one after the other.

    Attributes
    ----------
    kind : DataType
    offsets : int64 [n_frames + 1]
    columns : mapping of str to array [n] or [n, 3]
        By member.
    references : mapping of str to References
        By relation.
    vectors : mapping of str to (int [n], array)
        Numbers of values, and the values, by the name of the member.
    """

    kind: DataType
    offsets: NDArray[np.int64]
    columns: Mapping[str, NDArray[Any]]
    references: Mapping[str, References] = field(default_factory=dict)
    vectors: Mapping[str, tuple[NDArray[np.integer], NDArray[Any]]] = field(default_factory=dict)

    def contents(self, name: str) -> dict[str, Any]:
        """Awkward contents by field."""
        columns = dict(self.columns)
        found: dict[str, Any] = {}
        listed = {**self.vectors, **{r: (x.counts, x) for r, x in self.references.items()}}
        for member, (counts, values) in listed.items():
            offsets = self.offsets
            if counts is not None:
                ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
                offsets = ends[self.offsets]
                # ranges are those of the frame's own vector
                base = np.repeat(offsets[:-1], np.diff(self.offsets))
                columns |= {f"{member}_begin": ends[:-1] - base, f"{member}_end": ends[1:] - base}
            if isinstance(values, References):
                number = np.full(len(values.index), collection_id(values.collection), np.uint32)
                content = content_of(ListOf(OBJECT_ID), (offsets, {"index": values.index, "collectionID": number}))
            else:
                content = content_of(ListOf(self.kind.vectors[member]), (offsets, values))
            found[f"_{name}_{member}"] = content
        return {name: content_of(ListOf(self.kind.data), (self.offsets, columns)), **found}


class PodioFile:
    """A podio file that is written frame by frame.

    Parameters
    ----------
    file : binary file
    compression : uproot.compression.Compression
    """

    def __init__(self, file: BinaryIO, compression: Any) -> None:
        import uproot

        self.root = uproot.recreate(file, compression=compression)
        self._categories: dict[str, tuple[dict[str, DataType], TypedNtuple]] = {}

    def add(self, category: str, collections: Mapping[str, DataType]) -> None:
        """Begin a category whose frames all have these collections."""
        ordered = dict(sorted(collections.items(), key=lambda item: item[0].lower()))
        fields: dict[str, Kind] = {}
        for name, kind in ordered.items():
            fields |= kind.fields(name)
        fields |= {f"GP{name}Keys": ListOf(TEXT) for name in _PARAMETERS}
        fields |= {f"GP{name}Values": ListOf(ListOf(kind)) for name, kind in _PARAMETERS.items()}
        self._categories[category] = ordered, TypedNtuple(self.root, category, fields)

    def write(
        self,
        category: str,
        n_frames: int,
        collections: Mapping[str, Collection],
        parameters: Mapping[str, Mapping[str, Parameter]],
    ) -> None:
        """Write frames of a category, as one cluster.

        Parameters
        ----------
        category : str
        n_frames : int
        collections : mapping of str to Collection
            All of the category.
        parameters : mapping of str to mapping of str to Parameter
            By type (``Int``, ``Float``, ``Double`` or ``String``) and name.
        """
        kinds, ntuple = self._categories[category]
        contents: dict[str, Any] = {}
        for name in kinds:
            contents |= collections[name].contents(name)
        for name, kind in _PARAMETERS.items():
            contents |= _parameters(name, kind, n_frames, parameters.get(name, {}))
        ntuple.extend(contents)

    def finish(self) -> None:
        """Write what podio must know of the file, and close it."""
        fields: dict[str, Kind] = {
            "PodioBuildVersion": ListOf("uint16"),
            "edm4hep___Version": ListOf("uint16"),
            "EDMDefinitions": ListOf(Pair()),
            "availableCategories": ListOf(TEXT),
            **{f"{category}___CollectionTypeInfo": ListOf(_WRITE_INFO) for category in self._categories},
        }
        values: dict[str, Any] = {
            "PodioBuildVersion": np.array(PODIO_VERSION),
            "edm4hep___Version": np.array(EDM4HEP_VERSION),
            "EDMDefinitions": [("edm4hep", definition())],
            "availableCategories": list(self._categories),
            **{f"{name}___CollectionTypeInfo": _write_info(kinds) for name, (kinds, _) in self._categories.items()},
        }
        sizes = {name: len(v["name"]) if isinstance(v, dict) else len(v) for name, v in values.items()}
        contents = {name: content_of(kind, (np.array([0, sizes[name]]), values[name])) for name, kind in fields.items()}
        TypedNtuple(self.root, METADATA, fields).extend(contents)
        self.root.close()


def _write_info(collections: Mapping[str, DataType]) -> dict[str, Any]:
    kinds = collections.values()
    return {
        "collectionID": np.array([collection_id(name) for name in collections], np.uint32),
        "dataType": [f"{kind.name}Collection" for kind in kinds],
        "isSubset": np.zeros(len(collections), np.bool_),
        "schemaVersion": np.full(len(collections), SCHEMA_VERSION, np.uint32),
        "name": list(collections),
        "storageType": [type_name(ListOf(kind.data)) for kind in kinds],
    }


def _parameters(name: str, kind: Kind, n: int, values: Mapping[str, Parameter]) -> dict[str, Any]:
    """Contents of the two fields of parameters of one type."""
    keys = repeated_texts(list(values), n)
    frames = np.arange(n + 1) * len(values)
    counts, columns = [], []
    for value in values.values():
        if isinstance(value, tuple):
            counts.append(np.diff(value[0]))
            columns.append(value[1])
        elif isinstance(value, np.ndarray):
            counts.append(np.ones(n, np.int64))
            columns.append(value)
        else:
            counts.append(np.array([len(texts) for texts in value], np.int64))
            columns.append(np.array([text for texts in value for text in texts], dtype=object))
    each = np.stack(counts, axis=1) if counts else np.zeros((n, 0), np.int64)
    place = np.arange(n)[:, None] * len(values) + np.arange(len(values))
    of = [np.repeat(place[:, k], each[:, k]) for k in range(len(values))]
    order = np.argsort(np.concatenate([np.zeros(0, np.int64), *of]), kind="stable")
    listed = np.concatenate(columns)[order] if columns else np.zeros(0)
    ends = np.concatenate([[0], np.cumsum(each.ravel())]).astype(np.int64)
    return {
        f"GP{name}Keys": content_of(ListOf(TEXT), (frames, keys)),
        f"GP{name}Values": content_of(ListOf(ListOf(kind)), (frames, (ends, listed))),
    }
