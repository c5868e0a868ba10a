# SPDX-License-Identifier: BSD-3-Clause
"""Files that tests read."""
