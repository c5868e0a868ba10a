# SPDX-License-Identifier: BSD-3-Clause
"""Heaps of texts in HDF5 files: whole ones are taken, and those that would keep the library busy for ever refused."""

import struct

import pytest
from helpers.files.shower_files import HADRONS, SAMPLE, write_sparse

from fastcalo.errors import InputError
from fastcalo.io.showers.hdf5_heaps import check_heaps
from fastcalo.io.showers.reader import open_showers

SIGNATURE = b"GCOL\x01\x00\x00\x00"


@pytest.mark.parametrize("path", [SAMPLE, HADRONS], ids=lambda p: p.stem)
def test_whole_files_are_taken(path):
    check_heaps(path)


@pytest.mark.parametrize(
    ("place", "damage"),
    [
        (16, struct.pack("<HHIQ", 0, 0, 0, 0)),
        (16, struct.pack("<HHIQ", 1, 1, 0, 2**63)),
        (8, struct.pack("<Q", 2**40)),
        (8, struct.pack("<Q", 3)),
    ],
    ids=["object of no size", "object beyond the end", "heap beyond the file", "heap of no size"],
)
def test_a_damaged_heap_is_refused(tmp_path, place, damage):
    path = write_sparse(tmp_path / "showers.h5", 5)
    image = bytearray(path.read_bytes())
    at = image.index(SIGNATURE) + place
    image[at : at + len(damage)] = damage
    path.write_bytes(image)
    with pytest.raises(InputError, match=r"showers\.h5: the heap of texts at byte \d+ is damaged"):
        open_showers(path)


def test_a_file_that_is_no_hdf5_is_left_to_the_library(tmp_path):
    for k, content in enumerate((b"", b"short", b"x" * 100)):
        path = tmp_path / f"{k}.h5"
        path.write_bytes(content)
        check_heaps(path)
