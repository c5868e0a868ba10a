# SPDX-License-Identifier: BSD-3-Clause
"""`fastcalo validate` from files to a report, as a user runs it."""

import json
from contextlib import ExitStack
from pathlib import Path

import h5py
import numpy as np
import pytest
from helpers.browser import Page, check_in_browser
from helpers.command import run_command
from helpers.files.foreign_files import BINNING, VOXELS, write_h5
from helpers.models.windowed_model import WINDOWED_MODEL

import fastcalo
from fastcalo.errors import ConfigError, InputError
from fastcalo.io.showers.native import ShowerFile
from fastcalo.io.showers.native_writer import write_showers
from fastcalo.io.showers.reader import open_showers
from fastcalo.validation.showers.response import QUANTITIES
from fastcalo.validation.showers.selection import DataOptions, choose_samples, common_sections
from fastcalo.validation.showers.validate import validate

ROOT = Path(__file__).parents[2]
SHOWERS = ROOT / "examples" / "data" / "em_geant4.h5"
SECTIONS = ("ECAL", "HCAL")
FEW = 800
"""Showers: as few as serve, for classifiers take their time."""


@pytest.fixture(scope="module")
def validated(tmp_path_factory) -> Path:
    """The shipped model against the shipped sample, with limits that are kept and one that is not."""
    folder = tmp_path_factory.mktemp("validated")
    limits = folder / "limits.toml"
    limits.write_text('[limits]\n"auc.observables" = { max = 0.75 }\nrecall = { min = 0.99 }\n')
    done = run_command(
        "validate", "em", SHOWERS, "-o", folder / "report", "--limits", limits, "--threads", 1, "--showers", FEW
    )
    assert done.returncode == 3, done.stderr
    assert "NOT KEPT: recall" in done.stdout
    assert "kept: auc.observables" in done.stdout
    return folder / "report"


@pytest.fixture(scope="module")
def numbers(validated) -> dict:
    return json.loads((validated / "report.json").read_text())


def test_numbers_stand_beside_their_floor(numbers):
    expected = {
        "auc.all",
        "auc.patterns",
        "auc.observables",
        "auc.cells",
        "fpd",
        "kpd",
        "precision",
        "recall",
        "density",
        "coverage",
        "nearest",
        "separation.mean",
        "separation.worst",
        "wasserstein.mean",
        "wasserstein.worst",
        "correlation.ECAL",
        "correlation.HCAL",
        "position.ECAL",
        "position.HCAL",
    }
    expected |= {f"{q}.{s}.{e}" for q in QUANTITIES for s in SECTIONS for e in ("0.1-1", "1-10", "10-100")}
    assert expected == numbers["numbers"].keys()
    # the strictest judge comes first
    assert next(iter(numbers["numbers"])) == "auc.all"
    # so few showers of em do not show that it sees more than observables: test_hit_patterns.py has what does
    for judge in ("auc.all", "auc.patterns", "auc.observables"):
        number = numbers["numbers"][judge]
        assert 0.005 < number["error"] < 0.1
        assert 0.5 - 3 * number["error"] < number["value"] < 0.75
    assert all(set(n) == {"value", "error", "floor", "floor_error"} for n in numbers["numbers"].values())
    assert abs(numbers["numbers"]["auc.observables"]["floor"] - 0.5) < 0.1
    assert numbers["numbers"]["recall"]["value"] > 0.5
    assert abs(numbers["numbers"]["response.ECAL.10-100"]["value"]) < 0.05
    assert len(numbers["observables"]) > 150
    assert numbers["showers"] == FEW // 2


def test_verdicts_are_reported(numbers):
    assert numbers["passed"] is False
    assert [(v["name"], v["kind"], v["kept"]) for v in numbers["limits"]] == [
        ("auc.observables", "max", True),
        ("recall", "min", False),
    ]


def test_the_report_states_where_it_comes_from(numbers):
    provenance = numbers["provenance"]
    assert provenance["fastcalo"] == fastcalo.__version__
    assert provenance["candidate"]["sha256"] == fastcalo.load_model("em").file_hash
    assert provenance["data"] == str(SHOWERS)
    assert provenance["thresholds_gev"] == {"ECAL": 2e-5, "HCAL": 5e-5}
    assert provenance["showers_outside_validity"] == 0
    assert numbers["timing"]["full_simulation_seconds_per_shower"] == pytest.approx(0.13, abs=0.01)
    assert all(row["seconds_per_shower"] > 0 for row in numbers["timing"]["decades"])


def test_the_page_needs_nothing_else(validated):
    page = Page()
    page.feed((validated / "index.html").read_text())
    assert len(page.sources) >= 8
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert page.headings[0] == "Validation of em"
    assert {"Limits:", "Summary", "Time", "Figures", "Observables"} <= set(page.headings)


