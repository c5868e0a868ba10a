# SPDX-License-Identifier: BSD-3-Clause
"""Report of a finished or running search."""
