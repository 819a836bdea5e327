"""What delivery needs: time, a journal, a rate, and the plan's rows in batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from connector.ports.calls import Batch, NoReply, Reply, Request
    from connector.ports.rows import Change, Outcome, Route


class Clock(Protocol):
    """Time, passed in so that tests wait for nothing."""

    def now(self) -> float:
        """Seconds since 1970, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Nothing, after that time."""
        ...


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of the plan's rows `first` up to `stop` on one route.

    `cause` says what the reason is about, and so what the next run does: "row" (this row was refused: it travels
    alone), "batch" (the whole request was refused), "transient" (the destination was unavailable), None (no failure).
    `attempts` counts the requests that carried these rows.
    """

    route: str
    first: int
    stop: int
    outcome: Outcome
    reason: str | None = None
    cause: str | None = None
    call_id: int | None = None
    attempts: int = 0


class Journal(Protocol):
    """The API call log and the journal of a run in one: every call, and what it settled. Thread-safe."""

    def begin(self, request: Request, *, attempt: int, parent: int | None = None) -> int:
        """The new call's id. The call and its rows are durable as "intended" when this returns.

        Everything the same thread passed to `answer` and `settle` before is durable then, too.
        """
        ...

    def begin_all(self, requests: Sequence[Request]) -> list[int]:
        """The ids of new calls, each the first attempt of its request: what `begin` does, for many at once."""
        ...

    def answer(self, call_id: int, reply: Reply | NoReply) -> None:
        """Nothing, after noting what came back."""
        ...

    def settle(
        self, call_id: int | None, verdict: str, reason: str | None = None, settled: Sequence[Settled] = ()
    ) -> None:
        """Nothing, after noting what the reply meant: the rows are in doubt no more, unless `settled` says so."""
        ...

    def flush(self) -> None:
        """Nothing, when everything noted so far is durable."""
        ...


class Limiter(Protocol):
    """One rate for all syncs and processes that use a destination. Thread-safe."""

    def acquire(self, route: Route | None = None) -> bool:
        """True when a request may go out now, after its turn came; False when the run was cancelled meanwhile."""
        ...

    def claim(self) -> float:
        """0.0 when a request may go out now, else the seconds after which to ask again; does not wait.

        For routes without a `min_interval_s`.
        """
        ...

    def slow_down(self, after_s: float | None = None) -> None:
        """Nothing, after halving the rate; with `after_s`, nobody's turn comes before that time is over."""
        ...

    def went_well(self) -> None:
        """Nothing, after letting the rate climb a little."""
        ...


class Work(Protocol):
    """The plan's rows, cut into batches on demand. Thread-safe."""

    def take(self, max_rows: Mapping[str, int]) -> tuple[Batch, ...] | None:
        """The next rows as one batch a route they need, or None at the end.

        `max_rows` lowers the number of rows a batch for the routes it names. Rows known to be bad come alone.
        """
        ...

    def changes(self, first: int, stop: int) -> Mapping[Change, int]:
        """How many of the plan's rows `first` up to `stop` are added, changed and removed."""
        ...
