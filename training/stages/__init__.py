# SPDX-License-Identifier: BSD-3-Clause
"""One stage of a training: its loop, the steps it takes, and the optimisers of these."""
