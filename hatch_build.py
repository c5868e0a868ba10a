# SPDX-License-Identifier: BSD-3-Clause
"""Build hook of the wheel: compiles the C++ library into ``fastcalo/_native`` where cmake and a compiler are there.

Environment variables: ``FASTCALO_PURE=1`` leaves it out, for a wheel of Python only, which lacks nothing but the speed;
``FASTCALO_NATIVE=required`` makes it an error if it cannot be compiled.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_COMPILERS = ("c++", "g++", "clang++")
_NAME = "libfastcalo.dylib" if sys.platform == "darwin" else "libfastcalo.so"


class NativeLibrary(BuildHookInterface[Any]):
    """Adds the library to a wheel, which then is for one platform and every version of Python."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the library, unless the installation is editable (``make native`` is for those)."""
        required = os.environ.get("FASTCALO_NATIVE") == "required"
        if version == "editable" or os.environ.get("FASTCALO_PURE"):
            return
        problem = self._missing() or self._compile(Path(self.root), build_data)
        if problem and required:
            raise RuntimeError(f"the native engine could not be built: {problem}")
        if problem:
            self.app.display_warning(f"without the native engine, models run by ONNX Runtime: {problem}")

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was compiled."""
        del version, build_data, artifact_path
        if hasattr(self, "_folder"):
            shutil.rmtree(self._folder, ignore_errors=True)

    @staticmethod
    def _missing() -> str:
        if shutil.which("cmake") is None:
            return "there is no cmake"
        if not os.environ.get("CXX") and not any(map(shutil.which, _COMPILERS)):
            return "there is no C++ compiler"
        return ""

    def _compile(self, root: Path, build_data: dict[str, Any]) -> str:
        from packaging.tags import sys_tags

        # in an sdist, what the links at the root point to stands in their place
        sources = next((p for p in (root / "integration/cpp", root / "fastcalo/integration/cpp") if p.is_dir()), None)
        if sources is None:
            return "there are no C++ sources"
        self._folder = tempfile.mkdtemp(prefix="fastcalo-native-")
        build = Path(self._folder) / "build"
        options = ["-DCMAKE_BUILD_TYPE=Release", "-DFASTCALO_BUILD_TESTS=OFF", "-DFASTCALO_STATIC_RUNTIME=ON"]
        steps = [
            ["cmake", "-S", str(sources), "-B", str(build), *options],
            ["cmake", "--build", str(build), "--parallel", str(min(8, os.cpu_count() or 1)), "--target", "fastcalo"],
        ]
        for step in steps:
            done = subprocess.run(step, capture_output=True, text=True, check=False)
            if done.returncode:
                return f"{' '.join(step[:2])}: {(done.stderr or done.stdout).strip()[-400:]}"
        # not the name with the version, which the others are links to: a wheel has no links
        library = (build / "src" / _NAME).resolve()
        build_data["force_include"][str(library)] = f"fastcalo/_native/{_NAME}"
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{next(iter(sys_tags())).platform}"
        return ""
