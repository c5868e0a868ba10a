# SPDX-License-Identifier: BSD-3-Clause
"""What input files hold of their particles beyond `Events`, read again for the entries of a chunk."""
