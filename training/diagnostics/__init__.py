# SPDX-License-Identifier: BSD-3-Clause
"""Diagnosis of a machine before training: CPUs, MPI, GPUs."""
