# SPDX-License-Identifier: BSD-3-Clause
"""A small search: its configuration, and spaces to draw from."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st

from fastcalo.training.tune.space import Choice, Dimension, Integer, Real, Space

BASE = """
name = "small"
arch = "hits"
species = [11, 22]

[data]
train = ["a.h5"]

[[stage]]
name = "layers"
steps = 10

[[stage]]
name = "hits"
steps = 20
betas = [0.5, 0.9]
"""
TUNE = """
name = "em"
base = "base.toml"
trials = 20
initial = 4
optimiser = "random"

[space]
"stage.hits.learning_rate" = { low = 1e-4, high = 1e-2, log = true }
"network.hit_width" = { low = 64, high = 256, integer = true }
"stage.hits.batch" = { choices = [32, 64, 128] }

[[start]]
"network.hit_width" = 100
"""


def write_search(folder: Path, text: str = TUNE, base: str = BASE) -> Path:
    """The TOML file of a search, beside that of its training."""
    (folder / "base.toml").write_text(base)
    path = folder / "tune.toml"
    path.write_text(text)
    return path


@st.composite
def dimensions(draw: st.DrawFn, key: str = "a") -> Dimension:
    """Any dimension."""
    kind = draw(st.sampled_from(["real", "log", "integer", "log integer", "numbers", "texts", "truth"]))
    if kind in ("real", "log"):
        least, most = (1e-12, 1e12) if kind == "log" else (-1e12, 1e12)
        low, high = sorted(draw(st.lists(st.floats(least, most), min_size=2, max_size=2, unique=True)))
        return Real(key, low, high, kind == "log")
    if "integer" in kind:
        log = kind == "log integer"
        low = draw(st.integers(1 if log else -1000, 1000))
        return Integer(key, low, low + draw(st.integers(1, 5000)), log)
    if kind == "numbers":
        return Choice(key, tuple(sorted(draw(st.sets(st.integers(-99, 99), min_size=2, max_size=6)))))
    if kind == "texts":
        return Choice(key, tuple(draw(st.lists(st.text(max_size=3), min_size=2, max_size=6, unique=True))))
    return Choice(key, (True, False))


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """Any space of up to four dimensions."""
    return Space(tuple(draw(dimensions(key)) for key in "abcd"[: draw(st.integers(1, 4))]))
