# SPDX-License-Identifier: BSD-3-Clause
"""Files of hits of any format: opened, and read step by step."""
