"""Calls: a batch of rows, the request that carries it, what comes back, and what that means."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from connector.ports.rows import Outcome, Route


class Fragments(Protocol):
    """The rendered JSON of a run of rows on one route. Nothing is copied until it is asked for."""

    def __len__(self) -> int:
        """How many rows."""
        ...

    def joined(self, head: bytes = b"", tail: bytes = b"") -> bytes:
        """Every row's JSON, separated by commas, between `head` and `tail`: a body, made in one go."""
        ...

    def ids(self) -> list[str]:
        """Every row's id at the destination."""
        ...

    def part(self, start: int, stop: int) -> Fragments:
        """The rows from offset `start` up to `stop`."""
        ...


class Shown(Protocol):
    """The rows of a batch as they may be written down, where some of their values must not be."""

    def joined(self) -> bytes:
        """Every row's JSON without those values, separated by commas, like `Fragments.joined`."""
        ...

    def texts(self) -> AbstractSet[str]:
        """Those values, as texts: what a reply may repeat of them must not be written down either."""
        ...

    def part(self, start: int, stop: int) -> Shown:
        """The rows from offset `start` up to `stop`."""
        ...


@dataclass(frozen=True, slots=True)
class Batch:
    """The plan's rows `first` up to `stop` on one route. `shown` is None where everything may be written down."""

    route: Route
    first: int
    stop: int
    fragments: Fragments
    shown: Shown | None = None

    def __len__(self) -> int:
        """How many rows."""
        return self.stop - self.first

    def part(self, start: int, stop: int) -> Batch:
        """The rows from offset `start` up to `stop` as a batch of their own."""
        shown = None if self.shown is None else self.shown.part(start, stop)
        return Batch(self.route, self.first + start, self.first + stop, self.fragments.part(start, stop), shown)


@dataclass(frozen=True, slots=True)
class Request:
    """One call to be made. `auth` names the secret; the secret itself is added where the call is sent, never here.

    `purpose` says why the call is made ("send", "key check", "read schema", ...), for the API call log.
    """

    method: str
    url: str
    auth: str
    purpose: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 30.0
    batch: Batch | None = None

    @property
    def shown_body(self) -> bytes | None:
        """The body as it may be written down; None when it must not be.

        A body is its rows' JSON and what the destination put around it. Where the rows cannot be found in it, nobody
        knows where their values stand.
        """
        if self.batch is None or self.batch.shown is None:
            return self.body
        head, rows, tail = self.body.partition(self.batch.fragments.joined())
        return head + self.batch.shown.joined() + tail if rows else None


@dataclass(frozen=True, slots=True)
class Reply:
    """What the destination answered. Header names are lower-case; `ms` is wall time."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    ms: float


@dataclass(frozen=True, slots=True)
class NoReply:
    """No answer came. `maybe_applied`: the request may have reached the destination, nobody can tell."""

    reason: str
    maybe_applied: bool
    ms: float


# --- verdicts: the closed set of what a reply can mean -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one row of an answered request did not get through (`outcome` is skipped or rejected)."""

    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True)
class Judged:
    """Each row is settled: those in `failures` (by offset in the batch) as it says, all others succeeded."""

    failures: Mapping[int, Failure] = field(default_factory=dict)
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The whole request was refused because of some row. `culprits` names them (by offset) where the reply did.

    `too_large`: fewer rows a request would have been taken.
    """

    reason: str
    culprits: Mapping[int, str] = field(default_factory=dict)
    too_large: bool = False


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Nothing was applied and the same request may work later; `after_s` is the destination's own wish."""

    reason: str
    after_s: float | None = None
    slow_down: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """The request may or may not have been applied."""

    reason: str


@dataclass(frozen=True, slots=True)
class Fault:
    """The sync itself is at fault (key, address, unknown field): no request of it can work."""

    message: str
    slug: str
    hint: str | None = None


Verdict = Judged | Refused | TryAgain | Unknown | Fault


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """What a probe found: the verdict on the batch's first row, and the facts to remember for this destination."""

    first_row: Verdict
    learned: Mapping[str, str] = field(default_factory=dict)
