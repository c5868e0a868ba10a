# SPDX-License-Identifier: BSD-3-Clause
"""First network: number of hits and energy of each layer, as of ``arch = "hits"``, for layers without a window."""

from __future__ import annotations

from ..hit_lists import layer_model


class LayerModel(layer_model.LayerModel):
    """Draws the hit count and the energy of each layer, given those before it."""

    largest_count = 400.0
