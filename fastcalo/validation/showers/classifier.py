# SPDX-License-Identifier: BSD-3-Clause
"""Classifier two-sample test: area under the ROC curve (AUC); 0.5 means indistinguishable."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..estimates import bootstrap
from .observables import all_species, conditions
from .sample import ShowerSample

FloatArray = NDArray[np.float64]

_FOLDS = 3


def auc_of_observables(reference: FloatArray, other: FloatArray, seed: int = 0) -> tuple[float, float]:
    """Area under the curve of gradient-boosted trees that are shown observables.

    Every shower is judged by trees that were not trained on it.

    Parameters
    ----------
    reference, other : float64 [n, f], [m, f]
    seed : int

    Returns
    -------
    value, error : float
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold

    rows, truth = _labelled(reference, other)
    score = np.zeros(len(truth))
    for seen, unseen in StratifiedKFold(_FOLDS, shuffle=True, random_state=seed).split(rows, truth):
        trees = HistGradientBoostingClassifier(max_iter=300, learning_rate=0.06, early_stopping=True, random_state=seed)
        score[unseen] = trees.fit(rows[seen], truth[seen]).predict_proba(rows[unseen])[:, 1]
    return auc_with_error(truth, score, seed)


def auc_of_cells(reference: ShowerSample, other: ShowerSample, seed: int = 0) -> tuple[float, float]:
    """Area under the curve of a neural network that is shown every cell.

    Two thirds of the showers train it, the others are judged.

    Parameters
    ----------
    reference, other : ShowerSample
    seed : int

    Returns
    -------
    value, error : float
    """
    from scipy import sparse
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier

    rows = sparse.vstack(_cells(reference, other), format="csr")
    truth = np.repeat([0, 1], [len(reference), len(other)])
    seen, unseen = train_test_split(np.arange(len(truth)), train_size=2 / 3, random_state=seed, stratify=truth)
    network = MLPClassifier(
        (128, 64), batch_size=min(128, len(seen) // 2), learning_rate_init=5e-4, alpha=1e-3, max_iter=15,
        early_stopping=True, n_iter_no_change=3, random_state=seed,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(rows[seen], truth[seen])
    return auc_with_error(truth[unseen], network.predict_proba(rows[unseen])[:, 1], seed)


def _cells(reference: ShowerSample, other: ShowerSample) -> list[Any]:
    """Logarithmic deposits in all cells, and standardised conditions, as sparse matrices [n, f] of float32."""
    from scipy import sparse

    typical = {name: float(np.median(hits.deposit)) for name, hits in reference.sections.items() if len(hits.deposit)}
    species = all_species(reference, other)
    given = conditions(reference, species), conditions(other, species)
    mean, spread = given[0].mean(0), np.where(given[0].std(0) > 0, given[0].std(0), 1)
    matrices = []
    for sample, known in zip((reference, other), given, strict=True):
        blocks = [sparse.csr_matrix(((known - mean) / spread).astype(np.float32))]
        for name, hits in sample.sections.items():
            values = np.log1p(hits.deposit / typical.get(name, 1.0)).astype(np.float32)
            shape = (len(sample), len(hits.voxels))
            blocks.append(sparse.csr_matrix((values, (hits.shower, hits.voxel)), shape=shape))
        matrices.append(sparse.hstack(blocks, format="csr"))
    return matrices


def _labelled(reference: FloatArray, other: FloatArray) -> tuple[FloatArray, NDArray[np.int64]]:
    return np.concatenate([reference, other]), np.repeat([0, 1], [len(reference), len(other)])


def auc_with_error(truth: NDArray[np.int64], score: FloatArray, seed: int) -> tuple[float, float]:
    """Area under the curve of scores [n], and its bootstrap error."""
    weights = np.vstack([np.ones(len(truth)), bootstrap(len(truth), seed)])
    value, *replicas = _areas_under_curve(truth, score, weights)
    return float(value), float(np.std(replicas))


def _areas_under_curve(truth: NDArray[np.int64], score: FloatArray, weights: FloatArray) -> FloatArray:
    """Area under the curve for each row of weights [r, n], float64 [r].

    It is the chance that a shower of kind 1 has a higher score than one of kind 0; equal scores count half (Hanley &
    McNeil, Radiology 143 (1982) 29). For many rows at once: one sort serves all.
    """
    order = np.argsort(score, kind="stable")
    first = np.flatnonzero(np.diff(score[order], prepend=-np.inf))
    kinds = (weights[:, order] * (truth[order] == kind) for kind in (0, 1))
    below, above = (np.add.reduceat(weight, first, axis=1) for weight in kinds)
    pairs = (above * (np.cumsum(below, axis=1) - below / 2)).sum(1)
    return np.asarray(pairs / (below.sum(1) * above.sum(1)))
