# SPDX-License-Identifier: BSD-3-Clause
"""Parts that workers make: handed out, stated in the manifest when they are whole, and tried again if a worker dies."""

from __future__ import annotations

import logging
import os
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, BrokenExecutor, Executor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Self

from ...errors import InputError, WorkerDiedError
from ...io.atomic import output_errors
from ..executors import Call, SerialExecutor, Shared, worker_died, worker_processes
from ..summary import Summary
from .manifest import DONE, FAILED, ManifestWriter
from .plan import Part, Plan, pattern_folder
from .status import ranges
from .work import Job, Made, make_part, remove_unfinished

logger = logging.getLogger(__name__)

# parts under way for each worker: one that it makes, and one that waits for it
_AHEAD = 2
# how often a part is tried beside others, one of which may be what its worker died of; then it is tried alone
_TOGETHER = 2
# parts given up one after the other: then it is not the parts
_MOST_GIVEN_UP = 2


class WorkerPools:
    """The executor that makes the parts of a job; processes of this machine are started anew when one of them dies.

    Parameters
    ----------
    job : Job
    executor : Executor or None
        One that is not replaced, unless it is None.
    workers : int
    """

    def __init__(self, job: Job, executor: Executor | None, workers: int) -> None:
        self._job, self._given, self.workers = job, executor, workers
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()

    def renew(self) -> bool:
        """Start processes anew; False where they are not ours to start."""
        if self._given is not None:
            return False
        # waits for those that are left, so that none of them writes any more
        self._stack.close()
        self._start()
        return True

    def _start(self) -> None:
        pool = self._given or self._stack.enter_context(worker_processes(self.workers))
        self.ahead = 1 if isinstance(pool, SerialExecutor) else _AHEAD * self.workers
        self.shared = Shared(pool, self._job)


