# SPDX-License-Identifier: BSD-3-Clause
"""Damaged files of every format that is read or written: each is refused cleanly, or read as it was."""
