# SPDX-License-Identifier: BSD-3-Clause
"""Model of windows, of the kind that users may have trained: ``arch = "hits"``, contract format 2, ECAL only.

Electrons, positrons and photons, 0.1 to 100 GeV, up to 56 degrees, trained by ``configs/em-hits.toml``.
"""

from pathlib import Path

WINDOWED_MODEL = Path(__file__).parents[2] / "data" / "windows.onnx"
