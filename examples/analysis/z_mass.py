# SPDX-License-Identifier: BSD-3-Clause
"""The mass of the Z from its electrons, and the energy resolution of photons, from files of calorimeter hits.

    pip install '.[analysis]'    (in a clone)
    python examples/analysis/z_mass.py EVENTS.root full=full.root fast=fast.root -o z_mass.png

An analysis as a user writes it: it knows the branches and the detector, nothing of fastcalo or of who made the hits.
EVENTS.root holds the particles that were simulated, for the truth. One constant, from the generated energies and the
first file of hits, calibrates all files.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import awkward as ak
import fastjet
import matplotlib.pyplot as plt
import numpy as np
import uproot
import vector
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FloatArray = NDArray[np.float64]

# the detector: from this layer on, the absorber is twice as thick, and a deposit stands for twice the energy
FIRST_THICK_LAYER = 17
MAX_COS_THETA = 0.98  # of what is well inside the endcaps

# Clusters: jets by the angle, with the exponent of anti-kt. A shower is about 50 mm wide at 1500 mm or more.
RADIUS = 0.15
CLUSTERS = fastjet.JetDefinition(fastjet.ee_genkt_algorithm, RADIUS, -1.0)
SOFTEST_CLUSTER = 0.2  # GeV, calibrated
MATCHED = 0.15  # rad; an electron of 10 GeV is bent by 0.1

HARD = 10.0  # GeV, of the clusters that calibrate, and of electrons
PHOTON = 1.0  # GeV
ISOLATED = 0.3  # rad, from every other generated particle that is not very soft
SOFT = 0.1  # GeV
PHOTON_BINS = (1.0, 3.0, 10.0, 30.0, 60.0)  # GeV
FEWEST = 15  # photons in a bin that give a resolution

BRANCHES = {
    "edm4hep": ("MCParticles.PDG", *(f"MCParticles.momentum.{axis}" for axis in "xyz")),
    "plain": ("pdg", "px", "py", "pz"),
}
MASSES = np.linspace(80, 100, 21)  # GeV
COLOURS = ("#1f4e79", "#d1495b", "#2e8b57", "#8a5a9e", "#c98a1b")


@dataclass(frozen=True)
class Measured:
    """A mean and a spread, with their errors."""

    mean: float
    mean_error: float
    width: float
    width_error: float
    entries: int

    @classmethod
    def of(cls, values: FloatArray) -> Measured:
        """Mean and standard deviation of the core: what is within three robust widths of the median."""
        if len(values) < 3:
            return cls(np.nan, np.nan, np.nan, np.nan, len(values))
        low, middle, high = np.percentile(values, [15.87, 50, 84.13])
        core = values[abs(values - middle) <= 1.5 * (high - low)]
        width, n = core.std(ddof=1), len(core)
        return cls(core.mean(), width / np.sqrt(n), width, width / np.sqrt(2 * n), n)


@dataclass(frozen=True)
class Result:
    """What one file of hits gives.

    Attributes
    ----------
    label : str
    mass : float64 [events]
        Of the two hardest clusters of Z -> e+ e-, GeV.
    photon_energy, response : float64 [photons]
        Generated energy of isolated photons, GeV, and the quotient of the measured energy with it.
    """

    label: str
    mass: FloatArray
    photon_energy: FloatArray
    response: FloatArray


def momenta(px: ak.Array, py: ak.Array, pz: ak.Array, **fields: ak.Array) -> ak.Array:
    """Massless four-vectors, [events, particles]."""
    energy = np.sqrt(px**2 + py**2 + pz**2)
    return ak.zip({"px": px, "py": py, "pz": pz, "E": energy, **fields}, with_name="Momentum4D")


def read_particles(path: str) -> ak.Array:
    """Particles of the final state, [events, particles] of four-vectors with ``pdg``; electrons count as massless."""
    with uproot.open(path) as file:
        tree = file["events"]
        kind = "edm4hep" if BRANCHES["edm4hep"][0] in tree else "plain"
        pdg, px, py, pz = (tree[name].array() for name in BRANCHES[kind])
        particles = momenta(px, py, pz, pdg=pdg)
        return particles if kind == "plain" else particles[tree["MCParticles.generatorStatus"].array() == 1]


def read_hits(path: str) -> ak.Array:
    """Hits of the ECAL as four-vectors from the origin through the cells, [events, hits]; GeV, not calibrated."""
    with uproot.open(path) as file:
        tree = file["Events"]
        energy, x, y, z, layer = (tree[f"ECAL_{name}"].array() for name in ("energy", "x", "y", "z", "layer"))
    scale = energy * ak.where(layer >= FIRST_THICK_LAYER, 2.0, 1.0) / np.sqrt(x**2 + y**2 + z**2)
    return momenta(scale * x, scale * y, scale * z)


def cluster(parts: ak.Array) -> ak.Array:
    """Clusters of four-vectors, [events, clusters], the hardest first."""
    bare = ak.zip({name: ak.values_astype(parts[name], np.float64) for name in ("px", "py", "pz", "E")})
    jets = fastjet.ClusterSequence(ak.with_name(bare, "Momentum4D"), CLUSTERS).inclusive_jets()
    return jets[ak.argsort(jets.E, axis=1, ascending=False)]


def nearest(these: ak.Array, those: ak.Array) -> tuple[ak.Array, ak.Array]:
    """Angle from each of `these` to the nearest of `those`, and its energy, [events, these]; missing without any."""
    pairs = ak.cartesian({"a": these, "b": those}, nested=True)
    angle = pairs["a"].deltaangle(pairs["b"])
    closest = ak.argmin(angle, axis=2, keepdims=True)
    return ak.firsts(angle[closest], axis=2), ak.firsts(pairs["b"].E[closest], axis=2)


def matched(truth: ak.Array, clusters: ak.Array) -> tuple[FloatArray, FloatArray]:
    """Energies of generated particles, and of the clusters next to them, of all events."""
    angle, energy = nearest(truth, clusters)
    found = ak.fill_none(angle < MATCHED, False)
    near = ak.flatten(ak.drop_none(energy[found]))
    return ak.to_numpy(ak.flatten(truth.E[found])), ak.to_numpy(near)


def inside(vectors: ak.Array) -> ak.Array:
    """Whether directions are well inside the calorimeter."""
    return abs(vectors.costheta) < MAX_COS_THETA


def electron_pairs(particles: ak.Array) -> ak.Array:
    """Whether an event is e+ e- and photons, with both electrons hard and inside, [events]."""
    electron = abs(particles.pdg) == 11
    only = ak.all(electron | (particles.pdg == 22), axis=1)
    good = electron & (particles.E > HARD) & inside(particles)
    return only & (ak.sum(electron, axis=1) == 2) & (ak.sum(good, axis=1) == 2)


def isolated_photons(particles: ak.Array) -> ak.Array:
    """Photons that are inside and far from all else, [events, photons]."""
    photons = particles[(particles.pdg == 22) & (particles.E > PHOTON) & inside(particles)]
    pairs = ak.cartesian({"a": photons, "b": particles[particles.E > SOFT]}, nested=True)
    # the photon itself is among them
    close = ak.sum(pairs["a"].deltaangle(pairs["b"]) < ISOLATED, axis=2)
    return photons[close == 1]


def calibration(particles: ak.Array, clusters: ak.Array) -> float:
    """Energy per unit of weighted visible energy, from what is hard in events of electrons and photons only."""
    clean = ak.all((abs(particles.pdg) == 11) | (particles.pdg == 22), axis=1)
    truth = cluster(particles[clean])
    true, visible = matched(truth[(truth.E > HARD) & inside(truth)], clusters[clean])
    if not len(true):
        raise SystemExit(f"no electron or photon of more than {HARD:g} GeV in the events to calibrate with")
    return float(np.median(true / visible))


def analyse(label: str, particles: ak.Array, clusters: ak.Array, constant: float) -> Result:
    """Masses and responses of one file of hits, from its clusters before calibration."""
    clusters = clusters * constant
    clusters = clusters[clusters.E > SOFTEST_CLUSTER]
    pairs = clusters[electron_pairs(particles)]
    pairs = pairs[ak.num(pairs) >= 2]
    true, seen = matched(isolated_photons(particles), clusters)
    return Result(label, masses(pairs), true, seen / true)


def masses(clusters: ak.Array) -> FloatArray:
    """Mass of the two hardest clusters of each event, GeV; [events]."""
    return ak.to_numpy((clusters[:, 0] + clusters[:, 1]).mass) if len(clusters) else np.empty(0)


def resolutions(result: Result) -> list[tuple[float, Measured]]:
    """Mean energy and spread of the response, by bins of the generated energy that hold enough photons."""
    place = np.digitize(result.photon_energy, PHOTON_BINS)
    bins = [place == i for i in range(1, len(PHOTON_BINS)) if np.count_nonzero(place == i) >= FEWEST]
    return [(float(result.photon_energy[chosen].mean()), Measured.of(result.response[chosen])) for chosen in bins]


def report(result: Result, truth: FloatArray) -> None:
    """Print the numbers of one file."""
    mass, true = Measured.of(result.mass), Measured.of(truth)
    print(f"{result.label}:")
    if mass.entries:
        print(
            f"  Z mass   mean {mass.mean:.3f} ± {mass.mean_error:.3f} GeV, width {mass.width:.3f} ± "
            f"{mass.width_error:.3f} GeV, {mass.entries} events in the core (generated: mean {true.mean:.3f} GeV)"
        )
    for energy, spread in resolutions(result):
        relative, error = spread.width / spread.mean, spread.width_error / spread.mean
        print(
            f"  photons  of {energy:.1f} GeV: resolution {1e2 * relative:.2f} ± {1e2 * error:.2f} %, response "
            f"{spread.mean:.4f} ± {spread.mean_error:.4f}, {spread.entries} photons"
        )
    scaled = Measured.of((result.response - 1) * np.sqrt(result.photon_energy))
    if scaled.entries >= FEWEST:
        print(
            f"  photons  of all energies: ({1e2 * scaled.width:.1f} ± {1e2 * scaled.width_error:.1f}) % / sqrt(E/GeV), "
            f"{scaled.entries} photons"
        )


def draw(results: list[Result], photons: list[Result], truth: FloatArray, path: Path) -> None:
    """Draw masses and photon resolutions of all files over each other."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    if len(truth):
        mean = Measured.of(truth).mean
        left.axvline(mean, color="0.5", lw=1.2, ls="--", label=f"generated: {mean:.2f} GeV in the mean")
    for result, colour in zip(results, COLOURS, strict=False):
        left.hist(result.mass, MASSES, histtype="step", lw=1.6, color=colour, label=_legend(result))
    for result, colour in zip(photons, COLOURS, strict=False):
        _resolution(right, result, colour)
    left.set(xlabel="mass of the two hardest clusters [GeV]", ylabel="events / GeV", title="Z → e⁺e⁻")
    left.set_ylim(0, 1.5 * left.get_ylim()[1])  # space for the legend
    right.set(xlabel="energy of the photon [GeV]", ylabel="energy resolution [%]", title="isolated photons")
    right.set(xscale="log", xlim=(PHOTON_BINS[0], PHOTON_BINS[-1]), ylim=(0, None))
    for ax, corner in ((left, "upper left"), (right, "upper right")):
        ax.grid(alpha=0.25)
        if ax.get_legend_handles_labels()[0]:
            ax.legend(frameon=False, fontsize=9, loc=corner)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def _resolution(ax: Axes, result: Result, colour: str) -> None:
    points = resolutions(result)
    energy = [mean for mean, _ in points]
    relative = [1e2 * spread.width / spread.mean for _, spread in points]
    error = [1e2 * spread.width_error / spread.mean for _, spread in points]
    ax.errorbar(energy, relative, error, fmt="o", ms=5, capsize=3, color=colour, label=result.label)


