# SPDX-License-Identifier: BSD-3-Clause
"""Measure training and drawing on a GPU, beside a CPU of the same machine, in one call of a few minutes.

    python benchmarks/training/gpu.py SHOWERS.h5 [MORE.h5 ...] [--out FOLDER] [--budget SECONDS] [--train run.toml]
    python benchmarks/training/gpu.py SHOWERS.h5 --device cpu --tiny       a trial without a GPU, of seconds

SHOWERS.h5 are whole showers (`fastcalo fullsim gun --entry-spread 15 --window 0`). In this order, each part only while
time is left:

1. losses of one step of every stage on both devices, from the same networks, showers and random numbers;
2. steps per second of every stage;
3. showers per second of the torch sampler at batches of 256 to 16 384;
4. `fastcalo doctor`;
5. a short training of one rank with NCCL, and with MPI, as transport;
6. the training of --train until the budget is spent; the same command goes on with it (give it --resume by hand).

Each part writes its numbers to gpu.json in the folder at once, so that a run that is cut short has measured something.
Needs torch and h5py, parts 4 and 5 mpi4py. On a machine without a network, bring the other wheels:
`pip download -d wheels fastcalo[train]` here, `pip install --no-index --find-links wheels ...` there.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from fastcalo.detector.description import load_detector
from fastcalo.training.architectures.base import Architecture
from fastcalo.training.architectures.showers.gan import ShowerGan
from fastcalo.training.config import TrainConfig, read_config
from fastcalo.training.data.showers import ShowerData
from fastcalo.training.random_numbers import ShowerRandom
from fastcalo.training.trainer import build_architecture

SPECIES = (11, -11, 22, 211, -211, 130, 2112, 2212)
BATCHES = (256, 1_024, 4_096, 16_384)
RESERVE_S = 20.0
"""Time that a part must leave, for what is written at the end."""


def configuration(files: list[str], tiny: bool) -> TrainConfig:
    """A training of whole showers with networks of the shipped sizes, or tiny ones."""
    small = {"layer_width": 16, "hit_width": 16, "share_width": 8, "critic_width": 16}
    stage = {"steps": 1, "batch": 16 if tiny else 192, "checkpoint_every": 1_000_000}
    return read_config(
        {
            "name": "gpu",
            "arch": "showers",
            "species": list(SPECIES),
            "sections": ["ECAL", "HCAL"],
            "network": small if tiny else {},
            "data": {"train": files},
            "validity": {"kinetic_energy": [0.02, 100.0], "angle_degrees": 75.0},
            "stage": [
                {"name": "layers", **stage},
                {"name": "hits", **stage},
                {"name": "adversarial", **stage, "critic_only": 0},
            ],
        },
        "benchmarks/training/gpu.py",
    )


class Bench:
    """What is measured, and the time that is left for it."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.end = options, time.monotonic() + options.budget
        self.devices = ["cpu"] if options.device == "cpu" else ["cuda", "cpu"]
        self.config = configuration(options.showers, options.tiny)
        self.data = ShowerData(options.showers, load_detector(), self.config.sections, self.config.species, whole=True)
        self.results: dict[str, Any] = {"machine": _machine(options.device)}
        options.out.mkdir(parents=True, exist_ok=True)

    def left(self) -> float:
        """Seconds left."""
        return float(self.end - time.monotonic())

    def part(self, name: str, measure: Callable[[], Any]) -> None:
        """Measure something if there is time; what goes wrong is a result, too."""
        if self.left() < RESERVE_S:
            self.results[name] = "no time left"
        else:
            print(f"{name} ({self.left():.0f} s left)", flush=True)
            try:
                self.results[name] = measure()
            except Exception as error:  # noqa: BLE001 - the other parts are to be measured all the same
                self.results[name] = f"{type(error).__name__}: {error}"
        print(json.dumps(self.results[name], indent=1), flush=True)
        (self.options.out / "gpu.json").write_text(json.dumps(self.results, indent=1) + "\n")

    def losses(self) -> dict[str, Any]:
        """Losses of one step on both devices, and their largest relative difference."""
        found: dict[str, Any] = {}
        for stage in self.config.stage:
            batch = next(self.data.batches(stage.batch))
            values = {}
            for device in self.devices:
                networks, here = self._networks(device), batch.to(device)
                networks.begin(stage.name, here)
                draws = ShowerRandom(5, here.slot)
                values[device] = [loss.item() for _, loss in networks.losses(stage, here, 1, {}, draws)]
            found[stage.name] = values
            if len(self.devices) > 1:
                pairs = zip(values["cpu"], values["cuda"], strict=True)
                found[stage.name]["difference"] = max(abs(a - b) / (abs(a) + 1e-9) for a, b in pairs)
        return found

    def steps(self) -> dict[str, Any]:
        """Steps per second of every stage."""
        seconds = 1.0 if self.options.tiny else 12.0
        found: dict[str, Any] = {}
        for stage in self.config.stage:
            rates = {}
            for device in self.devices:
                networks = self._networks(device)
                batches = self.data.batches(stage.batch, pinned=device == "cuda")
                networks.begin(stage.name, self.data.sample(3 * stage.batch).to(device))
                optimisers = {n: torch.optim.AdamW(p, 1e-4) for n, p in networks.trained_by(stage.name).items()}
                done, start = -2, 0.0
                # two steps to warm up
                while done < 2 or time.perf_counter() - start < seconds:
                    if done == 0:
                        _wait(device)
                        start = time.perf_counter()
                    batch = next(batches).to(device)
                    for name, loss in networks.losses(stage, batch, 1, {}, ShowerRandom(5, batch.slot)):
                        optimisers[name].zero_grad(set_to_none=True)
                        loss.backward()  # type: ignore[no-untyped-call]
                        optimisers[name].step()
                    done += 1
                _wait(device)
                rates[device] = round(done / (time.perf_counter() - start), 2)
            found[stage.name] = {"batch": stage.batch, "steps_per_second": rates}
        return found

    def sampler(self) -> dict[str, Any]:
        """Showers per second of the torch sampler, for the conditions of true showers."""
        found: dict[str, Any] = {}
        for device in self.devices:
            networks = self._networks(device)
            assert isinstance(networks, ShowerGan)
            sizes = (16, 32) if self.options.tiny else BATCHES[: 2 if device == "cpu" else None]
            for size in sizes:
                batch = self.data.sample(min(size, len(self.data))).to(device)
                # showers of the file come again where there are too few
                again = torch.arange(size, device=device) % len(batch)
                kinematics = [t[again] for t in (batch.kinetic_energy, batch.direction, batch.entry, batch.pdg)]
                count = batch.layer_count[again].clamp_min(1)
                times = []
                for _ in range(3):
                    _wait(device)
                    start = time.perf_counter()
                    c = networks.conditions_of(*kinematics)
                    networks.draw_showers(c, networks.draw_noise(count))
                    _wait(device)
                    times.append(time.perf_counter() - start)
                found[f"{device}, batch {size}"] = round(size / min(times), 1)
        return found

    def doctor(self) -> dict[str, Any]:
        """What ``fastcalo doctor`` finds."""
        return _command([sys.executable, "-m", "fastcalo", "doctor"], min(120.0, self.left()))

    def transports(self) -> dict[str, Any]:
        """A training of a few steps with one rank and each transport."""
        found = {}
        launcher = shutil.which("mpiexec")
        for transport in ("auto",) if self.options.device == "cpu" else ("nccl", "mpi"):
            file = self.options.out / f"{transport}.toml"
            file.write_text(_toml(self.options.showers, transport, self.options.device))
            run = self.options.out / f"run-{transport}"
            shutil.rmtree(run, ignore_errors=True)
            command = [sys.executable, "-m", "fastcalo", "train", str(file), "-o", str(run)]
            found[transport] = _command([launcher, "-n", "1", *command] if launcher else command, self.left())
        return found

    def training(self) -> dict[str, Any]:
        """As much of a training as there is time for; it ends with a checkpoint."""
        command = [sys.executable, "-m", "fastcalo", "train", str(self.options.train), "--resume"]
        return _command([*command, "-o", str(self.options.out / "run")], self.left() - RESERVE_S)

    def _networks(self, device: str) -> Architecture:
        networks = build_architecture(self.config)
        networks.networks.to(device)
        return networks


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _machine(device: str) -> dict[str, str]:
    machine = {"python": platform.python_version(), "torch": torch.__version__, "processor": platform.processor()}
    return machine | ({"gpu": torch.cuda.get_device_name()} if device == "cuda" else {})


