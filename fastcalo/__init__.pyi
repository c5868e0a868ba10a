# SPDX-License-Identifier: BSD-3-Clause
# The public names, and where they are defined: read by lazy_loader at run time, and by type checkers.
from ._version import __version__ as __version__
from .detector.description import Detector as Detector
from .detector.description import load_detector as load_detector
from .errors import FastCaloError as FastCaloError
from .event.events import Events as Events
from .event.events import Reason as Reason
from .event.hits import Hits as Hits
from .event.hits import SectionHits as SectionHits
from .export.exporter import export as export
from .fullsim.campaign import gun as gun
from .fullsim.engine import Geant4Simulation as Geant4Simulation
from .io.hits.any_format.stream import open_hits as open_hits
from .io.hits.writer import write_hits as write_hits
from .io.particles.reader import open_events as open_events
from .io.showers.reader import open_showers as open_showers
from .model.shower_model import ShowerModel as ShowerModel
from .model.shower_model import load_model as load_model
from .production.convert import convert as convert
from .production.inspect import inspect as inspect
from .production.merge import merge as merge
from .simulation.fast import FastSimulation as FastSimulation
from .training.api import train as train
from .validation.hits.compare import compare as compare
from .validation.showers.validate import validate as validate
