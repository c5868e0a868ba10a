# SPDX-License-Identifier: BSD-3-Clause
"""Fast simulation: propagation, acceptance, shower models, placing of hits."""
