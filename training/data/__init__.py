# SPDX-License-Identifier: BSD-3-Clause
"""Showers for training: reading, splitting, ordering, caching."""
