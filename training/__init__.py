# SPDX-License-Identifier: BSD-3-Clause
"""Training of conditional GANs of calorimeter response (needs the extra ``train``)."""

from fastcalo.errors import PackageNameError

# under another name its modules would be imported a second time, and their classes would be other classes
if not __name__.startswith("fastcalo."):
    raise PackageNameError("training is a part of fastcalo: import fastcalo.training instead")
