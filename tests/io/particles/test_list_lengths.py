# SPDX-License-Identifier: BSD-3-Clause
"""Lists of a branch are as long as they state."""

import numpy as np
import pytest

from fastcalo.errors import InputError
from fastcalo.io.particles.columns import Column, check_lengths


def column(values, counts=None):
    return Column(np.zeros(values), None if counts is None else np.array(counts, np.int64))


@pytest.mark.parametrize("good", [column(3), column(5, [2, 0, 3])])
def test_a_column_that_is_whole_is_taken(good):
    assert check_lengths(good, 3, "here") is good


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (column(2), "here has another number of entries than the tree"),
        (column(5, [2, 3]), "here has another number of entries than the tree"),
        (column(4, [2, 0, 3]), "here has lists of 5 values together, but holds 4"),
        (column(5, [2, 0, 4]), "here has lists of 6 values together, but holds 5"),
        (column(1, [2, -2, 1]), "may be cut short or damaged"),
    ],
)
def test_lists_that_are_longer_than_their_values_are_refused(bad, message):
    with pytest.raises(InputError, match=message):
        check_lengths(bad, 3, "here")
