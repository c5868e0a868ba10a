# SPDX-License-Identifier: BSD-3-Clause
"""Checking of tables against models, with errors that give file, key and remedy.

Every file that is written by a user (TOML), and the contract in a model file, comes through `validate`.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import getitem
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from ..errors import ConfigError, FastCaloError

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

    _M = TypeVar("_M", bound=BaseModel)

_MOST_SHOWN = 3
_LONGEST = 80


class WrongValue(ValueError):
    """Raised by a model's own checks: a value that pydantic cannot refuse by its type or bounds.

    Parameters
    ----------
    problem : str
    *key : str or int
        Path of the key below the model that checks it.
    """

    def __init__(self, problem: str, *key: str | int) -> None:
        super().__init__(problem)
        self.problem, self.key = problem, key


def validate(
    model: type[_M], table: object, where: str, error: type[FastCaloError] = ConfigError, word: str = ""
) -> _M:
    """Make a model of a table as `tomllib` or `json` gives it.

    Parameters
    ----------
    model : type of Model
    table : object
        Anything that is not a table is refused.
    where : str
        The file, for messages.
    error : type of FastCaloError
        What is raised.
    word : str
        What a key is called in messages, where it is not one of a TOML file.

    Raises
    ------
    FastCaloError
        A key is missing, unknown or has a value that cannot be; the message gives file, key and remedy.
    """
    from pydantic import ValidationError

    try:
        return model.model_validate(table)
    except ValidationError as problem:
        raise config_error(problem, model, table, where, error, word) from None


def validate_recorded(model: type[_M], table: Any, where: str, error: type[FastCaloError] = ConfigError) -> _M:
    """As `validate`, for a table that fastcalo wrote itself, perhaps in an earlier version.

    Earlier versions wrote the keys of all variants of a table (of every architecture, stage and strategy). Those of
    other variants had no effect, and are passed over.
    """
    from pydantic import ValidationError

    try:
        return model.model_validate(table)
    except ValidationError as problem:
        table = copy.deepcopy(table)
        for item in problem.errors(include_url=False, include_context=False):
            place = _resolve(model, table, item["loc"])
            if item["type"] == "extra_forbidden" and _other_variants(place.holders, str(place.keys[-1])):
                del reduce(getitem, place.keys[:-1], table)[place.keys[-1]]
        return validate(model, table, where, error)


def choose_variant(
    variants: Mapping[str, type[_M]], tag: str, table: object, where: str, error: type[FastCaloError] = ConfigError
) -> type[_M]:
    """Return the model of a whole file that comes in variants.

    Parameters
    ----------
    variants : mapping of str to type of Model
    tag : str
        The key that chooses one.
    table, where, error
        As for `validate`.

    Raises
    ------
    FastCaloError
        The key is missing, or has another value.
    """
    if not isinstance(table, Mapping):
        raise error(f"{where}: must be a table, but is {shown(table)}")
    if tag not in table:
        raise error(f"{where}: {tag}: missing; choose one of {', '.join(map(repr, variants))}")
    value = table[tag]
    if not isinstance(value, str) or value not in variants:
        raise error(f"{where}: {tag}: {_not_one_of(value, list(variants))}")
    return variants[value]


def config_error(
    problem: ValidationError,
    model: type[BaseModel],
    table: object,
    where: str,
    error: type[FastCaloError] = ConfigError,
    word: str = "",
) -> FastCaloError:
    """Turn what pydantic found into an error of fastcalo: ``where: key: problem | key: problem``, in one line."""
    items = [item for item in problem.errors(include_url=False) if not _follows(item)]
    # a misspelt key is reported before the key that it leaves missing
    items.sort(key=lambda item: item["type"] != "extra_forbidden")
    problems = []
    for key, text in dict.fromkeys(_explain(item, model, table) for item in items):
        name = f"{word} {key!r}" if word and key else key
        problems.append(": ".join(part for part in (name, text) if part))
    if len(problems) > _MOST_SHOWN:
        problems = [*problems[:_MOST_SHOWN], f"and {len(problems) - _MOST_SHOWN} more"]
    return error(": ".join(part for part in (where, " | ".join(problems)) if part))


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the one of the known names that is most like `name`, as the end of a message.

    Examples
    --------
    >>> nearest("trails", ["name", "trials"])
    "the nearest known one is 'trials'"
    """
    by_lower = {other.lower(): other for other in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.0)
    return f"the nearest known one is {by_lower[near[0]]!r}" if near else "there is none"


