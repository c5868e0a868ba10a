# SPDX-License-Identifier: BSD-3-Clause
"""Fast simulation in a Geant4 program in Python: import it where Geant4 itself may be imported, with its data found."""

from .hook import FastSimulationHook
from .module_stack import ModuleStack
from .statistics import HookStatistics

__all__ = ["FastSimulationHook", "HookStatistics", "ModuleStack"]
