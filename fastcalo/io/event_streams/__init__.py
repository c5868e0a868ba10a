# SPDX-License-Identifier: BSD-3-Clause
"""Streams of events: cut and joined, numbered, told apart, and rows gathered to events."""
