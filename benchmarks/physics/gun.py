# SPDX-License-Identifier: BSD-3-Clause
"""Compare showers of `fastcalo fullsim gun` with a reference sample: physics by species and energy, and speed.

    python benchmarks/physics/gun.py GUN.h5 REFERENCE.h5

For every species, decade of energy and section, and for every observable, the table has the mean of both samples and
how many standard errors they differ by, those of both samples together. In the same physics most are below 2, one in
twenty above, and the sum of their squares is about their number.

- response: energy in all sensors of the section over kinetic energy
- width: standard deviation of the response over its mean
- depth: mean depth of the deposits, weighted by energy, mm
- hits: cells of the window above threshold, per GeV of kinetic energy
- profile: chi2 per degree of freedom of the shares of six groups of layers, with their full covariance
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastcalo.detector.description import load_detector
from fastcalo.detector.section import Section
from fastcalo.io.showers.native import ShowerFile

GROUPS = 6
# fewer showers do not give a spread
FEWEST = 20
SLICE = 2000
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """Observables of the showers of one section: code, energy, response, depth and hits [n], shares [n, GROUPS]."""

    pdg: NDArray[np.int32]
    energy: Floats
    response: Floats
    depth: Floats
    hits: Floats
    shares: Floats

    def take(self, chosen: NDArray[np.bool_]) -> Sample:
        """Some of the showers."""
        return Sample(*(column[chosen] for column in vars(self).values()))


def read(path: Path, section: Section) -> tuple[Sample, float]:
    """Observables of a file, and its seconds per shower."""
    with ShowerFile(path) as file:
        parts = [_slice(file, section, i, min(i + SLICE, len(file))) for i in range(0, len(file), SLICE)]
        seconds = float(file.attributes["seconds_per_shower"])
    return Sample(*(np.concatenate([getattr(p, name) for p in parts]) for name in vars(parts[0]))), seconds


def _slice(file: ShowerFile, section: Section, start: int, stop: int) -> Sample:
    n, layers = stop - start, section.layers
    offsets, cell, deposit = file.hits(section.name, start, stop)
    row = np.repeat(np.arange(n), np.diff(offsets))
    place = row * layers + cell % layers
    profile = np.bincount(place, deposit, n * layers).reshape(n, layers)
    visible = profile.sum(axis=1)
    seen = np.where(visible > 0, visible, 1)
    ends = np.linspace(0, layers, GROUPS + 1).round().astype(int)[:-1]
    energy = file.kinetic_energy(start, stop).astype(np.float64)
    hits = np.bincount(row[deposit > section.threshold], minlength=n)
    depth = profile @ section.sensor_z / seen
    shares = np.add.reduceat(profile, ends, axis=1) / seen[:, None]
    return Sample(
        file.pdg(start, stop), energy, file.total(section.name, start, stop) / energy, depth, hits / energy, shares
    )


def mean(x: Floats) -> tuple[float, float]:
    """Mean and its standard error."""
    return float(x.mean()), float(x.std(ddof=1) / np.sqrt(len(x)))


def width(x: Floats) -> tuple[float, float]:
    """Relative standard deviation and its standard error, from the fourth moment."""
    spread, fourth = x.std(ddof=1), ((x - x.mean()) ** 4).mean()
    error = np.sqrt(max(fourth - spread**4, 0) / len(x)) / (2 * spread) if spread else 0.0
    return float(spread / x.mean()), float(error / x.mean())


def profile_chi2(a: Floats, b: Floats) -> float:
    """Chi2 per degree of freedom of two mean profiles; the last share follows from the others."""
    a, b = (shares[shares.any(axis=1), :-1] for shares in (a, b))
    if min(len(a), len(b)) < FEWEST * GROUPS:
        return float("nan")
    covariance = np.cov(a.T) / len(a) + np.cov(b.T) / len(b)
    # of groups of layers that few showers reach, the spread is not known
    used = np.minimum((a > 0).sum(0), (b > 0).sum(0)) >= FEWEST
    difference = (a.mean(0) - b.mean(0))[used]
    chi2 = difference @ np.linalg.pinv(covariance[np.ix_(used, used)]) @ difference
    return float(chi2 / used.sum()) if used.any() else float("nan")


def compare(a: Sample, b: Sample) -> tuple[list[str], list[float]]:
    """Cells of a row, and the differences in standard errors."""
    cells, pulls = [], []
    for name, measure in (("response", mean), ("response", width), ("depth", mean), ("hits", mean)):
        (x, dx), (y, dy) = (measure(getattr(s, name)) for s in (a, b))
        pulls.append((x - y) / np.hypot(dx, dy))
        cells.append(f"{x:.4g} / {y:.4g} ({pulls[-1]:+.1f})")
    return [*cells, f"{profile_chi2(a.shares, b.shares):.2f}".replace("nan", "")], pulls


def table(gun: Path, reference: Path) -> list[str]:
    """Lines of a Markdown document."""
    lines, pulls = ["| species | GeV | section | showers | response | width | depth | hits/GeV | profile |"], []
    lines.append("|---|---|---|---|---|---|---|---|---|")
    for section in load_detector().sections:
        (a, seconds), (b, reference_seconds) = read(gun, section), read(reference, section)
        for species in np.unique(a.pdg):
            for low in (0.1, 1.0, 10.0):
                one, other = (s.take((s.pdg == species) & (s.energy >= low) & (s.energy < 10 * low)) for s in (a, b))
                if min(len(one.pdg), len(other.pdg)) < FEWEST or not (one.response.sum() and other.response.sum()):
                    continue
                cells, found = compare(one, other)
                pulls += found
                numbers = f"{len(one.pdg)} / {len(other.pdg)}"
                row = [str(species), f"{low:g}-{10 * low:g}", section.name, numbers, *cells]
                lines.append("| " + " | ".join(row) + " |")
    square = float(np.square(pulls).sum())
    largest, above = np.abs(pulls).max(), np.mean(np.abs(pulls) > 2)
    lines += [
        "",
        f"{len(pulls)} differences: sum of squares {square:.1f}, largest {largest:.1f}, {above:.1%} above 2",
        f"showers per second and core: {1 / seconds:.2f}, of the reference {1 / reference_seconds:.2f}",
    ]
    return lines


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="showers of the gun against a reference sample")
    parser.add_argument("gun", type=Path)
    parser.add_argument("reference", type=Path)
    options = parser.parse_args()
    print(f"# {options.gun.name} against {options.reference.name} (gun / reference, difference in standard errors)\n")
    print("\n".join(table(options.gun, options.reference)))


if __name__ == "__main__":
    main()
