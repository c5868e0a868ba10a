# SPDX-License-Identifier: BSD-3-Clause
"""Architectures of generator and critic, behind one interface."""
