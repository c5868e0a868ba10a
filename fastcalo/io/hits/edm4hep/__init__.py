# SPDX-License-Identifier: BSD-3-Clause
"""Hits in EDM4hep, with the particles that made them: reading and writing."""
