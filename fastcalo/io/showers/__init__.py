# SPDX-License-Identifier: BSD-3-Clause
"""Files of single-particle showers: the native HDF5 format and formats of other projects."""
