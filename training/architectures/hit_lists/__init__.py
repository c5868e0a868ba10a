# SPDX-License-Identifier: BSD-3-Clause
"""What ``arch = "hits"`` and ``arch = "showers"`` have in common: lists of hits, shares of energy, losses.

Shape suffixes as in both: B showers, L layers, H hits of all showers of a batch, G layers of showers, C codes, Z latent
numbers, M components of a mixture, P points.
"""
