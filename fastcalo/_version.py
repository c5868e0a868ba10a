# SPDX-License-Identifier: BSD-3-Clause
"""Version of fastcalo."""

__version__ = "0.1.0"
