# SPDX-License-Identifier: BSD-3-Clause
"""Measurement and projection of how training scales with the number of ranks."""
