# SPDX-License-Identifier: BSD-3-Clause
"""Run the C++ tests of the backend ``onnxruntime``, compiled once, with the library of each version of ONNX Runtime.

    python benchmarks/engines/onnxruntime_versions.py BUILD [VERSION ...] [--wheels FOLDER]

BUILD is a folder in which integration/cpp was built with its tests. The Python wheels of the versions are downloaded
into the folder, but for those already there, and the library in each is opened by the same programs: ``test_vectors``
(noise bit for bit, showers and events as Python draws them, of all models) and ``test_threads`` (eight threads on one
model).
Prints a Markdown table; ends with 1 where a version fails, or one before 1.22 is not refused by its name.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
VERSIONS = (
    "1.21.0", "1.21.1", "1.22.0", "1.22.1", "1.23.2", "1.24.4", "1.25.1", "1.26.0", "1.27.0", "1.28.0", "1.29.0",
    "1.30.0", "1.31.1", "1.32.0",
)  # fmt: skip
"""The newest of each minor version, and two of those at the edge."""
LEAST = (1, 22)
SKIPPED = 77
"""What the programs end with where the backend cannot be opened."""


def library_of(version: str, wheels: Path) -> Path:
    """The library of a version, out of its wheel."""
    target = wheels / f"libonnxruntime.so.{version}"
    if target.exists():
        return target
    names = list(wheels.glob(f"onnxruntime-{version}-*.whl"))
    if not names:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        # every wheel of a version has the same library
        command += ["--python-version", "3.11", "--dest", str(wheels), f"onnxruntime=={version}"]
        subprocess.run(command, check=True)
        names = list(wheels.glob(f"onnxruntime-{version}-*.whl"))
    with zipfile.ZipFile(names[0]) as wheel:
        (inside,) = (n for n in wheel.namelist() if n.endswith(f"/capi/libonnxruntime.so.{version}"))
        target.write_bytes(wheel.read(inside))
    return target


def run_test(build: Path, program: str, library: Path) -> tuple[int, str]:
    """Exit status and last line of a test."""
    arguments = ["onnxruntime", str(ROOT / "fastcalo/model")]
    if program == "test_vectors":
        arguments += [str(ROOT / "integration/cpp/tests/vectors"), str(ROOT / "tests/data/windows.onnx")]
    done = subprocess.run(
        [str(build / "tests" / program), *arguments],
        env={**os.environ, "FASTCALO_ONNXRUNTIME": str(library)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = (done.stdout + done.stderr).strip().splitlines()
    return done.returncode, lines[-1] if lines else ""


def check(build: Path, version: str, wheels: Path) -> tuple[bool, str]:
    """Whether all is as it should be with a version, and its line of the table."""
    library = library_of(version, wheels)
    results = [run_test(build, program, library) for program in ("test_vectors", "test_threads")]
    if tuple(map(int, version.split(".")[:2])) < LEAST:
        message = results[0][1].removeprefix("skipped: ")
        good = all(status == SKIPPED for status, _ in results) and f"ONNX Runtime {version} " in message
        return good, f"| {version} | refused: {message} | |"
    cells = ["passed" if status == 0 else f"FAILED ({status}): {message}" for status, message in results]
    return all(status == 0 for status, _ in results), f"| {version} | {' | '.join(cells)} |"


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description="the C++ tests with many versions of ONNX Runtime")
    parser.add_argument("build", type=Path)
    parser.add_argument("versions", nargs="*", default=VERSIONS)
    parser.add_argument("--wheels", type=Path, default=Path("onnxruntime-wheels"))
    options = parser.parse_args()
    options.wheels.mkdir(parents=True, exist_ok=True)
    print("| ONNX Runtime | test vectors | 8 threads on one model |\n|---|---|---|")
    good = True
    for version in options.versions:
        passed, line = check(options.build, version, options.wheels.resolve())
        good &= passed
        print(line, flush=True)
    sys.exit(not good)


if __name__ == "__main__":
    main()
