# SPDX-License-Identifier: BSD-3-Clause
"""Folder of a training run: checkpoints, metrics, curves, timeline."""
