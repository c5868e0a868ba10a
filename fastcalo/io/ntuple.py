# SPDX-License-Identifier: BSD-3-Clause
"""Fields of an RNTuple, read column by column.

uproot looks at all fields again for each that is asked for, and does not find fields whose names have dots in them.
Here the fields are looked at once, and of columns only those that are needed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError


class UnusualFieldError(InputError):
    """The field is of a kind that only uproot itself reads."""


class NtupleFields:
    """Names of the fields of an RNTuple, and their numbers.

    Parameters
    ----------
    ntuple : uproot.models.RNTuple.Model_ROOT_3a3a_RNTuple
    """

    def __init__(self, ntuple: Any) -> None:
        self._ntuple = ntuple
        self._records = ntuple.field_records

    @cached_property
    def paths(self) -> dict[str, int]:
        """Numbers of the fields by their names, with those of what they belong to before them and dots between."""
        from uproot.const import RNTupleFieldRole

        holders = (RNTupleFieldRole.COLLECTION, RNTupleFieldRole.VARIANT)
        # what is shown under another name by projection is not shown twice
        projected = {record.source_field_id for record in self._records}
        full: dict[int, str] = {}
        found: dict[str, int] = {}
        # what a field belongs to always comes before it
        for i, record in enumerate(self._records):
            parent = record.parent_field_id
            top = parent == i
            before = "" if top else full.get(parent, "")
            nameless = not top and (
                self._records[parent].struct_role in holders
                or re.fullmatch(r":_\d+", record.field_name) is not None
                or (self._records[parent].struct_role == RNTupleFieldRole.LEAF and record.field_name == "_0")
            )
            if nameless:
                full[i] = before
            else:
                full[i] = f"{before}.{record.field_name}" if before else record.field_name
                if i not in projected:
                    found.setdefault(full[i], i)
        return found

    def description(self, path: str) -> str:
        """What the file states of a field."""
        return str(self._records[self.paths[path]].field_desc)

    def bytes_of(self, path: str) -> float:
        """Bytes of a field in memory, offsets of lists included."""
        total = 0.0
        for field in self._columns_of(path):
            for cluster in self._ntuple.page_link_list:
                pages = cluster[field.idx].pages if field.idx < len(cluster) else []
                total += sum(page.num_elements for page in pages) * max(8, field.nbits) / 8
        return total

    def read(self, path: str, start: int, stop: int) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
        """Read numbers, or lists of numbers, of a range of entries.

        Returns
        -------
        values : number [n]
        counts : int64 [n_entries] or None
            How many of them each entry has; None where each has one.

        Raises
        ------
        UnusualFieldError
            It holds something else, or is kept in another way.
        """
        columns = self._columns_of(path)
        starts = np.array([cluster.num_first_entry for cluster in self._ntuple.cluster_summaries], np.int64)
        first = max(0, int(np.searchsorted(starts, start, side="right")) - 1)
        last = int(np.searchsorted(starts, stop, side="left"))
        if len(starts) == 0 or start >= stop:
            kind = self._ntuple.get_field_metadata(columns[-1].idx).dtype_result
            return np.empty(0, kind), None if len(columns) == 1 else np.empty(0, np.int64)
        begin, end = start - int(starts[first]), stop - int(starts[first])
        values = self._ntuple.read_cluster_range(columns[-1].idx, first, last)
        if len(columns) == 1:
            return values[begin:end], None
        offsets = self._ntuple.read_cluster_range(columns[0].idx, first, last).astype(np.int64)[begin : end + 1]
        return values[offsets[0] : offsets[-1]], np.diff(offsets)

    def _columns_of(self, path: str) -> Sequence[Any]:
        """Columns of the offsets, where it holds lists, and of the values."""
        from uproot.const import RNTupleFieldRole, rntuple_col_num_to_dtype_dict, rntuple_index_types

        field, collections = self.paths[path], []
        leaf = self._records[field]
        if leaf.struct_role != RNTupleFieldRole.LEAF:
            # a list of plain numbers: the numbers have no name
            inner = [i for i in self._children.get(field, ()) if not self._children.get(i)]
            if leaf.struct_role != RNTupleFieldRole.COLLECTION or len(inner) != 1:
                raise UnusualFieldError(path)
            collections, number = [field], inner[0]
            leaf = self._records[number]
        else:
            number = field
        at = self._records[field].parent_field_id
        while at != field:
            record = self._records[at]
            if record.struct_role == RNTupleFieldRole.COLLECTION:
                collections.append(at)
            elif record.struct_role != RNTupleFieldRole.RECORD:
                raise UnusualFieldError(path)
            field, at = at, record.parent_field_id
        optional = any(self._records[i].type_name.startswith("std::optional") for i in collections)
        if leaf.struct_role != RNTupleFieldRole.LEAF or leaf.repetition or len(collections) > 1 or optional:
            raise UnusualFieldError(path)
        columns = [self._column(i) for i in (*collections, number)]
        kind = rntuple_col_num_to_dtype_dict.get(columns[-1].type)
        if columns[-1].type in rntuple_index_types or kind in (None, "switch"):
            raise UnusualFieldError(path)
        return columns

    @cached_property
    def _children(self) -> dict[int, list[int]]:
        children: dict[int, list[int]] = {}
        for i, record in enumerate(self._records):
            if record.parent_field_id != i:
                children.setdefault(record.parent_field_id, []).append(i)
        return children

    @cached_property
    def _by_field(self) -> dict[int, list[Any]]:
        found: dict[int, list[Any]] = {}
        for record in self._ntuple.column_records:
            if record.repr_idx == 0:
                found.setdefault(record.field_id, []).append(record)
        return found

    def _column(self, field: int) -> Any:
        source = self._records[field].source_field_id
        columns = self._by_field.get(field if source is None else source, [])
        # columns that begin late belong to fields that were added while the file was written
        if len(columns) != 1 or columns[0].first_element_index:
            raise UnusualFieldError(self._records[field].field_name)
        return columns[0]
