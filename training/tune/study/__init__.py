# SPDX-License-Identifier: BSD-3-Clause
"""A search on disk: its space, its journal of trials, and its stopping rules."""
