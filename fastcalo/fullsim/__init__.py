# SPDX-License-Identifier: BSD-3-Clause
"""Full simulation with Geant4, behind the same interface as the fast one, and showers for training.

Geant4 itself runs in processes of its own (`worker`), never in the user's.
"""
