# SPDX-License-Identifier: BSD-3-Clause
"""Running a search on ranks: the coordinator, its groups and their trials."""
