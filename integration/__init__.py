# SPDX-License-Identifier: BSD-3-Clause
"""Links to the frameworks that host a simulation; each needs its host."""

from fastcalo.errors import PackageNameError

# under another name its modules would be imported a second time, and their classes would be other classes
if not __name__.startswith("fastcalo."):
    raise PackageNameError("integration is a part of fastcalo: import fastcalo.integration instead")
