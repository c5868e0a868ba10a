# SPDX-License-Identifier: BSD-3-Clause
"""Several trainings, one after the other, in one start of mpiexec, for to start takes longer than to train so little.

Called with a JSON file that holds a list of tables:

config
    The file.
ranks
    That many of the first ranks train, the others wait; 1 is without an exchange.
run
    Folder; that of the file's name beside the file when missing.
order
    For each rank, as text, the order in which it serves messages, of asynchronous trainings.
begin_with
    Folder of a run that is copied, to go on with it.
resume
    Whether the run is there already.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from mpi4py import MPI

from fastcalo.training.config import ServerConfig, load_config
from fastcalo.training.distributed.asynchronous.exchange import ServerExchange
from fastcalo.training.distributed.world import abort_on_error
from fastcalo.training.run.signals import Stopped
from fastcalo.training.strategies import open_exchange
from fastcalo.training.trainer import run_stages


def run(job: dict[str, Any], world: Any) -> None:
    config = load_config(Path(job["config"]))
    folder = Path(job.get("run") or Path(job["config"]).with_suffix(""))
    if begin := job.get("begin_with"):
        if not world.rank:
            shutil.copytree(begin, folder)
        world.Barrier()
    if world.size == 1:
        exchange = None
    elif isinstance(config.parallel, ServerConfig):
        order = job.get("order", {}).get(str(world.rank), ())
        exchange = ServerExchange(world, folder, config.parallel.patience_s, order, config.parallel.masters)
    else:
        exchange = open_exchange(config.parallel, world, folder)
    try:
        run_stages(config, folder, exchange=exchange, resume=bool(begin) or job.get("resume", False), curves=False)
    except Stopped:
        print(f"stopped {folder.name}", flush=True)


def main() -> None:
    world = MPI.COMM_WORLD
    with abort_on_error(world):
        for job in json.loads(Path(sys.argv[1]).read_text()):
            part = world.Split(0 if world.rank < job["ranks"] else MPI.UNDEFINED)
            if part:
                run(job, part)
                part.Free()
            # no core for those that wait
            everyone = world.Ibarrier()
            while not everyone.Test():
                time.sleep(0.005)


if __name__ == "__main__":
    main()
