# SPDX-License-Identifier: BSD-3-Clause
"""Make single photons for the energy resolution: a plain file that any simulation reads.

    python examples/analysis/make_photons.py photons.root [--photons 400] [--seed 1]

One photon per event from the origin into the barrel, its energy uniform in the logarithm from 1 to 50 GeV.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import awkward as ak
import numpy as np
import uproot

ENERGY = (1.0, 50.0)  # GeV
MAX_COS_THETA = 0.7  # the barrel, without the corner to the endcaps


def photons(number: int, seed: int) -> dict[str, ak.Array]:
    """Branches, each with a list of one particle per event: code and momentum in GeV."""
    rng = np.random.default_rng(seed)
    energy = np.exp(rng.uniform(np.log(ENERGY[0]), np.log(ENERGY[1]), number))
    cos, phi = rng.uniform(-MAX_COS_THETA, MAX_COS_THETA, number), rng.uniform(-np.pi, np.pi, number)
    sin = np.sqrt(1 - cos**2)
    columns = {"px": energy * sin * np.cos(phi), "py": energy * sin * np.sin(phi), "pz": energy * cos}
    branches = {"pdg": np.full(number, 22, np.int32)} | columns
    return {name: ak.from_regular(column[:, None]) for name, column in branches.items()}


def main() -> None:
    """Make the file."""
    parser = argparse.ArgumentParser(description="single photons into the barrel")
    parser.add_argument("out", type=Path)
    parser.add_argument("--photons", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    branches = photons(options.photons, options.seed)
    with uproot.recreate(options.out) as file:
        file.mktree("events", {name: ak.type(column).content for name, column in branches.items()})
        file["events"].extend(branches)
    print(f"{options.out}: {options.photons} photons")


if __name__ == "__main__":
    main()
