# SPDX-License-Identifier: BSD-3-Clause
"""Asynchronous training with a parameter server over MPI."""
