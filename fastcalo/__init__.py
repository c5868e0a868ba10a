"""Fast calorimeter simulation: particles in, calorimeter hits out, through networks trained on full simulation.

Names are imported when they are first used, so that ``import fastcalo`` takes next to no time. Where each is defined
stands in ``__init__.pyi``, which type checkers and editors read too.
"""

from __future__ import annotations

import lazy_loader

from ._version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
