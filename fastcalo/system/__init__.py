# SPDX-License-Identifier: BSD-3-Clause
"""What fastcalo runs on: the machine's memory, the launcher that started it, the installation it is from."""
