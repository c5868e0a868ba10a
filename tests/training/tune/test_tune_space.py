# SPDX-License-Identifier: BSD-3-Clause
"""Spaces: into the unit cube and back, and what is refused."""

import json
import math

import numpy as np
import pytest
from helpers.trainings.small_search import dimensions, spaces
from hypothesis import given
from hypothesis import strategies as st

from fastcalo.errors import ConfigError
from fastcalo.training.tune.space import Integer, Real, Space, read_space


def cubes(space, count):
    return st.lists(st.lists(st.floats(0, 1), min_size=len(space), max_size=len(space)), min_size=count, max_size=count)


@given(spaces(), st.data())
def test_whatever_stands_in_the_cube_is_a_point_of_the_space_in_plain_types(space, data):
    unit_ND = np.array(data.draw(cubes(space, 3)))
    points = space.points(unit_ND)
    for point in points:
        assert json.loads(json.dumps(point)) == point
        assert all(type(v) in (int, float, str, bool) for v in point.values())
        for d in space.dimensions:
            assert d.holds(point[d.key])
            assert d.plain(point[d.key]) == point[d.key]


@given(dimensions(), st.data())
def test_values_come_back_from_the_cube(dimension, data):
    space = Space((dimension,))
    if isinstance(dimension, Real):
        value = data.draw(st.floats(dimension.low, dimension.high))
    elif isinstance(dimension, Integer):
        value = data.draw(st.integers(dimension.low, dimension.high))
    else:
        value = data.draw(st.sampled_from(dimension.choices))
    unit_ND = space.units([{"a": value}])
    assert unit_ND.shape == (1, 1)
    assert 0 <= unit_ND.min() <= unit_ND.max() <= 1
    back = space.points(unit_ND)[0]["a"]
    if isinstance(dimension, Real):
        scale = value if dimension.log else dimension.high - dimension.low
        assert back == pytest.approx(value, rel=1e-12, abs=1e-10 * scale)
    else:
        assert back == value
        assert type(back) is type(value)


@given(spaces(), st.data())
def test_a_snapped_point_stays(space, data):
    snapped_ND = space.snap(np.array(data.draw(cubes(space, 4))))
    again_ND = space.snap(snapped_ND)
    np.testing.assert_allclose(again_ND, snapped_ND, atol=1e-9)
    steps = ~np.array(space.real)
    np.testing.assert_array_equal(again_ND[:, steps], snapped_ND[:, steps])


@given(dimensions(), st.floats(0, 1), st.floats(0, 1))
def test_values_rise_with_their_coordinates(dimension, first, second):
    values = dimension.values(np.sort([first, second]))
    if not isinstance(values[0], str | bool):
        assert values[0] <= values[1]


@given(dimensions())
def test_the_ends_of_the_cube_are_the_ends_of_the_dimension(dimension):
    values = dimension.values(np.array([0.0, 1.0]))
    choices = getattr(dimension, "choices", None)
    assert values == ([choices[0], choices[-1]] if choices else [dimension.low, dimension.high])


def test_a_logarithm_has_its_middle_at_the_root():
    assert Real("a", 1e-4, 1e-2, log=True).values(np.array([0.5])) == [pytest.approx(1e-3)]
    assert Integer("a", 1, 10_000, log=True).values(np.array([0.5]))[0] == pytest.approx(71, abs=1)
    assert Real("a", -1.0, 3.0).values(np.array([0.5])) == [1.0]
    # each whole number owns as much of the interval as any other
    counts = np.bincount(Integer("a", 0, 4).values((np.arange(1000) + 0.5) / 1000))
    assert list(counts) == [200] * 5


def test_texts_are_all_alike_and_numbers_are_not():
    space = read_space({"a": {"choices": ["x", "y", "z"]}, "b": {"choices": [32, 128, 64]}}, "here")
    assert [p["b"] for p in space.points(np.array([[0.0, 0.0], [0.0, 0.5], [0.0, 1.0]]))] == [32, 64, 128]
    at = space.features(space.units([{"a": a, "b": 32} for a in "xyz"]))
    assert at.shape == (3, 4)
    apart = np.linalg.norm(at[:, None] - at[None], axis=-1)
    np.testing.assert_allclose(apart, 1 - np.eye(3))


def test_the_grid_holds_every_point_once():
    table = {"a": {"low": 1, "high": 5, "integer": True, "log": True}, "b": {"choices": [True, False]}}
    space = read_space(table, "here")
    points = space.points(space.grid())
    assert {space.identity(p) for p in points} == {(a, b) for a in range(1, 6) for b in (True, False)}
    assert len(points) == space.size == 10
    assert read_space({"a": {"low": 0, "high": 1}}, "here").size == math.inf


@given(spaces())
def test_a_space_survives_its_table(space):
    assert read_space(json.loads(json.dumps(space.as_table())), "here") == space


WRONG = [
    ({}, "space: must hold at least 1 value"),
    (3, "space: must be a table"),
    ({"a": 3}, r"space\.a: must be a table"),
    ({"a": {"low": 1}}, "space.a.high: missing"),
    ({"a": {"low": 1, "hihg": 2}}, "space.a.(high: missing|hihg: unknown key)"),
    ({"a": {"choice": [1, 2]}}, "space.a.(low: missing|choice: unknown key)"),
    ({"a": {"low": "1", "high": 2}}, "space.a.low: must be a finite number"),
    ({"a": {"low": math.nan, "high": 2}}, "space.a.low: must be a finite number"),
    ({"a": {"low": 2, "high": 1}}, "low = 2.0 is above high = 1.0"),
    ({"a": {"low": 1, "high": 1}}, r"space\.a: can only be 1.0; give it to the training's configuration"),
    ({"a": {"low": 0, "high": 1, "log": True}}, "low must be positive, but is 0.0"),
    ({"a": {"low": 0.5, "high": 2, "integer": True}}, "must be whole numbers, not 0.5 and 2.0"),
    ({"a": {"low": 0, "high": 2, "integer": 1}}, "space.a.integer: must be true or false"),
    ({"a": {"choices": []}}, "space.a.choices: must all be finite numbers"),
    ({"a": {"choices": 3}}, "space.a.choices: must be a list"),
    ({"a": {"choices": [3]}}, r"space\.a.choices: can only be 3"),
    ({"a": {"choices": [1, 2, 1]}}, "a choice stands there twice"),
    ({"a": {"choices": [1, "x"]}}, "must all be finite numbers, all texts, or true and false"),
    ({"a": {"choices": [1, True]}}, "must all be finite numbers"),
    ({"a": {"choices": [1.0, math.inf]}}, "must all be finite numbers"),
    ({"a": {"choices": [[1], [2]]}}, "must all be finite numbers"),
    ({"a": {"choices": [1, 2], "low": 1}}, "has choices, and bounds besides"),
]


@pytest.mark.parametrize(("table", "reported"), WRONG, ids=[str(w[0])[:40] for w in WRONG])
def test_what_is_no_space_is_refused_by_its_key(table, reported):
    with pytest.raises(ConfigError, match=rf"^run\.toml.*{reported}"):
        read_space(table, "run.toml")
