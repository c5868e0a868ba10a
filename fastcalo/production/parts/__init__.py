# SPDX-License-Identifier: BSD-3-Clause
"""Conversion in parts: ranges of events that workers make files of, and the manifest that lists which are there."""
