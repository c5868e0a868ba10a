# SPDX-License-Identifier: BSD-3-Clause
"""Small models and engines."""
