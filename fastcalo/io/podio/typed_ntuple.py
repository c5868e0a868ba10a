# SPDX-License-Identifier: BSD-3-Clause
"""RNTuples whose fields bear the names and versions of C++ classes, written by uproot.

uproot leaves the type name of every record, and of every list of records, empty. ROOT then refuses to read them as
objects of a class. Here uproot's two places where names and versions are decided are replaced while it writes the
header of an RNTuple; nothing else of it is touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ...errors import FastCaloError
from ..page_checksums import WRITER_LOCK, page_checksums
from .kinds import CLASS, Kind, ListOf, Pair, Record, form_of, versions_in


class TypedNtuple:
    """An RNTuple of named C++ types that grows cluster by cluster.

    Parameters
    ----------
    root : uproot.WritableDirectory
    name : str
    fields : mapping of str to Kind
    """

    def __init__(self, root: Any, name: str, fields: Mapping[str, Kind]) -> None:
        from awkward.forms import RecordForm

        self.fields = dict(fields)
        versions: dict[str, int] = {}
        for kind in self.fields.values():
            versions |= versions_in(kind)
        form = RecordForm([form_of(kind) for kind in self.fields.values()], list(self.fields))
        with WRITER_LOCK, _class_names(versions):
            self._ntuple = root.mkrntuple(name, form)
        header = self._ntuple._cascading._header  # noqa: SLF001
        written = {record.field_name: record.type_name for record in header._field_records}  # noqa: SLF001
        wanted = {field: type_name(kind) for field, kind in self.fields.items()}
        if wrong := [field for field in wanted if written.get(field) != wanted[field]]:
            raise FastCaloError(
                f"this version of uproot writes the type of {wrong[0]!r} as {written.get(wrong[0])!r} instead of "
                f"{wanted[wrong[0]]!r}, which podio does not read: install the version in constraints.txt"
            )

    def extend(self, contents: Mapping[str, Any]) -> None:
        """Write a cluster: awkward contents of equal length, by field."""
        import awkward as ak
        from awkward.contents import RecordArray

        with page_checksums(self._ntuple):
            self._ntuple.extend(ak.Array(RecordArray([contents[name] for name in self.fields], list(self.fields))))


def type_name(kind: Kind) -> str:
    """Name of the C++ type, as ROOT normalises it."""
    from uproot.writing import _cascadentuple as uproot_writer

    if isinstance(kind, Record):
        return kind.name
    if isinstance(kind, ListOf):
        return f"std::vector<{type_name(kind.item)}>"
    if isinstance(kind, Pair):
        return "std::tuple<std::string,std::string>"
    if kind == "text":
        return "std::string"
    return str(uproot_writer._ak_primitive_to_typename_dict[kind])  # noqa: SLF001


@contextmanager
def _class_names(versions: Mapping[str, int]) -> Iterator[None]:
    """Let uproot name the types of records after their parameter `CLASS`."""
    from awkward.forms import ListOffsetForm, RecordForm
    from uproot.writing import _cascadentuple as uproot_writer

    original, description = uproot_writer._cpp_typename, uproot_writer.NTuple_Field_Description  # noqa: SLF001

    def named(form: Any, subcall: bool = False) -> str:
        if isinstance(form, RecordForm) and CLASS in form.parameters:
            return str(form.parameters[CLASS])
        if isinstance(form, ListOffsetForm) and form.parameters.get("__array__") != "string":
            return f"std::vector<{named(form.content, subcall=True)}>"
        return str(original(form, subcall))

    class Versioned(description):  # type: ignore[misc, valid-type]
        def __init__(self, parent: Any, role: Any, name: str, kind: str, **more: Any) -> None:
            super().__init__(parent, role, name, kind, **{"type_version": versions.get(kind, 0), **more})

    uproot_writer._cpp_typename, uproot_writer.NTuple_Field_Description = named, Versioned  # noqa: SLF001
    try:
        yield
    finally:
        uproot_writer._cpp_typename, uproot_writer.NTuple_Field_Description = original, description  # noqa: SLF001
