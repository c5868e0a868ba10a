# SPDX-License-Identifier: BSD-3-Clause
"""Search for the hyper-parameters of a training."""
