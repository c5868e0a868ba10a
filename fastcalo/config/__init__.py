# SPDX-License-Identifier: BSD-3-Clause
"""Validation of TOML configuration and of the model contract."""
