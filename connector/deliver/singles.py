"""Rows that travel alone: one thread with many requests in flight.

A request of one row is little work, and threads that hand one lock to each other for each step of it spend more on
that than on the work. Here one thread begins several requests in one commit, and settles each as its answer comes.
One that has to be tried again goes to a thread of its own, and keeps its place among those in flight meanwhile.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from connector.deliver.attempt import Answer
from connector.deliver.courier import Part
from connector.deliver.watch import LOOK_S
from connector.deliver.worker import Worker
from connector.failpoints import reach
from connector.ports import NoReply

if TYPE_CHECKING:
    from collections.abc import Callable

    from connector.deliver.attempt import Means
    from connector.deliver.watch import Watch
    from connector.deliver.worker import Progress
    from connector.ports import Batch, Destination, Flight, Reply, Work

ENDED = "the run ended before this was sent"


def travel_alone(destination: Destination) -> bool:
    """True when each request carries one row, and each row needs one request."""
    routes, limits = destination.routes, destination.limits()
    changes = [change for route in routes for change in route.changes]
    is_one_request = len(changes) == len(set(changes))
    return is_one_request and all(
        limits.get(route.name, route.max_rows) == 1 and not route.min_interval_s for route in routes
    )


class Singles:
    """Sends ranges of the plan, as many at once as the policy allows, from one thread."""

    def __init__(self, work: Work, means: Means, watch: Watch, tell: Progress, flight: Flight) -> None:
        """Nothing is sent yet; `flight` is closed at the end."""
        self._work = work
        self._means = means
        self._watch = watch
        self._tell = tell
        self._flight = flight
        self._worker = Worker(work, means, watch, tell)
        self.workers = [self._worker]
        """Who sent, and counted."""
        self._idle: list[Worker] = []
        self._away: dict[int, tuple[Part, Answer]] = {}
        self._aside: list[threading.Thread] = []
        self._held: Batch | None = None  # taken from the work, but its turn has not come
        self._wait_s = LOOK_S
        self._at_end = False

    def run(self) -> None:
        """Nothing, when every row that was taken is settled; an exception is left with the watch."""
        try:
            while not self._at_end or self._away or self._aside:
                self._wait_s = LOOK_S
                self._guarded(self._send_more)
                for call_id, reply in self._flight.arrived(self._wait_s):
                    self._guarded(self._arrived, call_id, reply)
                self._aside = [thread for thread in self._aside if thread.is_alive()]
        except BaseException as defect:  # noqa: BLE001 - `deliver` raises it again
            self._watch.fail(defect)
        finally:
            for thread in self._aside:
                thread.join()  # what it sent is to be settled before the journal is closed
            self._flight.close()

    def _guarded(self, step: Callable[..., None], *given: Any) -> None:
        """Nothing; an exception ends the run, but first the requests in flight are answered and settled."""
        try:
            step(*given)
        except BaseException as defect:  # noqa: BLE001 - `deliver` raises it again
            self._watch.fail(defect)

    def _send_more(self) -> None:
        """Nothing, after sending as many requests as may be in flight, and as the rate allows by now."""
        fresh: list[tuple[Part, Answer]] = []
        while len(self._away) + len(self._aside) + len(fresh) < self._means.policy.concurrency:
            batch, self._held = self._held or self._taken(), None
            if batch is None:
                break
            wait_s = 0.0 if self._watch.ended() else self._means.limiter.claim()
            if wait_s > 0:
                self._held, self._wait_s = batch, min(wait_s, LOOK_S)
                break
            part, answer = Part(batch), Answer(self._means.destination.build(batch), batch.route)
            if self._watch.ended():
                answer.stopped = True
                self._worker.settle(part, answer)
                continue
            fresh.append((part, answer))
        if fresh:
            self._worker.attempts.begin_all([answer for _, answer in fresh])
            for part, answer in fresh:
                self._guarded(self._leave, part, answer)

    def _taken(self) -> Batch | None:
        """The next row, or None when there is none, or the run ends."""
        batches = None if self._watch.ended() else self._work.take(self._watch.limits)
        self._at_end = batches is None
        return batches[0] if batches is not None else None

    def _leave(self, part: Part, answer: Answer) -> None:
        """Nothing, after sending a request that was begun."""
        call_id = answer.call_id
        assert call_id is not None  # noqa: S101 - it was begun
        self._away[call_id] = part, answer
        if self._watch.defect is not None:
            answer.stopped = True
            self._arrived(call_id, NoReply(ENDED, maybe_applied=False, ms=0.0))
            return
        reach("before-send")
        try:
            self._flight.start(call_id, answer.request)
        except BaseException as defect:
            del self._away[call_id]
            self._worker.attempts.broke(call_id, defect)
            raise

    def _arrived(self, call_id: int, reply: Reply | NoReply) -> None:
        """Nothing, after settling the rows of a call that was answered, or giving it to a thread that waits."""
        part, answer = self._away.pop(call_id)
        attempts = self._worker.attempts
        attempts.arrived(answer, call_id, reply)
        if attempts.is_worth_another(answer):
            self._put_aside(part, answer)
        else:
            self._worker.settle(part, answer)

    def _put_aside(self, part: Part, answer: Answer) -> None:
        """Nothing, after giving a request that is to be tried again to a thread of its own."""
        if self._idle:
            worker = self._idle.pop()
        else:
            worker = Worker(self._work, self._means, self._watch, self._tell)
            self.workers.append(worker)

        def run() -> None:
            self._guarded(worker.pursue, part, answer)
            self._idle.append(worker)

        # A daemon, as every thread of a delivery.
        thread = threading.Thread(target=run, name=f"deliver-aside-{len(self._aside)}", daemon=True)
        self._aside.append(thread)
        thread.start()
