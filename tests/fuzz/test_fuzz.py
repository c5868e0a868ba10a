# SPDX-License-Identifier: BSD-3-Clause
"""Some mutants of each format in every run of the tests; ``run.py`` makes any number."""

from __future__ import annotations

import time

import pytest

from fuzz import targets
from fuzz.judging import judge, prepare
from fuzz.targets import TARGETS

_SECONDS = 1.0
_MOST = 60


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
def test_damaged_files_are_refused_cleanly_or_read_as_they_were(target, tmp_path, request, monkeypatch):
    if target.trained:
        monkeypatch.setattr(targets, "TRAINED", request.getfixturevalue("tiny_run"))
    path, whole, expected = prepare(target, tmp_path)
    # as many as there is time for, the first ones on any machine
    end = time.monotonic() + _SECONDS
    for seed in range(_MOST):
        if seed >= 3 and time.monotonic() > end:
            break
        verdict = judge(target, path, whole, expected, seed)
        assert verdict.kind in ("same", "refused", *(() if target.knows else ("other",))), f"mutant {seed}: {verdict}"
    assert target.read(path) == expected
