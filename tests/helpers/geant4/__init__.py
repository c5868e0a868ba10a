# SPDX-License-Identifier: BSD-3-Clause
"""Full simulation in tests."""
