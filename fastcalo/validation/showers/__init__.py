# SPDX-License-Identifier: BSD-3-Clause
"""Comparison of showers with full simulation."""
