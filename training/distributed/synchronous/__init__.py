# SPDX-License-Identifier: BSD-3-Clause
"""Synchronous training: gradients averaged over all ranks in each step."""
