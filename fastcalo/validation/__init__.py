# SPDX-License-Identifier: BSD-3-Clause
"""Validation against full simulation: of showers, and of files of hits."""
