# SPDX-License-Identifier: BSD-3-Clause
"""Production of files: convert, merge, inspect."""
