"""The workers of a run: each takes ranges of the plan and sends them, until there are none or the run ends."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from connector.deliver.attempt import Means
from connector.deliver.courier import Courier
from connector.deliver.policy import Delivered
from connector.deliver.sheet import empty_tally
from connector.deliver.split import Splitter
from connector.deliver.watch import LOOK_S, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from connector.deliver.policy import Policy
    from connector.deliver.sheet import Tally
    from connector.ports import Batch, Clock, Destination, Journal, Limiter, Outcome, Work

    Progress = Callable[[Outcome, int], None]


def deliver(  # noqa: PLR0913, PLR0917 - each is a seam of its own
    work: Work,
    destination: Destination,
    journal: Journal,
    limiter: Limiter,
    clock: Clock,
    random: Random,
    policy: Policy,
    stop: threading.Event,
    progress: Progress | None = None,
) -> Delivered:
    """What became of the rows of `work`, each with exactly one outcome, and the same in the journal.

    `stop` may be set at any time: requests in flight finish and are settled, nothing new starts. `progress` is told
    each outcome and the rows that have it, by one worker at a time. An exception of a seam ends the run; it is raised
    again here once all requests in flight are settled.
    """
    watch = Watch(policy, stop, destination.limits())
    means = Means(destination, journal, limiter, clock, random, policy)
    telling = threading.Lock()

    def tell(outcome: Outcome, rows: int) -> None:
        if progress is not None:
            with telling:
                progress(outcome, rows)

    workers = [_Worker(work, means, watch, tell) for _ in range(policy.concurrency)]
    _run(workers, watch)
    try:
        journal.flush()
    finally:
        if watch.defect is not None:
            raise watch.defect
    tally = empty_tally()
    for worker in workers:
        for outcome, counts in worker.tally.items():
            for change, rows in counts.items():
                tally[outcome][change] += rows
    attempts = [worker.courier.attempts for worker in workers]
    return Delivered(
        tally=tally,
        sent=sum(each.sent for each in attempts),
        retried=sum(each.retried for each in attempts),
        split=sum(each.split for each in attempts),
        fault=watch.close(),
        cancelled=stop.is_set(),
        learned=watch.learned,
    )


def _run(workers: Sequence[_Worker], watch: Watch) -> None:
    """Nothing, when all workers are done."""
    # Daemons, so that a second Ctrl-C ends the program at once: the journal holds what is in flight.
    threads = [
        threading.Thread(target=worker.run, name=f"deliver-{at}", daemon=True) for at, worker in enumerate(workers)
    ]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            # A signal's handler runs only while the main thread does: it must not sleep until a worker is done.
            while thread.is_alive():
                thread.join(LOOK_S)
    except BaseException:
        watch.halt()
        raise


class _Worker:
    """One thread of a delivery."""

    def __init__(self, work: Work, means: Means, watch: Watch, tell: Progress) -> None:
        self._work = work
        self._watch = watch
        self._tell = tell
        self.courier = Courier(means, watch)
        self._splitter = Splitter(self.courier, means, watch)
        self.tally: Tally = empty_tally()

    def run(self) -> None:
        """Nothing, after the last range this worker took; an exception is left with the watch."""
        try:
            while not self._watch.ended():
                batches = self._work.take(self._watch.limits)
                if batches is None:
                    return
                self._deliver(batches)
        except BaseException as defect:  # noqa: BLE001 - `deliver` raises it again
            self._watch.fail(defect)

    def _deliver(self, batches: tuple[Batch, ...]) -> None:
        """Nothing, when every row of a range is settled on all its routes and counted."""
        sheet = self.courier.open_sheet(batches)
        for batch in batches:
            self._splitter.send(batch)
        sheet.count(self.tally, self._work.changes)
        for first, stop, outcome in sheet.runs():
            self._tell(outcome, stop - first)
