# SPDX-License-Identifier: BSD-3-Clause
"""Response surface of a search: dependence and importance of a known function."""

import numpy as np
import pytest

from fastcalo.training.tune.report.surface import ResponseSurface
from fastcalo.training.tune.space import Choice, Integer, Real, Space

# the surface


@pytest.fixture(scope="module")
def additive() -> tuple[ResponseSurface, Space]:
    """3 a + log-scaled b + half a step of c, with known shares of the variance: 9 : 1 : 2 (of 12), none of n."""
    space = Space((Real("a", 0, 1), Real("b", 1e-4, 1e-2, True), Integer("n", 1, 8), Choice("c", ("x", "y", "z"))))
    rng = np.random.default_rng(3)
    unit = space.snap(rng.random((50, 4)))
    steps = np.array([{"x": 0.0, "y": 0.5, "z": 1.0}[p["c"]] for p in space.points(unit)])
    value = 3 * unit[:, 0] + unit[:, 1] + steps + 0.03 * rng.normal(size=50)
    return ResponseSurface(space, unit, value, np.full(50, 0.03**2)), space


def test_dependence_and_importance_of_a_known_function(additive):
    surface, space = additive
    found = {key: surface.dependence(key) for key in space.keys}
    for key, share in {"a": 9 / 12, "b": 1 / 12, "n": 0.0, "c": 2 / 12}.items():
        assert found[key].share == pytest.approx(share, abs=0.04), key
    assert found["a"].values[0] == 0
    assert found["a"].mean[-1] - found["a"].mean[0] == pytest.approx(3, abs=0.15)
    assert found["b"].values[-1] == pytest.approx(1e-2)
    assert found["n"].values == list(range(1, 9))
    assert found["c"].values == ["x", "y", "z"]
    assert np.diff(found["c"].mean) == pytest.approx(0.5, abs=0.06)
    # 2 is the mean of the others' parts
    assert abs(found["a"].mean[20] - (1.5 + 0.5 + 0.5)) < 0.1
    assert all((d.error > 0).all() and (d.error < 0.3).all() for d in found.values())


def test_the_process_is_that_of_scikit_learn(additive):
    from sklearn.gaussian_process import GaussianProcessRegressor

    _, space = additive
    rng = np.random.default_rng(4)
    unit, variance = space.snap(rng.random((12, 4))), np.full(12, 0.01)
    value = unit[:, 0] + rng.normal(size=12)
    surface = ResponseSurface(space, unit, value, variance)
    alpha = (variance + surface.noise) / value.var() + 1e-10
    theirs = GaussianProcessRegressor(surface._kernel, alpha=alpha, optimizer=None)
    theirs.fit(space.features(unit), (value - value.mean()) / value.std())
    at = space.snap(rng.random((5, 4)))
    mean, cov = theirs.predict(space.features(at), return_cov=True)
    found, found_cov = surface.posterior(at)
    assert found == pytest.approx(value.mean() + value.std() * mean, rel=1e-6)
    assert found_cov == pytest.approx(value.var() * cov, rel=1e-5, abs=1e-8)
