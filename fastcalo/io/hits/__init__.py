# SPDX-License-Identifier: BSD-3-Clause
"""Files of calorimeter hits: reading and writing."""
