# SPDX-License-Identifier: BSD-3-Clause
"""Streams of events: cut and joined, numbered, distinguished, and rows gathered to events."""
