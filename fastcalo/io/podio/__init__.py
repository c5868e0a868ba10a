# SPDX-License-Identifier: BSD-3-Clause
"""Files in the layout of podio's RNTuple backend: frames of typed collections, by category."""
