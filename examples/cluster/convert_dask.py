# SPDX-License-Identifier: BSD-3-Clause
"""A conversion by workers of Dask: convert_dask.py INPUT FOLDER [ADDRESS]. Without an address, two workers here."""

from __future__ import annotations

import sys
from pathlib import Path

from fastcalo import FastSimulation, open_events
from fastcalo.production.executors import dask_workers
from fastcalo.production.parts.run import convert_in_parts


def main(source: str, folder: str, address: str = "local") -> None:
    """Convert, or go on with what was interrupted."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    with dask_workers(address, workers=2) as (executor, workers):
        summary = convert_in_parts(
            open_events(source),
            Path(folder) / "hits.root",
            FastSimulation(threads=1),
            events_per_file=100,
            executor=executor,
            workers=workers,
            seed=1,
            resume=True,
        )
    print(summary)


# workers import this file
if __name__ == "__main__":
    main(*sys.argv[1:])
