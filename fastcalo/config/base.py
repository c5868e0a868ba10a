# SPDX-License-Identifier: BSD-3-Clause
"""Base of every model of a configuration file: strict types, no unknown keys, and keys that describe themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, TypeVar

from annotated_types import Len
from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationError
from pydantic.fields import FieldInfo

from ..errors import ConfigError
from .validation import config_error

_T = TypeVar("_T")

Several = Annotated[tuple[_T, ...], Strict(False)]
"""A list in a file, a tuple in Python; it may be empty."""

AtLeastOne = Annotated[tuple[_T, ...], Strict(False), Len(1)]
"""As `Several`, but not empty."""

Pair = Annotated[tuple[_T, _T], Strict(False)]
"""A list of two in a file, a tuple in Python."""


if TYPE_CHECKING:
    _Base = BaseModel
else:

    class _ConfigErrors(type(BaseModel)):
        """Metaclass that turns pydantic's errors into `ConfigError` when a model is constructed in Python.

        Not by an ``__init__`` of the models: pydantic would then call it for every table within a file, too, and lose
        which key it stands at.
        """

        def __call__(cls, *args, **values):
            try:
                return super().__call__(*args, **values)
            except ValidationError as error:
                raise config_error(error, cls, values, cls.__name__) from None

    class _Base(BaseModel, metaclass=_ConfigErrors):
        """Base that raises errors of fastcalo."""


class Model(_Base):
    """A table of a configuration file.

    Values have exactly the type that is asked for (a whole number may stand for a float), are finite, and no key is
    left over. Instances cannot be changed; `updated` makes a changed copy.

    Attributes
    ----------
    variant : str
        Of a table that comes in several variants: where this one is found, for messages and documents, such as
        ``arch = "hits"``. The variants of one table derive from a class that sets `tag`.
    tag : str
        Of a table that comes in several variants: the key that chooses one.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    variant: ClassVar[str] = ""
    tag: ClassVar[str] = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, in the shape of the file."""
        return self.model_dump(by_alias=True)

    def updated(self, where: str = "", /, **changes: Any) -> Self:
        """Return a copy with other values for some of the keys, checked as those of a file are.

        Parameters
        ----------
        where : str
            What a message begins with; the name of the class if empty.
        **changes
            Values by their keys.

        Raises
        ------
        ConfigError
            A key is unknown, or a value is refused.
        """
        values = {name: getattr(self, name) for name in type(self).model_fields} | changes
        try:
            return self.model_validate(values)
        except ValidationError as error:
            raise config_error(error, type(self), values, where or type(self).__name__, ConfigError) from None


def about(
    description: str,
    *,
    unit: str = "",
    source: str = "",
    stages: Sequence[str] = (),
    changes_result: bool = True,
    **limits: Any,
) -> FieldInfo:
    """Describe a key, for messages, documents and editors.

    Parameters
    ----------
    description : str
        What it is; a phrase without a full stop at its end.
    unit : str
    source : str
        Where the quantity, or its default, comes from.
    stages : sequence of str
        Stages of a training in which it has an effect; all if empty.
    changes_result : bool
        Whether what comes out depends on it, or only how, where and how fast it is made.
    **limits
        Bounds, as `pydantic.Field` takes them: `ge`, `gt`, `le`, `lt`, `min_length`, `pattern`.
    """
    extra: dict[str, Any] = {
        key: value for key, value in (("unit", unit), ("source", source), ("stages", list(stages))) if value
    }
    if not changes_result:
        extra["changes_result"] = False
    return Field(description=description, json_schema_extra=extra or None, **limits)  # type: ignore[no-any-return]
