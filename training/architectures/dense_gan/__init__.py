# SPDX-License-Identifier: BSD-3-Clause
"""``arch = "3dgan"``: a convolutional GAN that draws the whole window of cells at once.

After the 3DGAN of CERN openlab: Carminati et al., J. Phys. Conf. Ser. 1085 (2018) 032016, and Khattak et al.,
Eur. Phys. J. C 82 (2022) 386. The losses are theirs in kind (binary cross-entropy, regression of primary energy and
angle, summed energy); networks, frame and scale of deposits are ours.

Shape suffixes used throughout: B showers, X and Y cells of the window, L layers, C conditions, F features,
S style, Z latent numbers, H hits of all showers of a batch.
"""

from __future__ import annotations

from ...registry import ArchitectureEntry

ARCHITECTURE = ArchitectureEntry(
    config="fastcalo.training.architectures.dense_gan.config:DenseTrainConfig",
    networks="fastcalo.training.architectures.dense_gan.gan:DenseGan",
    exportable="fastcalo.export.dense_gan:ExportableDenseGan",
)
