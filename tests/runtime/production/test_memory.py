# SPDX-License-Identifier: BSD-3-Clause
"""Amounts of memory: read in one way, whatever the format of the file."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest
from helpers.files.root_files import plain, write_tree
from helpers.models.small_engine import make_engine

from fastcalo import convert, open_hits
from fastcalo.errors import ConfigError
from fastcalo.system.memory import bytes_of


@pytest.mark.parametrize(
    ("text", "size"),
    [("100 MB", 1e8), ("1.5GiB", 1.5 * 2**30), ("16 kB", 16e3), (".5 KiB", 512), ("20 B", 20), (" 2 TB ", 2e12)],
)
def test_units_are_those_of_the_si_unless_they_have_an_i(text, size):
    assert bytes_of(text, "memory") == size


@pytest.mark.parametrize("text", ["", "much", "5", "-1 MB", "0 MB", "1 Mb", "1 m", "1e3 MB", "1 iB", "1..5 MB"])
def test_what_is_none_is_refused(text):
    with pytest.raises(ConfigError, match=r"memory: .* is no amount of memory, such as '100 MB'"):
        bytes_of(text, "memory")


ARRAYS = """
import resource, sys
import numpy as np
from fastcalo.system.memory import keep_freed_memory
kept = keep_freed_memory() if sys.argv[1] == "keep" else False
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(30):
    arrays = [np.ones(1 << 20) for _ in range(8)]
    del arrays
print(int(kept), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how, **environment):
    """Whether freed memory is kept, and pages that the system had to clear for 30 times 8 arrays of 8 MiB."""
    environment = {k: v for k, v in os.environ.items() if "MALLOC" not in k and k != "GLIBC_TUNABLES"} | environment
    command = [sys.executable, "-c", ARRAYS, how]
    out = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    return tuple(map(int, out.split()))


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="needs the C library of GNU")
def test_kept_memory_is_not_cleared_again():
    kept, faults = page_faults("keep")
    assert kept
    assert page_faults("leave")[1] > 5 * faults


@pytest.mark.skipif(sys.platform != "linux", reason="environment variables of the C library of Linux")
def test_what_the_user_has_chosen_is_left_alone():
    assert page_faults("keep", MALLOC_TRIM_THRESHOLD_="100000")[0] == 0


@pytest.mark.parametrize("form", ["ttree", "rntuple", "parquet"])
def test_every_format_takes_them(tmp_path, form):
    convert(write_tree(tmp_path / "in.root", plain(40, seed=1)), tmp_path / "hits", make_engine(), format=form)
    with open_hits(tmp_path / "hits") as file:
        small, large = ([hits.n_events for hits in file.iterate(text)] for text in ("2 KiB", "1 GiB"))
        assert sum(small) == sum(large) == 40
        assert len(small) > len(large) == 1
        with pytest.raises(ConfigError, match="step_size: '2 mb' is no amount"):
            next(file.iterate("2 mb"))
        with pytest.raises(ConfigError, match="at least one event"):
            next(file.iterate(0))