def _command(command: list[str], seconds: float) -> dict[str, Any]:
    """Run a command; after some time it is asked to stop, which lets a training keep its checkpoint."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        output, _ = process.communicate(timeout=max(1.0, seconds))
    except subprocess.TimeoutExpired:
        process.terminate()
        output, _ = process.communicate()
    return {"code": process.returncode, "seconds": round(time.monotonic() - start, 1), "end": output[-2_000:]}


def _toml(files: list[str], transport: str, device: str) -> str:
    lines = [
        'name = "transport"', 'arch = "showers"', f"species = {list(SPECIES)}", 'sections = ["ECAL", "HCAL"]',
        f'device = "{device}"', "[network]", "layer_width = 32", "[data]", f"train = {json.dumps(files)}",
        "[validity]", "kinetic_energy = [0.02, 100.0]", "angle_degrees = 75.0",
        "[parallel]", 'strategy = "allreduce"', f'transport = "{transport}"',
        "[[stage]]", 'name = "layers"', "steps = 20", "batch = 16",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure all parts, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("showers", nargs="+", help="whole showers")
    parser.add_argument("--out", type=Path, default=Path("gpu"), help="folder for results")
    parser.add_argument("--budget", type=float, default=450.0, help="seconds for everything")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="tiny networks and batches")
    parser.add_argument("--train", type=Path, help="a training to go on with until the budget is spent")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no GPU; --device cpu --tiny is a trial without one")
    bench = Bench(options)
    for name in ("losses", "steps", "sampler", "doctor", "transports"):
        bench.part(name, getattr(bench, name))
    if options.train:
        bench.part("training", bench.training)
    print(f"written to {options.out / 'gpu.json'}")


if __name__ == "__main__":
    main()