@dataclass
class PartsRun:
    """Parts that are being made.

    Attributes
    ----------
    job : Job
    plan : Plan
    manifest : ManifestWriter
    summary : Summary
        Of the parts that are done.
    entries : int
        Of the input, that are done.
    failed : list of str
        Parts that could not be made, and why.
    """

    job: Job
    plan: Plan
    manifest: ManifestWriter
    summary: Summary
    entries: int = 0
    failed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._waiting: dict[Call[Made], Part] = {}
        self._again: deque[Part] = deque()
        self._deaths: Counter[int] = Counter()
        self._broken: WorkerDiedError | None = None
        self._given_up = 0

    def results(self, pools: WorkerPools, parts: Iterator[Part]) -> Iterator[None]:
        """Have workers make parts, a few under way for each worker; yields after each.

        Raises
        ------
        WorkerDiedError
            Workers died, and it seems not to be for what they made, or they cannot be replaced.
        """
        try:
            while True:
                self._hand_out(pools, parts)
                if not self._waiting and self._broken is None:
                    return
                yield from self._collect(FIRST_COMPLETED)
                if self._broken is not None:
                    # it breaks as a whole: all calls end
                    yield from self._collect(ALL_COMPLETED)
                    self._renew(pools, self._broken)
        finally:
            for call in self._waiting:
                call.cancel()

    def _hand_out(self, pools: WorkerPools, parts: Iterator[Part]) -> None:
        """Give parts to workers, as many as may be under way."""
        while len(self._waiting) < self._room(pools):
            part = self._again.popleft() if self._again else next(parts, None)
            if part is None:
                return
            try:
                self._waiting[pools.shared.submit(make_part, part)] = part
            except BrokenExecutor as error:
                self._again.appendleft(part)
                self._broken = worker_died(error)
                return

    def _room(self, pools: WorkerPools) -> int:
        """How many parts may be under way."""
        next_ones = [*self._waiting.values(), *([self._again[0]] if self._again else [])]
        deaths = max((self._deaths[part.number] for part in next_ones), default=0)
        if deaths >= _TOGETHER:
            return 1
        # where workers died, no more than are made: all that are under way come into question the next time
        return pools.workers if deaths else pools.ahead

    def _collect(self, until: str) -> Iterator[None]:
        """Take what is done; yields after each part."""
        wait([call.future for call in self._waiting], return_when=until)
        for call in [call for call in self._waiting if call.future.done() and call.done()]:
            self._take(self._waiting.pop(call), call)
            yield

    def _renew(self, pools: WorkerPools, error: WorkerDiedError) -> None:
        """Go on with other processes."""
        self._again = deque(sorted(self._again, key=lambda part: (-self._deaths[part.number], part.number)))
        listed = ranges(sorted(part.number for part in self._again))
        self._broken = None
        if not pools.renew():
            raise WorkerDiedError(f"{error} Parts {listed} were being made; --resume makes what is missing") from error
        remove_unfinished(path for part in self._again for path in self.job.paths(part.number).values())
        if self._again:
            logger.warning("a worker died; tried again: parts %s", listed, extra={"fields": {"tried_again": listed}})

    def _take(self, part: Part, call: Call[Made]) -> None:
        try:
            made = call.result()
        except InputError as error:
            # of this part only: the others can be made all the same
            self._fail(part, str(error))
        except WorkerDiedError as error:
            self._died(part, error)
        else:
            self._done(part, made)

    def _done(self, part: Part, made: Made) -> None:
        files = _named(self.job, made)
        counted = {"events": made.accounts["events"], "seconds": round(made.seconds, 3), "worker": made.worker}
        row = self._row(part, DONE) | {"files": files, **counted}
        self.manifest.add(row, made.accounts)
        done = Summary.of_accounts(made.accounts)
        done.network_seconds, done.notes = made.network_seconds, made.notes
        self.summary.include(done)
        self.entries += len(part.entries)
        self._given_up = 0
        rate = made.accounts["events"] / max(made.seconds, 1e-9)
        logger.info(
            "part %d: %d events in %.2f s", part.number, made.accounts["events"], made.seconds,
            extra={"fields": {**row, "events_per_second": round(rate, 3)}},
        )  # fmt: skip

    def _died(self, part: Part, error: WorkerDiedError) -> None:
        """Have a part tried again whose worker died, or give it up."""
        # Dask has tried it again by itself, and goes on
        broken = isinstance(error.__cause__, BrokenExecutor)
        self._deaths[part.number] += 1
        if broken:
            self._broken = error
            if self._deaths[part.number] <= _TOGETHER:
                self._again.append(part)
                return
        times = f"its worker died {self._deaths[part.number]} times, at last with no other part beside it"
        self._fail(part, f"{times}; it may need more memory than there is" if broken else str(error))
        self._given_up += 1
        if self._given_up == _MOST_GIVEN_UP:
            raise WorkerDiedError(
                f"{self._given_up} parts were given up one after the other. {error} What is whole stays: go on with "
                "--resume"
            ) from error

    def _fail(self, part: Part, why: str) -> None:
        self.failed.append(f"part {part.number}: {why}")
        self.manifest.add(self._row(part, FAILED) | {"error": why})
        self.entries += len(part.entries)
        logger.error("part %d failed: %s", part.number, why, extra={"fields": self._row(part, FAILED)})

    def _row(self, part: Part, status: str) -> dict[str, Any]:
        return {
            "part": part.number,
            "first": part.entries.start,
            "stop": part.entries.stop,
            "input": self.plan.hash_of(part),
            "seed": self.job.options.get("seed", 0),
            "status": status,
        }


def _named(job: Job, made: Made) -> list[dict[str, Any]]:
    """Give the files of a part their names. Only who holds the manifest does: workers may outlive it."""
    files = []
    folder = pattern_folder(job.patterns["output"])
    paths = job.paths(made.part.number)
    for file in made.files:
        path = paths[file["kind"]]
        with output_errors(path):
            job.unfinished(path).replace(path)
        files.append({"name": os.path.relpath(path, folder), **file})
    return files
