# SPDX-License-Identifier: BSD-3-Clause
"""Export of ``arch = "toy"``."""

from fastcalo.export.hits.exportable import ExportableHitGan


class ExportableToyGan(ExportableHitGan):
    """As that of ``arch = "hits"``."""
