# SPDX-License-Identifier: BSD-3-Clause
"""Limits on the physics of a comparison of hit files: those of a TOML file, or the usual ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

from ...config.base import Model, about
from ...config.toml import read_toml
from ...config.validation import validate
from ..estimates import Estimate
from ..limits import Bounds, LimitResult, no_such_number
from .physics import Physics, SectionSums

ALIKE = "alike."
"""Begins names of numbers of the events in which both simulated the same particles but soft ones."""


class HitsLimitsFile(Model):
    """The whole file."""

    limits: Annotated[
        dict[str, Bounds],
        about(
            "Limits by the names of numbers, such as ECAL.energy.ratio, *.hits.p_value or alike.ECAL.hits.ratio; at "
            "least one",
            min_length=1,
        ),
    ]


USUAL_LIMITS = {
    "*.p_value": Bounds(min=1e-6),
    "alike.*.p_value": Bounds(min=1e-6),
}
"""Where no others are given: no mean and no spectrum differs by more than chance could explain, once in a million. What
cannot be tested for want of events is left out."""


def load_hits_limits(path: str | Path) -> dict[str, Bounds]:
    """Read limits for a comparison of files of hits.

    Raises
    ------
    ConfigError
        The file cannot be read, or a key or value in it makes no sense.

    Examples
    --------
    A file may hold::

        [limits]
        "*.energy.ratio" = { min = 0.98, max = 1.02, sigmas = 2 }
        "alike.ECAL.profile.p_value" = { min = 1e-3 }
    """
    return validate(HitsLimitsFile, read_toml(path), str(path)).limits


def numbers_of(physics: Physics) -> dict[str, Estimate]:
    """Return the numbers that limits can be put on, by name.

    Returns
    -------
    dict of str to Estimate
        ``SECTION.KEY.ratio`` (mean of FAST over mean of FULL), ``SECTION.KEY.p_value`` and ``SECTION.KEY.correlation``
        for the keys of `physics.SCALARS`, ``SECTION.KEY.p_value`` and ``SECTION.KEY.chi2_per_degree`` for those of
        `physics.SPECTRA`; once more behind ``alike.``, where some events are set apart. Sections without hits in both
        files are left out. A number that is none, for want of events, keeps no limit.
    """
    found: dict[str, Estimate] = {}
    groups = {"": physics.all} | ({ALIKE: physics.alike} if physics.set_apart else {})
    for group, sections in groups.items():
        for section, sums in sections.items():
            if not sums.empty:
                found |= {f"{group}{section}.{name}": number for name, number in _numbers(sums).items()}
    return found


def _numbers(sums: SectionSums) -> dict[str, Estimate]:
    found = {}
    for key, pair in sums.scalars.items():
        if pair.n:
            found[f"{key}.ratio"] = _estimate(*pair.ratio)
            found[f"{key}.p_value"] = _estimate(pair.p_value)
            found[f"{key}.correlation"] = _estimate(pair.correlation)
    for key, spectrum in sums.spectra.items():
        if spectrum.n:
            chi2, degrees, p_value = spectrum.test
            found[f"{key}.p_value"] = _estimate(p_value)
            found[f"{key}.chi2_per_degree"] = _estimate(chi2 / degrees if degrees else math.nan)
    return found


def _estimate(value: float, error: float = 0.0) -> Estimate:
    return Estimate(value, error, math.nan, math.nan)


def hold_limits(
    limits: Mapping[str, Bounds], numbers: Mapping[str, Estimate], where: str, *, strict: bool = True
) -> tuple[LimitResult, ...]:
    """Hold limits against the numbers of a comparison.

    Parameters
    ----------
    limits : mapping of str to Bounds
    numbers : mapping of str to Estimate
        From `numbers_of`.
    where : str
        The limits' file, for messages.
    strict : bool
        Whether a name that stands for no number is refused, and whether what is no number, for want of events, is held
        against its limit, which it then does not keep. Otherwise both are passed over.

    Raises
    ------
    ConfigError
        There is no number of a name.
    """
    found = []
    for pattern, table in limits.items():
        # an asterisk stands for a section: it does not reach into the events that are set apart
        names = [n for n in numbers if fnmatchcase(n, pattern) and n.startswith(ALIKE) == pattern.startswith(ALIKE)]
        if not names and strict:
            raise no_such_number(pattern, numbers, where)
        found += [
            limit.verdict(numbers[name])
            for name in names
            if strict or math.isfinite(numbers[name].value)
            for limit in table.limits_of(name)
        ]
    return tuple(found)
