# SPDX-License-Identifier: BSD-3-Clause
"""Limits: what is kept, what is not, and how a file is refused."""

import pytest

from fastcalo.errors import ConfigError
from fastcalo.validation.estimates import Estimate
from fastcalo.validation.limits import check_limits, load_limits

NUMBERS = {
    "fpd": Estimate(0.30, 0.02, 0.20, 0.01),
    "recall": Estimate(0.75, 0.01, 0.80, 0.01),
    "response.ECAL.1-10": Estimate(-0.012, 0.002, 0.001, 0.002),
    "broken": Estimate(float("nan"), 0.0, 0.1, 0.0),
}


def limits(tmp_path, text):
    path = tmp_path / "limits.toml"
    path.write_text(text)
    return load_limits(path)


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("fpd = { max = 0.31 }", True),
        ("fpd = { max = 0.29 }", False),
        ("fpd = { max = 0.29, sigmas = 1 }", True),
        ("fpd = { min = 0.29 }", True),
        ("fpd = { min = 0.31 }", False),
        ("fpd = { max_over_floor = 1.6 }", True),
        ("fpd = { max_over_floor = 1.4 }", False),
        ("recall = { min_over_floor = 0.93 }", True),
        ("recall = { min_over_floor = 0.95 }", False),
        ('"response.ECAL.1-10" = { within = 0.013 }', True),
        ('"response.ECAL.1-10" = { within = 0.01 }', False),
        ('"response.ECAL.1-10" = { within = 0.01, sigmas = 2 }', True),
        ("broken = { max = 1e9 }", False),
        ("broken = { min = -1e9 }", False),
        ("broken = { within = 1e9 }", False),
    ],
)
def test_a_limit_is_kept_or_not(tmp_path, line, kept):
    (verdict,) = check_limits(limits(tmp_path, f"[limits]\n{line}\n"), NUMBERS, "limits.toml")
    assert verdict.kept is kept


def test_one_number_may_have_several_limits(tmp_path):
    both = limits(tmp_path, "[limits]\nfpd = { min = 0.1, max = 0.2 }\n")
    assert [v.kept for v in check_limits(both, NUMBERS, "x")] == [False, True]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "[limits]\nfpd = { maximum = 1 }",
            ["limits.toml: limits.fpd.maximum: unknown key; the nearest known one is 'max'"],
        ),
        ("[limits]\nfpd = 1", ["limits.fpd: must be a table, but is 1"]),
        ("[limits]\nfpd = { sigmas = 1 }", ["limits.fpd", "must be a table", "max_over_floor"]),
        ("[limits]\nfpd = { max = 'low' }", ["limits.fpd.max: must be a finite number, but is 'low'"]),
        ("[limits]\nfpd = { max = nan }", ["limits.fpd.max: must be a finite number"]),
        ("[limits]\nfpd = { max = 1, sigmas = -1 }", ["sigmas", "-1"]),
        ("[limits]\n", ["limits: must hold at least 1 value"]),
        ("limits = 3", ["limits: must be a table"]),
        ("", ["limits: missing"]),
        ("[limits]\nfpd = { max = 1 }\n[more]\nx = 1", ["more: unknown key; the nearest known one is 'limits'"]),
        ("[limits\n", ["not valid TOML"]),
    ],
)
def test_limits_that_make_no_sense_are_refused(tmp_path, text, words):
    with pytest.raises(ConfigError) as caught:
        limits(tmp_path, text)
    assert all(word in str(caught.value) for word in words)


def test_a_number_that_is_not_there_is_reported_with_the_nearest(tmp_path):
    wrong = limits(tmp_path, "[limits]\nrecal = { min = 0.5 }\n")
    with pytest.raises(ConfigError, match=r"my\.toml.*'recal'.*'recall'"):
        check_limits(wrong, NUMBERS, "my.toml")


def test_a_file_that_is_not_there_is_reported(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml"):
        load_limits(tmp_path / "none.toml")
