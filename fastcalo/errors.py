# SPDX-License-Identifier: BSD-3-Clause
"""Exceptions of fastcalo.

Each derives from `FastCaloError` and from the built-in that fits, so that a caller may catch either.
A message states what was wrong, where (file, tree, entry, key) and what to do about it.
"""


class FastCaloError(Exception):
    """Base of all errors raised by fastcalo."""


class DetectorError(FastCaloError, ValueError):
    """A detector description that does not describe a calorimeter."""


class ConfigError(FastCaloError, ValueError):
    """A configuration file or option with a wrong key or value."""


class ContractError(FastCaloError, ValueError):
    """A model file whose contract is missing, or cannot be met here."""


class ModelNotFoundError(FastCaloError, FileNotFoundError):
    """A model name or path that leads to no model."""


class InputError(FastCaloError, ValueError):
    """An input file or array that cannot be used."""


class OutputError(FastCaloError, OSError):
    """An output file that could not be written."""


class WorkerDiedError(FastCaloError, RuntimeError):
    """A process that was given work died: it was killed, or out of memory."""


class TrainingError(FastCaloError, RuntimeError):
    """A training that cannot go on."""


class ExportError(FastCaloError, RuntimeError):
    """A trained model that cannot be exported faithfully."""


class MissingDependencyError(FastCaloError, ImportError):
    """An optional dependency that is not installed; the message gives the line that installs it."""


class CommandError(FastCaloError, ImportError):
    """A sub-command of another distribution that cannot be loaded."""


class PackageNameError(FastCaloError, ImportError):
    """A package of fastcalo imported under a name that would make a second copy of it."""


class Geant4Error(FastCaloError, RuntimeError):
    """Geant4 died, or refused to work."""


class Geant4DataError(Geant4Error):
    """Physics data of Geant4 that are missing; the message states which, and how to get them."""
