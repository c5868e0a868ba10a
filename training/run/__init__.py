# SPDX-License-Identifier: BSD-3-Clause
"""Run of a training: its folder with checkpoints, metrics, curves and timeline; its device and threads."""
