# SPDX-License-Identifier: BSD-3-Clause
"""``arch = "hits"``: a conditional generator that draws hits instead of images.

Two networks stand behind it. `LayerModel` draws, layer after layer, how many cells are hit and how much
energy they hold; `HitModel` spreads the hits over cells and shares the energy among them.

Shape suffixes used throughout: B showers, L layers, S species, H hits of all showers of a batch,
K blobs, C codes, Z latent numbers, M components of a mixture.
"""

from __future__ import annotations

from ...registry import ArchitectureEntry

ARCHITECTURE = ArchitectureEntry(
    config="fastcalo.training.architectures.hits.config:HitsTrainConfig",
    networks="fastcalo.training.architectures.hits.gan:HitGan",
    exportable="fastcalo.export.hits.exportable:ExportableHitGan",
)
