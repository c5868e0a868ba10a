# SPDX-License-Identifier: BSD-3-Clause
"""Files of particles: reading ROOT files of many layouts."""
