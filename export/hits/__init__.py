# SPDX-License-Identifier: BSD-3-Clause
"""Export of ``arch = "hits"`` to one ONNX graph."""
