# SPDX-License-Identifier: BSD-3-Clause
"""Calorimeter description: sections, modules, cell IDs."""
