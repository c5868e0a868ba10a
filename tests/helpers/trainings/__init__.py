# SPDX-License-Identifier: BSD-3-Clause
"""Small trainings, and what they are compared with."""
