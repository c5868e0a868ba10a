# SPDX-License-Identifier: BSD-3-Clause
"""Training and test data of a configuration."""

from __future__ import annotations

from dataclasses import replace

from fastcalo.detector.description import Detector

from ..config import TrainConfig, cache_folder, data_paths
from .folds import Fold
from .showers import ShowerData


def open_splits(
    config: TrainConfig, detector: Detector, where: str, seed: int, fold: Fold | None = None
) -> tuple[ShowerData, ShowerData]:
    """Showers to train on, and showers to evaluate with: the same where there are no others.

    Parameters
    ----------
    config : TrainConfig
    detector : Detector
    where : str
        The configuration's file, for messages.
    seed : int
        Of the order of the first.
    fold : Fold, optional
        The first set lacks it, the second one consists of it.

    Raises
    ------
    ConfigError
        A file or folder cannot be used.
    InputError
        See `ShowerData`.
    """

    def opened(paths: tuple[str, ...], seed: int, part: Fold | None = None) -> ShowerData:
        return ShowerData(
            data_paths(paths, where),
            detector,
            config.sections,
            config.species,
            seed=seed,
            pool=config.data.pool,
            cache=cache_folder(config.data.cache, where),
            fold=part,
            whole=config.whole_showers,
            section_layers=config.section_layers,
        )

    data = opened(config.data.train, seed, fold)
    if fold:
        return data, opened(config.data.train, 0, replace(fold, held_out=True))
    return data, opened(config.data.test, 0) if config.data.test else data