def shown(value: object) -> str:
    """A value in a message: on one line, not too long, and without control characters."""
    if isinstance(value, int) and value.bit_length() > 200:
        return f"a whole number of {value.bit_length()} bits"
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits somewhere in it, or a list a thousand deep
        return f"a {type(value).__name__}"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def dotted(path: Sequence[str | int]) -> str:
    """A path as messages write it: ``stage.hits.betas[0]``."""
    out = ""
    for part in path:
        if isinstance(part, int):
            out += f"[{part}]"
        else:
            plain = part if part.isprintable() and len(part) <= _LONGEST and "." not in part else shown(part)
            out += f".{plain}" if out else plain
    return out


# --- from pydantic's errors to messages


def _follows(item: Any) -> bool:
    """Whether this only follows from another error: what is wrong in a list does not count as one of its values."""
    return bool(item["type"] == "too_short" and len(item["input"]) >= item["ctx"]["min_length"])


def _explain(item: Any, model: type[BaseModel], table: object) -> tuple[str, str]:
    """Key and problem of one of pydantic's errors."""
    kind, loc, context, value = item["type"], item["loc"], item.get("ctx", {}), item["input"]
    if kind == "value_error" and isinstance(context["error"], WrongValue):
        found = context["error"]
        return dotted(_resolve(model, table, (*loc, *found.key)).path), found.problem
    place = _resolve(model, table, loc)
    if kind == "extra_forbidden":
        return dotted(place.path), _unknown(str(loc[-1]), place.holders)
    if kind == "missing":
        if isinstance(loc[-1], int):
            return dotted(place.path[:-1]), f"must hold more values, but is {shown(value)}"
        return dotted(place.path), "missing"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _explain_tag(place, value)
    problem = _PROBLEMS.get(kind)
    return dotted(place.path), problem(context, value) if problem else f"{item['msg']}, but is {shown(value)}"


def _explain_tag(place: _Place, value: Any) -> tuple[str, str]:
    """Of a table that comes in variants, where nothing or something else chooses one."""
    if not isinstance(value, Mapping):
        return dotted(place.path), f"must be a table, but is {shown(value)}"
    tag = place.models[0].tag
    known = [str(choice) for model in place.models for choice in _choices(model)]
    if tag not in value:
        return dotted([*place.path, tag]), f"missing; choose one of {', '.join(map(repr, known))}"
    # the place is known by its number: its name is what is wrong
    return dotted([*place.path[:-1], *place.keys[-1:], tag]), _not_one_of(value[tag], known)


def _not_one_of(value: object, known: Sequence[str]) -> str:
    hint = f"; {nearest(value, known)}" if isinstance(value, str) and value else ""
    return f"must be one of {', '.join(map(repr, known))}, but is {shown(value)}{hint}"


def _unknown(key: str, models: Sequence[type[Any]]) -> str:
    """The message about a key that a table does not have."""
    known = [name for model in models for name in keys_of(model)]
    if others := _other_variants(models, key):
        here = " or ".join(dict.fromkeys(model.variant for model in models))
        there = " or ".join(dict.fromkeys(other.variant for other in others))
        return f"is for {there} only, and has no effect with {here}; leave it out"
    return f"unknown key; {nearest(key, known)}"


def _number_problem(word: str, key: str) -> Callable[[Any, object], str]:
    def problem(context: Any, value: object) -> str:
        bound = context[key]
        bound = int(bound) if isinstance(bound, float) and bound.is_integer() and abs(bound) < 1e9 else bound
        return f"must be {word} {bound}, but is {shown(value)}"

    return problem


def _type_problem(what: str) -> Callable[[Any, object], str]:
    return lambda _, value: f"must be {what}, but is {shown(value)}"


