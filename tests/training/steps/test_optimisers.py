# SPDX-License-Identifier: BSD-3-Clause
"""The optimiser is torch's, without what torch would load for it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from helpers.trainings.tiny_training import tiny_config, write_data

from fastcalo.training.stages.optimisers import AdamW


def train(optimiser: torch.optim.Optimizer, parameters: list[torch.nn.Parameter], steps: int) -> None:
    for step in range(steps):
        optimiser.zero_grad()
        torch.stack([((k + 1) * p - step).square().sum() for k, p in enumerate(parameters)]).sum().backward()
        optimiser.step()


def start() -> list[torch.nn.Parameter]:
    torch.manual_seed(1)
    return [torch.nn.Parameter(torch.randn(5, 3)), torch.nn.Parameter(torch.randn(7))]


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_steps_and_states_are_those_of_torch_to_the_bit(decay):
    mine, theirs = start(), start()
    settings = {"lr": 0.1, "betas": (0.5, 0.9), "weight_decay": decay}
    ours, torchs = AdamW(mine, **settings), torch.optim.AdamW(theirs, **settings)
    train(ours, mine, 5)
    train(torchs, theirs, 5)
    # each goes on from the other's state
    kept = torchs.state_dict()
    torchs.load_state_dict(ours.state_dict())
    ours.load_state_dict(kept)
    train(ours, mine, 5)
    train(torchs, theirs, 5)
    assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))
    assert not any(p.requires_grad is False for p in mine)


TRAINING = """
import sys
from pathlib import Path
from fastcalo.training.config import read_config
from fastcalo.training.trainer import run_stages
import json
run_stages(read_config(json.loads(sys.argv[1]), "config"), Path(sys.argv[2]))
print(*(name for name in ("torch._dynamo", "sympy", "matplotlib.pyplot", "onnxruntime") if name in sys.modules))
"""


def test_a_training_loads_neither_a_compiler_nor_windows_for_pictures(tmp_path):
    """Each would take longer to load than all else that a rank does when it starts."""
    config = json.dumps(tiny_config(write_data(tmp_path)).as_dict())
    done = subprocess.run(
        [sys.executable, "-c", TRAINING, config, str(tmp_path / "run")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""
    assert (tmp_path / "run" / "curves.png").exists()
