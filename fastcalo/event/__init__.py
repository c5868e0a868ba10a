# SPDX-License-Identifier: BSD-3-Clause
"""Particles and hits of events, as columns: input and output of every engine."""
