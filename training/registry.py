# SPDX-License-Identifier: BSD-3-Clause
"""Registry of architectures: name, and where its networks and its export are defined.

An architecture is added by its folder in ``training/architectures``, its folder in ``export``, its keys in
``training/config`` and one entry here.
Modules are named, not imported, so that a configuration is checked without torch, and training without onnx.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class ArchitectureEntry:
    """One architecture.

    Attributes
    ----------
    name : str
        The value of ``arch`` in the TOML of a training.
    networks : str
        ``module:class`` of what implements `fastcalo.training.architectures.base.Architecture`.
    exportable : str
        ``module:class`` of what implements `fastcalo.export.exportable.Exportable` for these networks.
    """

    name: str
    networks: str
    exportable: str


ARCHITECTURES = {
    entry.name: entry
    for entry in (
        ArchitectureEntry(
            name="hits",
            networks="fastcalo.training.architectures.hits.gan:HitGan",
            exportable="fastcalo.export.hits.exportable:ExportableHitGan",
        ),
        ArchitectureEntry(
            name="showers",
            networks="fastcalo.training.architectures.showers.gan:ShowerGan",
            exportable="fastcalo.export.showers.exportable:ExportableShowerGan",
        ),
        ArchitectureEntry(
            name="3dgan",
            networks="fastcalo.training.architectures.dense_gan.gan:DenseGan",
            exportable="fastcalo.export.dense_gan:ExportableDenseGan",
        ),
    )
}
"""All architectures by their names."""


EXPORTER = "fastcalo.export.exporter:export_unchecked"
"""Writes the models that a search evaluates. The export is built on training; so its function is named here, and the
command that starts a search hands it in."""


def load_object(reference: str) -> Any:
    """Import what a ``module:name`` refers to."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)


def entry_of(networks: object) -> ArchitectureEntry | None:
    """The entry of an object's class, or of one that it derives from; None if there is none."""
    classes = {f"{c.__module__}:{c.__qualname__}" for c in type(networks).__mro__}
    return next((entry for entry in ARCHITECTURES.values() if entry.networks in classes), None)
