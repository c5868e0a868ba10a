# SPDX-License-Identifier: BSD-3-Clause
"""Which particles of events were made in decays, and of what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Lineage:
    """Where each particle is from, where some decayed before the calorimeter.

    Attributes
    ----------
    origin : int64 [n]
        Index of the particle in its event of the input; of a daughter, that of the first ancestor.
    generation : int8 [n]
        0 for particles of the input, 1 for their daughters, and so on.
    decayed : bool [n]
        Whether the particle decayed; its daughters stand for it.
    digest : uint64 [n]
        With `number`, by what the particle draws random numbers.
    number : int64 [n]
    parent : int64 [n]
        Place in its event of the particle that each was made of; -1 for particles of the input.
    """

    origin: NDArray[np.int64]
    generation: NDArray[np.int8]
    decayed: NDArray[np.bool_]
    digest: NDArray[np.uint64]
    number: NDArray[np.int64]
    parent: NDArray[np.int64]
