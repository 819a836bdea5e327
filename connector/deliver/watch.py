"""What the workers of a run share: whether it goes on, how much fits into a request, what went wrong in a row."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from connector.errors import DestinationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from connector.deliver.policy import Policy
    from connector.ports import Fault

LOOK_S = 0.05
"""How often a thread that waits for another one looks up."""


class Watch:
    """The state of a run while it delivers. Thread-safe."""

    def __init__(self, policy: Policy, stop: threading.Event, limits: Mapping[str, int]) -> None:
        """A run that goes on until `stop` is set or something here ends it; `limits`: rows a request by route."""
        self._policy = policy
        self._stop = stop
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        self._halted = False
        self.fault: DestinationError | None = None
        self.defect: BaseException | None = None
        self.learned: dict[str, str] = {}
        self._taught: Mapping[str, int] = dict(limits)
        self._found: dict[str, int] = {}
        self.limits: Mapping[str, int] = dict(limits)  # replaced, never changed: workers read it without the lock
        self._unavailable = 0
        self._refused = 0
        self._signature = ""
        self._searches = 0
        self._out_of_reach: str | None = None

    # --- whether the run goes on ---------------------------------------------------------------------------------

    def ended(self) -> bool:
        """True when no new request may start."""
        return self._halted or self._stop.is_set()

    def halt(self, fault: DestinationError | None = None) -> None:
        """Nothing, after ending the run; the first fault is the one that counts."""
        with self._lock:
            self._halted = True
            self.fault = self.fault or fault

    def fail(self, defect: BaseException) -> None:
        """Nothing, after ending the run for an exception that is raised again once all workers are done."""
        with self._lock:
            self._halted = True
            self.defect = self.defect or defect

    def close(self) -> DestinationError | None:
        """Why the run ended by itself, or why some rows were left: nobody could be reached to take them."""
        if self.fault is None and self._out_of_reach is not None:
            return DestinationError(
                f"the destination could not be reached for some of the rows: {self._out_of_reach}",
                slug="destination-unavailable",
                hint="the next run offers the rows that were left; the calls are in the API call log",
            )
        return self.fault

    # --- what goes wrong in a row --------------------------------------------------------------------------------

    def accepted(self) -> None:
        """Nothing; the destination took something, so nothing has gone wrong in a row."""
        if self._unavailable or self._refused:
            with self._lock:
                self._unavailable = self._refused = 0

    def unavailable(self, reason: str, *, sent: bool, exhausted: bool) -> None:
        """Nothing, after counting a request that was given up without a verdict on its rows.

        One that was not tried again tells less: one broken connection may have ended every request in flight.
        """
        with self._lock:
            self._unavailable += 1
            if not sent:
                self._out_of_reach = reason
            allowed = self._policy.max_refused_batches + (0 if exhausted else self._policy.concurrency)
            over = self._unavailable >= allowed
            count = self._unavailable
        if over:
            self.halt(
                DestinationError(
                    f"nothing was accepted while {count} requests in a row were given up; the last one: {reason}",
                    slug="destination-unavailable",
                    hint="the next run offers the rows that were left; the calls are in the API call log",
                )
            )

    def refused_as_a_whole(self, reason: str, signature: str) -> None:
        """Nothing, after counting a batch of which every row was refused, as far as was tried, for one reason."""
        with self._lock:
            self._refused = self._refused + 1 if signature == self._signature else 1
            self._signature = signature
            over = self._refused >= self._policy.max_refused_batches
            count = self._refused
        if over:
            self.halt(
                DestinationError(
                    f"{count} batches in a row were refused, whichever of their rows were sent: {reason}",
                    slug="every-row-refused",
                    hint="every row has the same fault: look at the mapping of the sync, and at the request in the "
                    "API call log",
                )
            )

    def fault_of(self, fault: Fault) -> None:
        """Nothing, after ending the run for a fault of the sync itself."""
        self.halt(DestinationError(fault.message, slug=fault.slug, hint=fault.hint))

    def may_search(self) -> bool:
        """True while the search for bad rows may cost one more request; counts it."""
        budget = self._policy.max_split_requests
        if budget is None:
            return True
        with self._lock:
            self._searches += 1
            return self._searches <= budget

    # --- how much fits into a request ----------------------------------------------------------------------------

    def taught_rows(self, route: str, rows: int) -> int:
        """The most rows a request of `route` takes according to the destination; `rows` when it does not say."""
        return self._taught.get(route, rows)

    def learn(self, facts: Mapping[str, str], limits: Mapping[str, int]) -> None:
        """Nothing, after taking over what a probe found."""
        with self._lock:
            self.learned.update(facts)
            self._taught = dict(limits)
            self._combine()

    def shrink(self, route: str, rows: int) -> None:
        """Nothing; requests of `route` carry at most `rows` rows from now on."""
        with self._lock:
            self._found[route] = min(rows, self._found.get(route, rows))
            self._combine()

    def _combine(self) -> None:
        limits = dict(self._taught)
        for route, rows in self._found.items():
            limits[route] = min(rows, limits.get(route, rows))
        self.limits = limits

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """True when no other worker is in here; False when the run ended while waiting for that."""
        while not (inside := self._asking.acquire(timeout=LOOK_S)):
            if self.ended():
                break
        try:
            yield inside and not self.ended()
        finally:
            if inside:
                self._asking.release()