def test_a_browser_shows_the_page_with_all_its_figures(validated, tmp_path):
    check_in_browser((validated / "index.html").read_text(), tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_same_seed_gives_the_same_numbers(numbers):
    again = validate("em", SHOWERS, threads=1, showers=FEW).to_dict()["numbers"]
    for name, number in numbers["numbers"].items():
        # sums are rounded differently on another number of threads
        assert again[name] == pytest.approx(number, rel=1e-4, abs=1e-9), name


def test_a_report_is_not_replaced_unasked(validated):
    done = run_command("validate", "em", SHOWERS, "-o", validated)
    assert done.returncode == 1
    assert "index.html: exists already" in done.stderr
    assert "--overwrite" in done.stderr


# showers of others, and files against files


def synthetic(path: Path, n: int, seed: int, smear: float = 0.0) -> Path:
    """CaloChallenge layout: gamma-distributed deposits that grow with the energy, MeV."""
    rng = np.random.default_rng(seed)
    energy = np.exp(rng.uniform(np.log(1e3), np.log(1e6), (n, 1)))
    share = rng.gamma(np.linspace(3, 8, VOXELS), size=(n, VOXELS))
    showers = 0.03 * energy * share / VOXELS / 5 * np.exp(smear * rng.normal(size=(n, VOXELS)))
    return write_h5(path, incident_energies=energy, showers=showers)


@pytest.fixture(scope="module")
def challenge(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("challenge")
    (folder / "binning.xml").write_text(BINNING)
    synthetic(folder / "reference.hdf5", 6000, 1)
    synthetic(folder / "half.hdf5", 3000, 2)
    synthetic(folder / "smeared.hdf5", 3000, 3, smear=0.3)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_halves_of_one_truth_cannot_be_distinguished_and_a_smeared_copy_can(challenge, capsys):
    same, smeared = (
        validate(challenge / f"{name}.hdf5", challenge / "reference.hdf5").comparison.numbers
        for name in ("half", "smeared")
    )
    with capsys.disabled():
        for name, found in {"half": same, "smeared": smeared}.items():
            print(f"\n  {name}: AUC {found['auc.observables'].value:.3f} (cells {found['auc.cells'].value:.3f}), "
                  f"FPD {found['fpd'].value:.5f} (baseline {found['fpd'].baseline:.5f})", end="")  # fmt: skip
    assert abs(same["auc.observables"].value - 0.5) <= 0.02
    assert abs(same["auc.cells"].value - 0.5) <= 3 * same["auc.cells"].error
    assert abs(same["fpd"].value - same["fpd"].baseline) < 5 * np.hypot(same["fpd"].error, same["fpd"].baseline_error)
    assert smeared["auc.observables"].value > 0.6
    assert smeared["fpd"].value > 2 * smeared["fpd"].baseline


def part(path: Path, rows: slice, **changes) -> Path:
    """Some showers of the shipped sample in a file of their own."""
    with ShowerFile(SHOWERS) as file:
        a, b = rows.start, rows.stop
        conditions = {key: getattr(file, key)(a, b) for key in ("pdg", "kinetic_energy", "direction", "entry")}
        write_showers(path, fastcalo.load_detector(), conditions | changes, {"ECAL": file.hits("ECAL", a, b)})
    return path


def chosen(candidate, *paths: Path, options: DataOptions | None = None):
    """The samples that a comparison would look at: of a model, or None for a file of showers; then data and others."""
    names = ("reference",) if candidate is not None else ("candidate", "reference")
    with ExitStack() as stack:
        full, *rest = (stack.enter_context(open_showers(path)) for path in paths)
        others = dict(zip(names, rest, strict=False))
        sections, thresholds = common_sections(candidate, [full, *rest], options or DataOptions())
        return (*choose_samples(candidate, full, others, sections, thresholds, 20_000, seed=0), thresholds)


@pytest.fixture(scope="module")
def em():
    return fastcalo.load_model("em", threads=1)


def test_halves_are_alike_in_species_and_energy_and_share_no_shower(em, tmp_path):
    samples, outside, _ = chosen(em, part(tmp_path / "a.h5", slice(0, 500)))
    assert outside == 0
    assert [len(s) for s in (samples.reference, samples.candidate, samples.baseline)] == [250] * 3
    assert not set(samples.reference.kinetic_energy) & set(samples.baseline.kinetic_energy)
    for code in (11, -11, 22):
        counts = [(s.pdg == code).sum() for s in (samples.reference, samples.baseline)]
        assert abs(counts[0] - counts[1]) <= 2
    energies = [np.sort(s.kinetic_energy) for s in (samples.reference, samples.baseline)]
    assert np.log(energies[0] / energies[1]) == pytest.approx(0, abs=0.3)


def test_a_reference_of_its_own_lets_all_data_serve(em, tmp_path):
    data, reference = part(tmp_path / "a.h5", slice(0, 500)), part(tmp_path / "b.h5", slice(500, 1200))
    samples, _, _ = chosen(em, data, reference)
    assert [len(s) for s in (samples.reference, samples.candidate, samples.baseline)] == [500] * 3
    with ShowerFile(reference) as file:
        assert set(samples.reference.kinetic_energy) <= set(file.kinetic_energy())


def test_a_file_of_other_particles_is_compared_as_far_as_it_goes(tmp_path):
    candidate, data = part(tmp_path / "a.h5", slice(0, 200)), part(tmp_path / "b.h5", slice(300, 900))
    samples, _, thresholds = chosen(None, data, candidate)
    assert [len(s) for s in (samples.reference, samples.candidate, samples.baseline)] == [200] * 3
    # the detector is found to be the default one, and its threshold applied
    assert thresholds == {"ECAL": 2e-5}


def test_a_file_of_the_same_particles_is_compared_particle_by_particle(tmp_path):
    data = part(tmp_path / "a.h5", slice(0, 400))
    samples, _, _ = chosen(None, data, data)
    assert samples.candidate.kinetic_energy.tolist() == samples.baseline.kinetic_energy.tolist()


def test_a_threshold_holds_for_the_models_showers_as_well(em, tmp_path):
    samples, _, _ = chosen(em, part(tmp_path / "a.h5", slice(0, 300)), options=DataOptions(threshold=1e-3))
    for sample in (samples.reference, samples.candidate, samples.baseline):
        assert 1e-3 < sample.sections["ECAL"].deposit.min() < 1.05e-3


def test_particles_outside_the_models_validity_are_left_out_and_counted(em, tmp_path):
    pdg = np.where(np.arange(600) % 3 == 0, 211, 22)
    samples, outside, _ = chosen(em, part(tmp_path / "pions.h5", slice(0, 600), pdg=pdg))
    assert outside == 200
    assert set(samples.reference.pdg) == {22}
    assert len(samples.candidate) == 200


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_file_of_showers_may_be_the_candidate(tmp_path):
    report = validate(part(tmp_path / "a.h5", slice(0, 300)), part(tmp_path / "b.h5", slice(300, 900)))
    assert report.showers == 300
    assert "not known" in report.timing["text"]


# bad input


def test_too_few_showers_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"few\.h5: too few showers.*100 of each"):
        validate("em", part(tmp_path / "few.h5", slice(0, 150)))


def test_nothing_above_threshold_is_no_perfect_agreement(em, tmp_path):
    with pytest.raises(InputError, match=r"a\.h5: has no deposit above the threshold in ECAL"):
        chosen(em, part(tmp_path / "a.h5", slice(0, 300)), options=DataOptions(threshold=100))


def test_a_report_goes_to_a_folder(tmp_path):
    (tmp_path / "file").touch()
    done = run_command("validate", "em", SHOWERS, "-o", tmp_path / "file")
    assert done.returncode == 1
    assert "is a file; give the name of a folder" in done.stderr


def test_a_file_is_not_held_against_itself(em, tmp_path):
    data, other = part(tmp_path / "a.h5", slice(0, 300)), part(tmp_path / "b.h5", slice(300, 600))
    (tmp_path / "link.h5").symlink_to(data)
    with pytest.raises(InputError, match=r"link\.h5: is the data"):
        chosen(em, data, tmp_path / "link.h5")
    with pytest.raises(InputError, match=r"b\.h5: is the candidate"):
        chosen(None, data, other, other)


def test_showers_of_no_species_of_the_model_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"300 of 300 are outside the model's validity"):
        validate("em", part(tmp_path / "pions.h5", slice(0, 300), pdg=np.full(300, 211)))


