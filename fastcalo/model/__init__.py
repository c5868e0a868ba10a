# SPDX-License-Identifier: BSD-3-Clause
"""Trained shower models: the ONNX file, its contract, its session and its random numbers."""
