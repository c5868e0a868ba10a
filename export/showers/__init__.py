# SPDX-License-Identifier: BSD-3-Clause
"""ONNX export of ``arch = "showers"``: exportable adapter and the parts of the graph."""
