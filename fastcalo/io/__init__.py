# SPDX-License-Identifier: BSD-3-Clause
"""Files in and out: events and hits in ROOT files, showers in HDF5 files."""
