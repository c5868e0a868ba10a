# SPDX-License-Identifier: BSD-3-Clause
"""Training over many processes, by message passing (MPI)."""
