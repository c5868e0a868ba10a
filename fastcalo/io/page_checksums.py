# SPDX-License-Identifier: BSD-3-Clause
"""Checksums behind the pages of RNTuples that uproot writes.

uproot writes none. The format allows that, but ROOT merges pages with checksums only, and its hadd ends with a fatal
error at others. They also show damage. Each is XXH3 (64 bits) of the page as it is in the file, and stands behind it;
the count of its elements in the page list is negative then (ROOT's specification of the format, "Page Locations").
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# uproot's module is one for all threads
WRITER_LOCK = threading.RLock()
"""Held while anything in uproot's writer of RNTuples is replaced."""


@contextmanager
def page_checksums(ntuple: Any) -> Iterator[None]:
    """Have a writable RNTuple of uproot write checksums of pages while the block runs.

    Parameters
    ----------
    ntuple : uproot.writing.WritableNTuple
    """
    from uproot.writing import _cascadentuple as uproot_writer
    from xxhash import xxh3_64_intdigest

    cascading = ntuple._cascading  # noqa: SLF001
    without, description = cascading.add_rblob, uproot_writer.NTuple_PageDescription

    def with_checksum(sink: Any, data: Any, size: int) -> Any:
        # of the page list and the footer, which are written in the same way, these bytes are not read
        return without(sink, b"".join([data, struct.pack("<Q", xxh3_64_intdigest(data))]), size)

    def checked(elements: int, locator: Any) -> Any:
        return description(-elements, locator)

    with WRITER_LOCK:
        cascading.add_rblob, uproot_writer.NTuple_PageDescription = with_checksum, checked
        try:
            yield
        finally:
            uproot_writer.NTuple_PageDescription = description
            del cascading.add_rblob
