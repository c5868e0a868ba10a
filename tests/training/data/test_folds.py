# SPDX-License-Identifier: BSD-3-Clause
"""Folds of showers: each in one of them, alike in species and energy, and a training that keeps one out."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
import torch
from helpers.files.shower_files import write_real, write_sparse
from helpers.trainings.tiny_training import change_stage, tiny_config
from hypothesis import given
from hypothesis import strategies as st

from fastcalo.detector.description import load_detector
from fastcalo.errors import InputError, TrainingError
from fastcalo.training.config import DataConfig
from fastcalo.training.data.folds import Fold, assign_folds
from fastcalo.training.data.showers import ShowerData
from fastcalo.training.trainer import run_stages as train


@given(st.integers(1, 200), st.integers(2, 7), st.integers(0, 5))
def test_folds_are_a_partition_alike_in_species_and_energy(n, folds, seed):
    rng = np.random.default_rng(n)
    pdg, energy = rng.choice([11, -11, 22], n), rng.exponential(1.0, n)
    fold = assign_folds(pdg, energy, folds, seed)
    assert np.bincount(fold, minlength=folds).max() <= -(-n // folds)
    for code in np.unique(pdg):
        mine = fold[pdg == code][np.argsort(energy[pdg == code])]
        # of any run of showers, each fold has its share, but for the ends
        for stop in range(len(mine) + 1):
            counts = np.bincount(mine[:stop], minlength=folds)
            assert counts.max() - counts.min() <= 3


def test_another_seed_makes_other_folds_and_the_same_seed_the_same():
    pdg, energy = np.full(100, 11), np.arange(100.0)
    assert (assign_folds(pdg, energy, 3, 1) == assign_folds(pdg, energy, 3, 1)).all()
    assert (assign_folds(pdg, energy, 3, 1) != assign_folds(pdg, energy, 3, 2)).any()


@pytest.mark.parametrize("number", [-1, 3])
def test_a_fold_that_is_not_there_is_refused(number):
    with pytest.raises(InputError, match=f"no fold {number} of 3"):
        Fold(number, 3)


def energies(data: ShowerData) -> list[float]:
    return data.sample(len(data)).kinetic_energy.tolist()


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("showers")
    return [write_sparse(folder / f"{seed}.h5", n, seed) for seed, n in ((0, 130), (3, 70))]


def opened(paths, fold=None, block=2_000, species=(11, -11, 22), **kw) -> ShowerData:
    return ShowerData(paths, load_detector(), ("ECAL",), species, block=block, fold=fold, **kw)


@pytest.mark.parametrize("block", [7, 2_000])
def test_folds_of_files_together_hold_each_shower_once(paths, block):
    everything = Counter(energies(opened(paths)))
    held_out = [energies(opened(paths, Fold(k, 3, held_out=True), block)) for k in range(3)]
    assert sum(map(Counter, held_out), Counter()) == everything
    for k, out in enumerate(held_out):
        assert Counter(energies(opened(paths, Fold(k, 3), block))) + Counter(out) == everything


def test_batches_of_a_fold_hold_nothing_else(paths):
    out = set(energies(opened(paths, Fold(1, 4, held_out=True))))
    data = opened(paths, Fold(1, 4), block=11, pool=40)
    batches = data.batches(10)
    seen = {e for _ in range(30) for e in next(batches).kinetic_energy.tolist()}
    assert seen == set(energies(data))
    assert not seen & out


def test_a_fold_is_of_all_species_so_that_it_does_not_depend_on_the_wanted_ones(paths):
    photons = set(energies(opened(paths, Fold(0, 3, held_out=True), species=(22,))))
    assert photons <= set(energies(opened(paths, Fold(0, 3, held_out=True))))


def test_hashes_distinguish_folds_and_all(paths):
    folds = [None, *(Fold(k, 3, seed, out) for k in range(2) for seed in (0, 1) for out in (False, True))]
    assert len({opened(paths, fold).hash for fold in folds}) == len(folds)


def test_a_cache_keeps_folds_apart(paths, tmp_path):
    for fold in (None, Fold(0, 3), Fold(0, 3, held_out=True)):
        for _ in range(2):
            assert energies(opened(paths, fold, cache=tmp_path)) == energies(opened(paths, fold))


def test_a_training_keeps_its_fold_out_and_goes_on_with_no_other(tmp_path):
    path = write_real(tmp_path / "a.h5", 60)
    config = tiny_config(DataConfig(train=(str(path),)))
    train(config, tmp_path / "run", only=["hits"], fold=Fold(0, 3))
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert lines
    held_out = opened([path], Fold(0, 3, held_out=True))
    saved = torch.load(tmp_path / "run" / "hits.pt", weights_only=True)
    assert saved["data_hash"] == opened([path], Fold(0, 3)).hash != held_out.hash
    longer = change_stage(config, "hits", steps=config.stage[1].steps + 1)
    with pytest.raises(TrainingError, match="trained on other showers"):
        train(longer, tmp_path / "run", only=["hits"], resume=True, fold=Fold(1, 3))
    train(longer, tmp_path / "run", only=["hits"], resume=True, fold=Fold(0, 3))
