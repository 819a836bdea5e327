"""The threads of a run: each takes ranges of the plan and sends them, until there are none or the run ends."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from connector.deliver.attempt import Means
from connector.deliver.policy import Delivered
from connector.deliver.sheet import empty_tally
from connector.deliver.singles import Singles, travel_alone
from connector.deliver.watch import LOOK_S, Watch
from connector.deliver.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from connector.deliver.policy import Policy
    from connector.deliver.worker import Progress
    from connector.ports import Clock, Destination, Journal, Limiter, Outcome, Work


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

    workers = _work_off(work, means, watch, tell)
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
    attempts = [worker.attempts for worker in workers]
    return Delivered(
        tally=tally,
        sent=sum(each.sent for each in attempts),
        retried=sum(each.retried for each in attempts),
        split=sum(each.split for each in attempts),
        fault=watch.close(),
        cancelled=stop.is_set(),
        learned=watch.learned,
    )


def _work_off(work: Work, means: Means, watch: Watch, tell: Progress) -> Sequence[Worker]:
    """Who sent, and counted, when there is nothing left to send or the run ends."""
    most = means.policy.concurrency
    flight = means.destination.flight(most) if travel_alone(means.destination) else None
    if flight is None:
        workers = [Worker(work, means, watch, tell) for _ in range(most)]
        _run([worker.run for worker in workers], watch)
        return workers
    singles = Singles(work, means, watch, tell, flight)
    _run([singles.run], watch)
    return singles.workers


def _run(jobs: Sequence[Callable[[], None]], watch: Watch) -> None:
    """Nothing, when all jobs are done, each in a thread of its own."""
    # Daemons, so that a second Ctrl-C ends the program at once: the journal holds what is in flight.
    threads = [threading.Thread(target=job, name=f"deliver-{at}", daemon=True) for at, job in enumerate(jobs)]
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
