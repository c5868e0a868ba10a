"""Fast calorimeter simulation: particles in, calorimeter hits out, through networks trained on full simulation.

Names are imported when they are first used, so that ``import fastcalo`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .detector.description import Detector, load_detector
    from .errors import FastCaloError
    from .events import Events, Hits, Reason, SectionHits
    from .fullsim.engine import Geant4Simulation
    from .io.particles.reader import open_events
    from .model.shower_model import ShowerModel, load_model
    from .production.convert import convert
    from .simulation.fast import FastSimulation

_HOME = {
    "Detector": "detector.description",
    "Events": "events",
    "FastCaloError": "errors",
    "FastSimulation": "simulation.fast",
    "Geant4Simulation": "fullsim.engine",
    "Hits": "events",
    "Reason": "events",
    "SectionHits": "events",
    "ShowerModel": "model.shower_model",
    "convert": "production.convert",
    "load_detector": "detector.description",
    "load_model": "model.shower_model",
    "open_events": "io.particles.reader",
}

__all__ = [
    "Detector",
    "Events",
    "FastCaloError",
    "FastSimulation",
    "Geant4Simulation",
    "Hits",
    "Reason",
    "SectionHits",
    "ShowerModel",
    "__version__",
    "convert",
    "load_detector",
    "load_model",
    "open_events",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'fastcalo' has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
