# SPDX-License-Identifier: BSD-3-Clause
"""``arch = "showers"``: whole showers, hits wherever they are.

As ``arch = "hits"``, but without a window, for particles that enter anywhere, and with hits that belong together: those
of a layer descend from those of the last layer before that has any. `LayerModel` draws, layer after layer, how many
cells are hit and how much energy they hold; `HitModel` spreads the hits over cells and shares the energy among them.

Shape suffixes used throughout: B showers, L layers, S species, H hits of all showers of a batch, K blobs (N narrow, W
wide), C codes, Z latent numbers, M components of a mixture, P points or pairs of hits.
"""

from __future__ import annotations

from ...registry import ArchitectureEntry

ARCHITECTURE = ArchitectureEntry(
    config="fastcalo.training.architectures.showers.config:ShowersTrainConfig",
    networks="fastcalo.training.architectures.showers.gan:ShowerGan",
    exportable="fastcalo.export.showers.exportable:ExportableShowerGan",
)
