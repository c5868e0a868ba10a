# SPDX-License-Identifier: BSD-3-Clause
"""Kinds of configuration files: where their models are, and their JSON schemas.

Models are found by dotted names, and imported when they are asked for: each stands with what it configures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from inspect import isfunction
from typing import Any

from ..errors import ConfigError
from .validation import models_in, nearest


@dataclass(frozen=True)
class FileKind:
    """A kind of configuration file.

    Attributes
    ----------
    title : str
    summary : str
        What reads it, in Markdown.
    module, name : str
        Full dotted name of a module, and in it the name of a model, of a union of models, or of a function that
        returns such a union.
    """

    title: str
    summary: str
    module: str
    name: str

    @property
    def annotation(self) -> Any:
        """The model, or the union of models."""
        found = getattr(import_module(self.module), self.name)
        return found() if isfunction(found) else found

    @property
    def models(self) -> Iterator[type[Any]]:
        """The model, or those of the union."""
        return models_in(self.annotation)


KINDS = {
    "train": FileKind(
        "Training", "Read by `fastcalo train` and `fastcalo scaling`: [how to train](training.md), "
        "[in parallel](parallel.md).", "fastcalo.training.config", "train_file",
    ),
    "tune": FileKind(
        "Search for hyper-parameters", "Read by `fastcalo tune`: [how to search](tuning.md).",
        "fastcalo.training.tune.config", "TuneFile",
    ),
    "detector": FileKind(
        "Detector", "Read wherever a detector is named: [how to describe one](../detectors/detector.md).",
        "fastcalo.detector.tables", "DetectorFile",
    ),
    "particles-schema": FileKind(
        "Branches of particles",
        "Read by `fastcalo convert --schema`: [which files are understood](../hits/formats.md).",
        "fastcalo.io.particles.schema_file", "SchemaFile",
    ),
    "limits": FileKind(
        "Limits of a validation", "Read by `fastcalo validate --limits`: [how to compare](../models/validation.md).",
        "fastcalo.validation.limits", "LimitsFile",
    ),
    "compare-limits": FileKind(
        "Limits of a comparison of hits",
        "Read by `fastcalo compare --limits`: [how to compare](../hits/comparing.md).",
        "fastcalo.validation.hits.limits", "HitsLimitsFile",
    ),
}  # fmt: skip
"""All kinds, by the names that ``fastcalo schema`` takes."""


def json_schema(kind: str) -> dict[str, Any]:
    """JSON schema of a kind of configuration file, for editors.

    Raises
    ------
    ConfigError
        There is no such kind.
    """
    from pydantic import TypeAdapter

    if kind not in KINDS:
        raise ConfigError(f"there is no configuration file of the kind {kind!r}; {nearest(kind, KINDS)}")
    schema = TypeAdapter(KINDS[kind].annotation).json_schema(by_alias=True)
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"fastcalo: {KINDS[kind].title.lower()}",
    }
    return {**head, **{key: value for key, value in schema.items() if key != "title"}}
