# SPDX-License-Identifier: BSD-3-Clause
"""Data types of EDM4hep that hits need, and how podio stores their collections.

Source: ``edm4hep.yaml`` of EDM4hep 1.0 and 1.1 (schema version 6), and podio's ``doc/storage_details.md``. A collection
``C`` is a vector of the data of its objects; each relation ``r`` a vector of references ``_C_r``, of which an object
has those from ``r_begin`` to ``r_end``, or, where there is one for each object, the one at its place.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from .kinds import Kind, ListOf, Record

SCHEMA_VERSION = 6
PODIO_VERSION = (1, 7, 0)
EDM4HEP_VERSION = (1, 1, 0)
"""Versions of the layout that is written."""

OBJECT_ID = Record("podio::ObjectID", {"index": "int32", "collectionID": "uint32"})

_SEED, _C1, _C2 = 0, 0xCC9E2D51, 0x1B873593
_ALL = 0xFFFFFFFF


@dataclass(frozen=True)
class DataType:
    """A data type of EDM4hep.

    Attributes
    ----------
    name : str
    members : mapping of str to kind
    many : mapping of str to str
        Relations to any number of objects, and their type.
    one : mapping of str to str
        Relations to one object.
    vectors : mapping of str to kind
        Members that are lists, and what of.
    """

    name: str
    members: Mapping[str, Kind]
    many: Mapping[str, str] = field(default_factory=dict)
    one: Mapping[str, str] = field(default_factory=dict)
    vectors: Mapping[str, Kind] = field(default_factory=dict)

    @property
    def data(self) -> Record:
        """The class that is stored."""
        ranges = {f"{name}_{end}": "uint32" for name in (*self.vectors, *self.many) for end in ("begin", "end")}
        return Record(f"{self.name}Data", {**self.members, **ranges}, SCHEMA_VERSION)

    def fields(self, collection: str) -> dict[str, Kind]:
        """Fields of a collection, in podio's order."""
        return {
            collection: ListOf(self.data),
            **{f"_{collection}_{name}": ListOf(OBJECT_ID) for name in (*self.many, *self.one)},
            **{f"_{collection}_{name}": ListOf(kind) for name, kind in self.vectors.items()},
        }


_VECTOR_3F = Record("edm4hep::Vector3f", dict.fromkeys("xyz", "float32"), SCHEMA_VERSION)
_VECTOR_3D = Record("edm4hep::Vector3d", dict.fromkeys("xyz", "float64"), SCHEMA_VERSION)

EVENT_HEADER = DataType(
    "edm4hep::EventHeader",
    {"eventNumber": "uint64", "runNumber": "uint32", "timeStamp": "uint64", "weight": "float64"},
    vectors={"weights": "float64"},
)
MC_PARTICLE = DataType(
    "edm4hep::MCParticle",
    {
        "PDG": "int32",
        "generatorStatus": "int32",
        "simulatorStatus": "int32",
        "charge": "float32",
        "time": "float32",
        "mass": "float64",
        "vertex": _VECTOR_3D,
        "endpoint": _VECTOR_3D,
        "momentum": _VECTOR_3D,
        "momentumAtEndpoint": _VECTOR_3D,
        "helicity": "int32",
    },
    many={"parents": "edm4hep::MCParticle", "daughters": "edm4hep::MCParticle"},
)
CONTRIBUTION = DataType(
    "edm4hep::CaloHitContribution",
    {"PDG": "int32", "energy": "float32", "time": "float32", "stepPosition": _VECTOR_3F, "stepLength": "float32"},
    one={"particle": "edm4hep::MCParticle"},
)
CALORIMETER_HIT = DataType(
    "edm4hep::SimCalorimeterHit",
    {"cellID": "uint64", "energy": "float32", "position": _VECTOR_3F},
    many={"contributions": "edm4hep::CaloHitContribution"},
)
DATA_TYPES = (EVENT_HEADER, MC_PARTICLE, CONTRIBUTION, CALORIMETER_HIT)


def collection_id(name: str) -> int:
    """Number by which podio knows a collection: MurmurHash3_x86_32 of its name (A. Appleby, public domain), seed 0."""
    data = name.encode()
    h, whole = _SEED, len(data) // 4 * 4
    for i in range(0, whole, 4):
        h ^= _scrambled(int.from_bytes(data[i : i + 4], "little"))
        h = (_rotated(h, 13) * 5 + 0xE6546B64) & _ALL
    if whole < len(data):
        h ^= _scrambled(int.from_bytes(data[whole:], "little"))
    h ^= len(data)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h = ((h ^ h >> shift) * factor) & _ALL
    return h ^ h >> 16


def _scrambled(k: int) -> int:
    return (_rotated(k * _C1 & _ALL, 15) * _C2) & _ALL


def _rotated(x: int, bits: int) -> int:
    return (x << bits | x >> (32 - bits)) & _ALL


def definition() -> str:
    """The data types as JSON, as podio keeps the definition of a data model in its files."""
    components: dict[str, object] = {}
    for vector in (_VECTOR_3F, _VECTOR_3D):
        components[vector.name] = {"Members": _members(vector.members)}
    types = {
        kind.name: {
            "Members": _members(kind.members),
            "OneToManyRelations": [f"{target} {name}" for name, target in kind.many.items()],
            "OneToOneRelations": [f"{target} {name}" for name, target in kind.one.items()],
            "VectorMembers": _members(kind.vectors),
        }
        for kind in DATA_TYPES
    }
    return json.dumps({"schema_version": SCHEMA_VERSION, "components": components, "datatypes": types})


_CPP = {
    "float32": "float", "float64": "double", "int32": "int32_t", "uint32": "uint32_t", "uint64": "uint64_t",
}  # fmt: skip


def _members(members: Mapping[str, Kind]) -> list[str]:
    return [f"{kind.name if isinstance(kind, Record) else _CPP[str(kind)]} {name}" for name, kind in members.items()]
