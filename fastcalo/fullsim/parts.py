# SPDX-License-Identifier: BSD-3-Clause
"""Folder of the finished parts of a campaign of showers, and the settings with which they are made."""

from __future__ import annotations

import json
import re
import reprlib
import shutil
from pathlib import Path

from ..errors import ConfigError, InputError, OutputError
from ..io.atomic import output_errors, whole_file
from ..io.showers.native import ShowerFile

Facts = dict[str, str | int | float]

_SETTINGS = "settings.json"


class Parts:
    """The folder of finished parts, and with what they are made."""

    def __init__(self, folder: Path, showers: int, size: int) -> None:
        self.folder, self.showers, self.size = folder, showers, size
        self.paths = [folder / f"part-{start:09d}.h5" for start in range(0, showers, size)]

    def range(self, k: int) -> range:
        """Showers of a part."""
        return range(k * self.size, min((k + 1) * self.size, self.showers))

    def open(self, settings: Facts, *, resume: bool, overwrite: bool) -> None:
        """Make the folder, or make sure that what it holds is of the same settings.

        Raises
        ------
        ConfigError
            It is not.
        OutputError
            The folder exists, and is neither to be resumed nor overwritten.
        """
        file = self.folder / _SETTINGS
        if resume and file.exists():
            self._compare(file, settings)
            return
        if self.folder.exists():
            if not overwrite and any(self.folder.iterdir()):
                raise OutputError(
                    f"{self.folder}: holds an unfinished run; go on with it (--resume), or replace it (--overwrite)"
                )
            self.remove()
        with output_errors(self.folder):
            self.folder.mkdir()
        with whole_file(file) as temporary, output_errors(file):
            temporary.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")

    def _compare(self, file: Path, settings: Facts) -> None:
        try:
            old = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{file}: cannot be read: {error}; begin anew (--overwrite)") from error
        for key in dict.fromkeys([*settings, *old]):
            if (was := old.get(key)) != (now := settings.get(key)):
                texts = [reprlib.repr(value) for value in (was, now)]
                raise ConfigError(
                    f"{self.folder}: cannot be resumed, for {key} was {texts[0]} and is {texts[1]} now; "
                    "give the same settings, or begin anew (--overwrite)"
                )

    def seconds(self) -> float:
        """Time in Geant4 per shower."""
        total = 0.0
        for k, path in enumerate(self.paths):
            with ShowerFile(path) as file:
                total += float(file.attributes["seconds_per_shower"]) * len(self.range(k))
        return total / self.showers

    def remove(self) -> None:
        """Remove the folder with all that is in it.

        Raises
        ------
        OutputError
            It holds what is not of a run.
        """
        ours = re.compile(rf"\.?(part-\d+\.h5|{re.escape(_SETTINGS)})(\.\w+\.part)?")
        if foreign := [path.name for path in self.folder.iterdir() if not ours.fullmatch(path.name)]:
            raise OutputError(f"{self.folder}: is not removed, for it holds {foreign[0]!r}, which is not of a run")
        with output_errors(self.folder):
            shutil.rmtree(self.folder)