def test_bad_limits_are_refused_at_once(tmp_path):
    limits = tmp_path / "limits.toml"
    limits.write_text("[limits]\nfpd = { top = 1 }\n")
    with pytest.raises(ConfigError, match=r"fpd\.top: unknown key"):
        validate("em", tmp_path / "is not even looked for.h5", limits=limits)


def test_other_voxels_are_refused(challenge):
    with pytest.raises(InputError, match="no section that all have"):
        validate(SHOWERS, challenge / "reference.hdf5")


def test_other_voxels_of_the_same_section_are_refused(challenge, tmp_path):
    (tmp_path / "binning.xml").write_text(BINNING.replace("0,2,6", "0,2,7"))
    other = synthetic(tmp_path / "other.hdf5", 400, 5)
    with pytest.raises(InputError, match=r"other\.hdf5: the voxels of \w+ are not those of .*reference\.hdf5"):
        validate(other, challenge / "reference.hdf5")


def test_a_section_that_is_not_there_is_reported():
    with pytest.raises(InputError, match="'HCAL' is not in all"):
        validate(WINDOWED_MODEL, SHOWERS, options=DataOptions(sections=("HCAL",)))


@pytest.mark.parametrize("damage", ["truncated", "not a number", "negative", "cell outside"])
def test_damaged_showers_are_reported_by_file_and_dataset(tmp_path, damage):
    path = part(tmp_path / "data.h5", slice(0, 400))
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        with h5py.File(path, "r+") as file:
            name, value = {"not a number": ("ECAL_deposit", np.nan), "negative": ("ECAL_deposit", -1.0),
                           "cell outside": ("ECAL_cell", 20_000)}[damage]  # fmt: skip
            file[name][5] = value
    done = run_command("validate", "em", path, "-o", tmp_path / "report")
    assert done.returncode == 1
    assert "data.h5" in done.stderr
    assert ("cut short" if damage == "truncated" else "ECAL_") in done.stderr
    assert not (tmp_path / "report").exists()
