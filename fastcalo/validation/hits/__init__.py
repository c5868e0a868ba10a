# SPDX-License-Identifier: BSD-3-Clause
"""Comparison of two files of hits."""
