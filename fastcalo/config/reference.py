# SPDX-License-Identifier: BSD-3-Clause
"""Reference page of every key of every configuration file, written from the models.

``python -m fastcalo.config.reference > docs/training/configuration.md`` renews the page.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, get_origin

from .kinds import KINDS, FileKind
from .validation import models_in

_HEAD = """\
# Configuration

Every key of every configuration file. This page is written from the models that check the files, by
`python -m fastcalo.config.reference > docs/training/configuration.md`. Where no source is named, a key and its default
are of fastcalo's own making.

All values are checked when a file is read: an unknown key, a key that has no effect where it stands, a value of the
wrong type or out of range is refused with file, key and what to write instead. Whole numbers may stand for numbers.
Numbers are finite.

Editors complete and check keys by a JSON schema, `fastcalo schema train > train.schema.json`, and so on for
{kinds}.
With [Taplo](https://taplo.tamasfe.dev) or the extension Even Better TOML, name it in the first line of a file:
`#:schema ./train.schema.json`.
"""
_TYPES = {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text"}


class _Table(NamedTuple):
    """A table of a file: its heading, and the models of its variants."""

    heading: str
    models: list[type[Any]]


def reference_page() -> str:
    """The page, in Markdown."""
    names = [f"`{name}`" for name in KINDS if name != "train"]
    parts = [_HEAD.format(kinds=f"{', '.join(names[:-1])} and {names[-1]}")]
    parts += ["\n".join(_kind(kind)) for kind in KINDS.values()]
    return "\n".join(parts)


def _kind(kind: FileKind) -> Iterator[str]:
    yield from (f"## {kind.title}", "", kind.summary, "")
    for table in _tables(list(kind.models)):
        if table.heading:
            yield from (f"### {table.heading}", "")
        common = _common_keys(table.models)
        rows = [row for name, *row in _rows(table.models[0]) if name in common]
        if rows:
            yield from _as_table(rows)
        for model in table.models if len(table.models) > 1 else ():
            if own := [row for name, *row in _rows(model) if name not in common]:
                yield from (f"With {model.variant}:", "")
                yield from _as_table(own)


def _tables(root: list[type[Any]]) -> Iterator[_Table]:
    """All tables of a file, those within a table right after it."""
    waiting = [("", root, "")]
    while waiting:
        path, models, heading = waiting.pop(0)
        yield _Table(heading, models)
        below: dict[str, tuple[str, list[type[Any]], str]] = {}
        for model in models:
            for name, field in model.model_fields.items():
                key = f"{path}.{field.alias or name}".lstrip(".")
                if found := list(models_in(field.annotation)):
                    place, title = _heading(key, field.annotation)
                    known = below.setdefault(key, (place, [], title))[1]
                    known += [m for m in found if m not in known]
        waiting = [*below.values(), *waiting]


def _heading(key: str, annotation: Any) -> tuple[str, str]:
    """Path of a table, and how a file writes it."""
    if get_origin(annotation) is dict:
        return f"{key}.NAME", f"`[{key}.NAME]`"
    if get_origin(annotation) is tuple:
        return key, f"`[[{key}]]`"
    return key, f"`[{key}]`"


def _common_keys(models: Sequence[type[Any]]) -> set[str]:
    """Keys that are the same in all variants of a table."""
    first, *others = models
    return {
        name
        for name, field in first.model_fields.items()
        if all(name in m.model_fields and repr(m.model_fields[name]) == repr(field) for m in others)
    }


def _rows(model: type[Any]) -> Iterator[tuple[str, str, str, str, str, str, str]]:
    """Name, and columns, of each key of a table."""
    schema = model.model_json_schema(by_alias=True)
    for name, field in model.model_fields.items():
        key = field.alias or name
        about = schema["properties"][key]
        default = "required" if field.is_required() else _value(about.get("default", {}))
        yield name, f"`{key}`", _type(about), _range(about), about.get("unit", ""), default, _meaning(about)


def _meaning(about: dict[str, Any]) -> str:
    parts = [about.get("description", "").rstrip(".") + "."]
    if about.get("changes_result") is False:
        parts.append("Does not change the result.")
    if source := about.get("source"):
        parts.append(f"Source: {source}.")
    return " ".join(parts)


def _type(about: dict[str, Any]) -> str:
    if choices := about.get("enum", [about["const"]] if "const" in about else []):
        return " or ".join(_value(choice) for choice in choices)
    if "anyOf" in about or "oneOf" in about:
        kinds = [_type(part) for part in about.get("anyOf", about.get("oneOf", [])) if part.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    kind = about.get("type")
    if isinstance(kind, list):
        return ", ".join(_TYPES[part] for part in kind)
    if kind == "array":
        pair = about.get("prefixItems")
        return f"list of {len(pair)}: {_type(pair[0])}" if pair else f"list of: {_type(about['items'])}"
    return _TYPES.get(str(kind), "table")


def _range(about: dict[str, Any]) -> str:
    for part in about.get("anyOf", ()):
        if found := _range(part):
            return found
    if about.get("type") == "array":
        return _range(about["prefixItems"][0] if "prefixItems" in about else about["items"])
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return ", ".join(f"{sign} {_bound(about[name])}" for name, sign in signs.items() if name in about)


def _bound(number: float) -> str:
    return f"{int(number) if float(number).is_integer() else number:,}".replace(",", " ")


def _value(value: Any) -> str:
    if isinstance(value, dict) or value is None:
        return ""
    return f"`{json.dumps(value)}`"


def _as_table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    head = ("key", "type", "range", "unit", "default", "meaning")
    # columns in which nothing stands are left out
    kept = [i for i in range(len(head)) if i == 0 or any(row[i] for row in rows)]
    yield f"| {' | '.join(head[i] for i in kept)} |"
    yield f"|{'---|' * len(kept)}"
    for row in rows:
        yield f"| {' | '.join(row[i].replace('|', chr(92) + '|') for i in kept)} |"
    yield ""


if __name__ == "__main__":
    sys.stdout.write(reference_page())
