# SPDX-License-Identifier: BSD-3-Clause
"""Real small parts that tests are made of: models, files, trainings, searches."""
