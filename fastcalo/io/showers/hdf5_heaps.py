# SPDX-License-Identifier: BSD-3-Clause
"""A look at the global heaps of an HDF5 file, in which it keeps texts, before the HDF5 library reads them.

The library walks over the objects of a heap by their sizes, and goes round for ever where one has been damaged to be
none. Layout: "HDF5 File Format Specification Version 3.0", section III.E, "Global Heap".
"""

from __future__ import annotations

import mmap
import struct
from functools import cache
from pathlib import Path

from ...errors import InputError

_SIGNATURE = b"GCOL\x01\x00\x00\x00"
_HEADER, _OBJECT = struct.Struct("<8sQ"), struct.Struct("<HHIQ")
_SUPERBLOCK = b"\x89HDF\r\n\x1a\n"
_LONG = 8
_SCANNED = 1 << 28
"""Bytes at either end of a file that are looked through: heaps of a writer's attributes stand there."""


def check_heaps(path: Path) -> None:
    """Refuse a file that has a heap whose objects do not fill it.

    Raises
    ------
    InputError
    """
    stat = path.stat()
    if stat.st_size >= _HEADER.size:
        _check(path.resolve(), stat.st_size, stat.st_mtime_ns)


@cache
def _check(path: Path, size: int, changed_ns: int) -> None:
    """Look through a file once, as long as it does not change."""
    del changed_ns
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as image:
        if not _lengths_are_long(image):
            return
        for start, stop in ((0, min(size, _SCANNED)), (max(_SCANNED, size - _SCANNED), size)):
            at = image.find(_SIGNATURE, start, stop)
            while at >= 0:
                if not _is_sound(image, at):
                    raise InputError(f"{path}: the heap of texts at byte {at} is damaged")
                at = image.find(_SIGNATURE, at + 1, stop)


def _lengths_are_long(image: mmap.mmap) -> bool:
    """Whether the file writes lengths in eight bytes, as nearly all do."""
    if image[:8] != _SUPERBLOCK:
        return False
    place = 14 if image[8] < 2 else 10
    return image[place] == _LONG


def _is_sound(image: mmap.mmap, at: int) -> bool:
    if at + _HEADER.size > len(image):
        return False
    size = _HEADER.unpack_from(image, at)[1]
    end, place = at + size, at + _HEADER.size
    if size < _HEADER.size or end > len(image):
        return False
    # what is too short for an object's head at the end is free
    while place + _OBJECT.size <= end:
        index, _, _, length = _OBJECT.unpack_from(image, place)
        # an object without a number is the free space, whose size stands in its head
        taken = length if index == 0 else _OBJECT.size + -(-length // 8) * 8
        if not _OBJECT.size <= taken <= end - place:
            return False
        place += taken
    return True