def _length_problem(context: Any, value: object) -> str:
    if "min_length" in context:
        return f"must hold at least {context['min_length']} value, but is {shown(value)}"
    return f"must hold {context['max_length']} values, but is {shown(value)}"


_PROBLEMS: dict[str, Callable[[Any, object], str]] = {
    "int_type": _type_problem("a whole number"),
    "float_type": _type_problem("a finite number"),
    "finite_number": _type_problem("a finite number"),
    "bool_type": _type_problem("true or false"),
    "string_type": _type_problem("a text"),
    "string_too_short": _type_problem("a text that is not empty"),
    "string_unicode": _type_problem("a text of Unicode characters"),
    "tuple_type": _type_problem("a list"),
    "list_type": _type_problem("a list"),
    "dict_type": _type_problem("a table"),
    "model_type": _type_problem("a table"),
    "model_attributes_type": _type_problem("a table"),
    "greater_than": _number_problem("greater than", "gt"),
    "greater_than_equal": _number_problem("at least", "ge"),
    "less_than": _number_problem("less than", "lt"),
    "less_than_equal": _number_problem("at most", "le"),
    "too_short": _length_problem,
    "too_long": _length_problem,
    "literal_error": lambda context, value: _not_one_of(value, _quoted(context["expected"])),
}


def _quoted(expected: str) -> list[str]:
    """Choices of pydantic's list of them, such as ``'a', 'b' or 'c'``."""
    return [part.strip("'") for part in expected.replace(" or ", ", ").split(", ")]


# --- from pydantic's paths to places in tables and models


@dataclass(frozen=True)
class _Place:
    """Where a path of pydantic's leads.

    Attributes
    ----------
    path : list of str or int
        As a user writes it: tables of a list go by their names, where they have one.
    keys : list of str or int
        The same as keys and numbers.
    models : list of type
        What may stand there, where that is a table.
    holders : list of type
        The models of which the last part of the path is a key.
    """

    path: list[str | int]
    keys: list[str | int]
    models: list[type[Any]]
    holders: list[type[Any]]


def _resolve(model: type[BaseModel], table: Any, loc: Sequence[str | int]) -> _Place:
    models: list[type[Any]] = [model]
    holders = models
    path: list[str | int] = []
    keys = path
    for part in loc:
        if isinstance(part, int):
            table = table[part] if isinstance(table, Sequence) and part < len(table) else None
            name = table.get("name") if isinstance(table, Mapping) else getattr(table, "name", None)
            path, keys = [*path, name if isinstance(name, str) and name else part], [*keys, part]
        elif chosen := [m for m in models if holders is not models and m.tag and part in _choices(m)]:
            # pydantic's note of the variant that it has chosen
            models = holders = chosen
        else:
            holders = models
            fields = [f for m in models for name, f in m.model_fields.items() if part in (name, f.alias)]
            models = [found for field in fields for found in models_in(field.annotation)] if fields else models
            table = table.get(part) if isinstance(table, Mapping) else getattr(table, part, None)
            path, keys = [*path, part], [*keys, part]
    return _Place(path, keys, models, holders)


def keys_of(model: type[BaseModel]) -> list[str]:
    """Keys of a table, as a file writes them."""
    return [field.alias or name for name, field in model.model_fields.items()]


def models_in(annotation: Any) -> Iterator[type[Any]]:
    """Models of which a type is made up."""
    from pydantic import BaseModel

    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    else:
        for part in get_args(annotation):
            yield from models_in(part)


def _choices(model: type[Any]) -> tuple[Any, ...]:
    """Values of the key that chooses this variant of a table."""
    field = model.model_fields.get(model.tag)
    return get_args(field.annotation) if field else ()


def _other_variants(models: Sequence[type[Any]], key: str) -> list[type[Any]]:
    """Variants of the same table that do have a key."""
    families = {base for model in models for base in model.__mro__ if vars(base).get("tag")}
    found = {variant for base in families for variant in _below(base) if variant.variant and key in keys_of(variant)}
    return sorted(found, key=lambda variant: str(variant.variant))


def _below(base: type[Any]) -> Iterator[type[Any]]:
    for sub in base.__subclasses__():
        yield sub
        yield from _below(sub)