def _legend(result: Result) -> str:
    mass = Measured.of(result.mass)
    mean, width = f"{mass.mean:.2f} ± {mass.mean_error:.2f}", f"{mass.width:.2f} ± {mass.width_error:.2f}"
    return f"{result.label}:\nmean {mean}, width {width} GeV" if mass.entries else result.label


def run(events: str, hits: list[str], constant: float | None) -> tuple[list[Result], FloatArray, float]:
    """Analyse files of hits of the same events: what they give, the generated masses, and the constant."""
    particles = read_particles(events)
    truth = masses(cluster(particles[inside(particles)])[electron_pairs(particles)])
    results: list[Result] = []
    for item in hits:
        label, _, path = item.rpartition("=")
        visible = read_hits(path)
        if len(visible) != len(particles):
            raise SystemExit(f"{path}: has {len(visible)} events, but {events} has {len(particles)}")
        clusters = cluster(visible)
        if constant is None:
            constant = calibration(particles, clusters)
            print(f"calibration, from {path}: 1 GeV of weighted visible energy stands for {constant:.3f} GeV")
        results.append(analyse(label or Path(path).stem, particles, clusters, constant))
        report(results[-1], truth)
    assert constant is not None
    return results, truth, constant


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Z mass and photon resolution from calorimeter hits")
    parser.add_argument("events", metavar="EVENTS.root", help="generated particles (EDM4hep, or plain branches)")
    parser.add_argument("hits", nargs="+", metavar="LABEL=HITS.root", help="files of hits of these events")
    parser.add_argument(
        "--photons", nargs="+", metavar=("EVENTS.root", "LABEL=HITS.root"), help="take the photons from other events"
    )
    parser.add_argument("--constant", type=float, help="GeV per GeV of weighted visible energy, instead of calibrating")
    parser.add_argument("-o", "--output", type=Path, default=Path("z_mass.png"), help="figure to write (z_mass.png)")
    return parser.parse_args()


def main() -> None:
    """Run the analysis on every file."""
    vector.register_awkward()
    options = arguments()
    results, truth, constant = run(options.events, options.hits, options.constant)
    photons = results
    if options.photons:
        photons, _, _ = run(options.photons[0], options.photons[1:], constant)
    draw(results, photons, truth, options.output)
    print(f"{options.output} is drawn")


if __name__ == "__main__":
    main()
