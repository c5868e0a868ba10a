# SPDX-License-Identifier: BSD-3-Clause
"""Production of many gun showers into one file, in parts, so that an interrupted production can resume."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .._version import __version__
from ..detector.description import DEFAULT_DETECTOR, Detector, DetectorLike, load_detector, parse_detector
from ..display import html_table
from ..errors import ConfigError, InputError
from ..io.atomic import check_output
from ..io.showers.native import ShowerFile
from ..io.showers.native_writer import join_showers, write_showers
from ..particles import code_of
from .engine import geant4_facts
from .extent import with_window
from .gun import Gun, Spectrum, cut_to_windows, shots_of
from .parts import Facts, Parts
from .pool import Geant4Pool
from .shots import Shots, Showers

Progress = Callable[[int, int], None]
"""Called with the number of showers done, and of all showers."""


@dataclass(frozen=True)
class GunResult:
    """What a campaign of showers made.

    Attributes
    ----------
    path : Path
        The file of showers.
    showers : int
    seconds_per_shower : float
        Time of one core spent in Geant4.
    """

    path: Path
    showers: int
    seconds_per_shower: float

    def _repr_html_(self) -> str:
        rows = [("showers", f"{self.showers}"), ("Geant4", f"{self.seconds_per_shower:.3g} s per shower and core")]
        return html_table(f"Showers {self.path}", (), rows)


def run_campaign(
    output: str | Path,
    detector: Detector,
    gun: Gun,
    showers: int,
    *,
    window: int | None = None,
    times: bool = False,
    workers: int = 1,
    part: int = 100,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> GunResult:
    """Simulate showers and write them to a file.

    Parameters
    ----------
    output : str or Path
        An HDF5 file in the native format of showers. Until it is whole, finished parts, which are such files, too, lie
        in a folder beside it, with ``.parts`` added to its name.
    detector : Detector
    gun : Gun
    showers : int
        How many.
    window : int, optional
        Cells along x and along y around the line of flight whose deposits are kept, in every section; 0 keeps all that
        there are. The detector's windows unless given.
    times : bool
        Whether the energy-weighted mean time of each deposit is kept, too.
    workers : int
        Processes of Geant4. What comes out does not depend on it.
    part : int
        Showers in a part.
    resume : bool
        Go on with what the folder of parts holds.
    overwrite : bool
        Whether the file may be replaced, and the folder of parts be emptied.
    progress : callable, optional

    Returns
    -------
    GunResult

    Raises
    ------
    ConfigError
        The gun does not fit the detector, Geant4 does not know a species, or what is to be resumed was made with other
        settings; the message names the key.
    OutputError
        The file exists already, or cannot be written, or there are parts already that are not to be resumed.
    DetectorError, Geant4DataError, Geant4Error, MissingDependencyError
        See `Geant4Pool.run`.
    """
    if showers < 1 or part < 1:
        raise ConfigError(f"there must be at least one shower, and one in a part; but they are {showers} and {part}")
    gun.check(detector)
    kept = with_window(detector, window)
    output = Path(output)
    folder = output.with_name(output.name + ".parts")
    overwrite = overwrite or (resume and folder.is_dir())
    check_output(output, overwrite=overwrite)
    with Geant4Pool(detector, workers, times=times) as pool:
        if unknown := [c for c, known in zip(gun.species, pool.knows(list(gun.species)), strict=True) if not known]:
            raise ConfigError(f"species: Geant4 has no particle of the PDG code {unknown[0]}")
        facts = {**_facts(pool), **gun.facts(), **({} if window is None else {"window": window})}
        parts = Parts(folder, showers, part)
        parts.open({**facts, "showers": showers, "part": part, "times": int(times)}, resume=resume, overwrite=overwrite)
        _fill(parts, pool, gun, kept, facts, progress)
    seconds = parts.seconds()
    join_showers(output, kept, parts.paths, attributes={**facts, "seconds_per_shower": seconds}, overwrite=overwrite)
    parts.remove()
    return GunResult(output, showers, seconds)


def gun(
    output: str | Path,
    showers: int = 100,
    *,
    detector: DetectorLike = DEFAULT_DETECTOR,
    species: Sequence[int | str] = ("e-", "e+", "gamma"),
    energy: tuple[float, float] = (0.1, 100.0),
    spectrum: Spectrum | str = Spectrum.LOG,
    cone_degrees: float = 56.0,
    seed: int = 0,
    entry_spread_mm: float | None = None,
    window: int | None = None,
    times: bool = False,
    workers: int = 1,
    part: int = 100,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> GunResult:
    """Shoot particles at the calorimeter with Geant4, one shower each.

    They enter the central cell of the first section, evenly spread over it unless `entry_spread_mm` is given, in
    directions that are isotropic within the cone. The showers depend on the seed, but not on `workers`, `part` or
    interruptions.

    Parameters
    ----------
    output : str or Path
        An HDF5 file in the native format of showers; see `run_campaign`.
    showers : int
        How many.
    detector : Detector, name or path
    species : sequence of int or str
        PDG codes, or names such as ``"pi+"``; each as likely as another.
    energy : (float, float)
        Smallest and largest kinetic energy, GeV.
    spectrum : Spectrum or str
        ``"log"`` for energies spread evenly in their logarithm, ``"flat"`` for evenly.
    cone_degrees : float
        Largest angle to the layers' normal.
    seed : int
    entry_spread_mm : float, optional
        Entry points are spread over a square whose sides lie this far from a cell's centre.
    window : int, optional
        Cells along x and along y that are kept around the line of flight; 0 keeps all. The detector's unless given.
    times : bool
        Whether the energy-weighted mean time of each deposit is kept, too.
    workers : int
        Processes of Geant4.
    part : int
        Showers after which what is done is safe.
    resume : bool
        Go on with an interrupted run.
    overwrite : bool
        Whether the file, and an unfinished run, may be replaced.
    progress : callable, optional
        Called with the showers done and all showers.

    Returns
    -------
    GunResult

    Raises
    ------
    ConfigError
        A species or the spectrum is not known; or see `run_campaign`.
    OutputError, DetectorError, Geant4DataError, Geant4Error, MissingDependencyError
        See `run_campaign`.

    Examples
    --------
    >>> from fastcalo import gun
    >>> gun("pions.h5", 1000, species=["pi+", "pi-"], energy=(1, 50), workers=8)  # doctest: +SKIP
    """
    try:
        spread = Spectrum(spectrum)
    except ValueError as error:
        raise ConfigError(f"spectrum: {spectrum!r} is none of {[s.value for s in Spectrum]}") from error
    shot = Gun(codes_of(species), (energy[0], energy[1]), spread, cone_degrees, seed, entry_spread_mm)
    options: dict[str, Any] = {
        "window": window,
        "times": times,
        "workers": workers,
        "part": part,
        "resume": resume,
        "overwrite": overwrite,
    }
    return run_campaign(output, load_detector(detector), shot, showers, **options, progress=progress)


def codes_of(species: Sequence[int | str]) -> tuple[int, ...]:
    """Return the PDG codes of species given by code or name.

    Raises
    ------
    ConfigError
        One is not known.
    """
    codes = [code_of(str(each)) for each in species]
    if None in codes:
        raise ConfigError(f"{species[codes.index(None)]!r} is neither a PDG code nor a particle's name")
    return tuple(code for code in codes if code is not None)


def repeat_showers(
    source: str | Path,
    rows: Sequence[int],
    output: str | Path,
    *,
    detector: DetectorLike | None = None,
    workers: int = 1,
    overwrite: bool = False,
) -> GunResult:
    """Simulate showers of a file again, from their stored conditions and seeds.

    Parameters
    ----------
    source : str or Path
    rows : sequence of int
        Which of its showers.
    output : str or Path
        The file for them.
    detector : Detector, name or path, optional
        The one that the file describes unless given.
    workers : int
    overwrite : bool

    Returns
    -------
    GunResult

    Raises
    ------
    InputError
        The file has no such showers or no seeds, is from another stack, or does not describe its detector and none is
        given.
    OutputError, DetectorError, Geant4DataError, Geant4Error, MissingDependencyError
        See `run_campaign`.
    """
    check_output(output, overwrite=overwrite)
    with ShowerFile(source) as file:
        calorimeter = load_detector(detector) if detector is not None else _described(file)
        file.check_detector(calorimeter, windows=False)
        sections = tuple(
            replace(s, window=file.shape(s.name)[:2]) if s.name in file.sections else s for s in calorimeter.sections
        )
        times = bool(file.sections) and all(file.has_times(name) for name in file.sections)
        if bad := [row for row in rows if not 0 <= row < len(file)]:
            raise InputError(f"{source}: has no shower {bad[0]}; they are numbered 0 to {len(file) - 1}")
        columns = ("pdg", "kinetic_energy", "direction", "entry", "seeds")
        conditions = {c: np.concatenate([getattr(file, c)(row, row + 1) for row in rows]) for c in columns}
    with Geant4Pool(calorimeter, workers, times=times) as pool:
        found = list(pool.run(shots_of(conditions).split(1)))
        facts = _facts(pool)
    seconds = sum(s.seconds for s in found) / len(found)
    kept_in = replace(calorimeter, sections=sections)
    kept = cut_to_windows(kept_in, found)
    attributes = {**facts, "again": json.dumps(list(rows)), "seconds_per_shower": seconds}
    write_showers(
        output, kept_in, conditions, kept.hits, totals=kept.totals, times=kept.times, attributes=attributes,
        overwrite=overwrite,
    )  # fmt: skip
    return GunResult(Path(output), len(rows), seconds)


def _described(file: ShowerFile) -> Detector:
    text = file.attributes.get("detector")
    if not isinstance(text, str):
        raise InputError(f"{file.path}: does not describe its detector; name it (--detector)")
    try:
        return parse_detector(json.loads(text), f"{file.path}: detector")
    except json.JSONDecodeError as error:
        raise InputError(f"{file.path}: the attribute 'detector' is no JSON: {error}") from error


def _facts(pool: Geant4Pool) -> Facts:
    """With what is simulated, as attributes of a file."""
    facts = geant4_facts(pool)
    return {
        "generator": "Geant4",
        **{key: value if isinstance(value, int | float) else _text(value) for key, value in facts.items()},
        "fastcalo": __version__,
        "detector": json.dumps(pool.detector.description),
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _fill(
    parts: Parts, pool: Geant4Pool, gun: Gun, detector: Detector, facts: Facts, progress: Progress | None
) -> None:
    """Simulate the parts that are missing. Parts follow each other without a pause of the processes."""
    missing = [k for k, path in enumerate(parts.paths) if not path.exists()]
    done = parts.showers - sum(len(parts.range(k)) for k in missing)
    conditions = {}

    def shots() -> Iterator[Shots]:
        for k in missing:
            rows = parts.range(k)
            conditions[k] = gun.conditions(detector, rows.start, rows.stop)
            yield from shots_of(conditions[k], rows.start).split(1)

    def report() -> None:
        if progress is not None:
            progress(done, parts.showers)

    report()
    showers = pool.run(shots())
    for k in missing:
        found: list[Showers] = []
        for _ in parts.range(k):
            found.append(next(showers))
            done += 1
            report()
        kept = cut_to_windows(detector, found)
        seconds = sum(s.seconds for s in found) / len(found)
        attributes = {**facts, "seconds_per_shower": seconds}
        write_showers(
            parts.paths[k], detector, conditions.pop(k), kept.hits, totals=kept.totals, times=kept.times,
            attributes=attributes,
        )  # fmt: skip
    # lets the pool know that all is taken
    next(showers, None)
