# SPDX-License-Identifier: BSD-3-Clause
"""Export of trained models to self-describing ONNX (needs the extra ``export``)."""

from fastcalo.errors import PackageNameError

# under another name its modules would be imported a second time, and their classes would be other classes
if not __name__.startswith("fastcalo."):
    raise PackageNameError("export is a part of fastcalo: import fastcalo.export instead")
