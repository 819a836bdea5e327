"""The seams: what a source, a destination and the steps between them promise each other.

A destination says which routes a sync has (one a kind of request) and what one row looks like on each, as a JSON
template of cells. `compile` turns the templates into SQL; nothing else needs to know either side.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import pyarrow as pa
    from pydantic import BaseModel

    from connector.errors import Problem

Json = None | bool | int | float | str | list[Any] | dict[str, Any]


class Change(StrEnum):
    """How a row differs from what the destination accepted before."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


class Outcome(StrEnum):
    """What became of a change, from the best to the worst; a row with several requests gets its worst one."""

    SUCCEEDED = "succeeded"
    SKIPPED = "skipped"
    NOT_ATTEMPTED = "not_attempted"
    IN_DOUBT = "in_doubt"
    REJECTED = "rejected"
    QUARANTINED = "quarantined"


class ValueType(StrEnum):
    """What a value becomes on the wire."""

    STRING = "string"
    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    DATE = "date"  # midnight UTC, ISO 8601 with Z
    TIME = "time"  # ISO 8601 with Z
    LIST = "list"
    ID = "id"  # text without `.0` or exponent, never blank
    EPOCH_MS = "epoch_ms"  # milliseconds since 1970 as a number


class Nulls(StrEnum):
    """What a NULL cell does to its member of the JSON object."""

    OMIT = "omit"
    EMPTY = "empty"
    NULL = "null"


# --- one row's JSON, as a template ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cell:
    """One value of a row: where it comes from, what it becomes, and what a NULL does.

    Exactly one of `column`, `sql` is set. `label` is what the user calls it in the sync config, for messages;
    `at` is `file:line:col`. `required`: a NULL rejects the row. `never`: texts that reject the row.
    For a time: one further than `ahead_s` in the future rejects the row, one older than `age_s` earns a caution.
    """

    label: str
    column: str | None = None
    sql: str | None = None
    type: ValueType | None = None
    nulls: Nulls = Nulls.OMIT
    required: bool = False
    at: str | None = None
    never: tuple[str, ...] = ()
    ahead_s: int | None = None
    age_s: int | None = None


@dataclass(frozen=True, slots=True)
class Constant:
    """The same JSON value on every row."""

    value: Json


@dataclass(frozen=True, slots=True)
class SendTime:
    """The moment the request is built, as epoch milliseconds."""


@dataclass(frozen=True, slots=True)
class Members:
    """A JSON object, its members in this order. With `drop_empty` an object without members is left out.

    An object of more than `caution_bytes` of JSON earns a caution.
    """

    members: tuple[tuple[str, Template], ...]
    drop_empty: bool = False
    caution_bytes: int | None = None


Template = Cell | Constant | SendTime | Members


@dataclass(frozen=True, slots=True)
class Route:
    """One kind of request of a sync: which changes go there, a row's JSON on it, and how many rows fit.

    `repeatable`: sending a row twice leaves the destination as sending it once does. `min_interval_s`: the least
    time between two requests on this route, whatever the rate. For removed rows the template may use `id` only.
    """

    name: str
    changes: frozenset[Change]
    template: Template
    max_rows: int
    max_bytes: int
    repeatable: bool = True
    min_interval_s: float = 0.0


# --- what travels --------------------------------------------------------------------------------------------------


class Fragments(Protocol):
    """The rendered JSON of a run of rows on one route. Nothing is copied until it is asked for."""

    def __len__(self) -> int:
        """How many rows."""
        ...

    def joined(self) -> bytes:
        """Every row's JSON, separated by commas."""
        ...

    def ids(self) -> list[str]:
        """Every row's id at the destination."""
        ...

    def part(self, start: int, stop: int) -> Fragments:
        """The rows from offset `start` up to `stop`."""
        ...


@dataclass(frozen=True, slots=True)
class Batch:
    """The plan's rows `first` up to `stop` on one route."""

    route: Route
    first: int
    stop: int
    fragments: Fragments

    def __len__(self) -> int:
        """How many rows."""
        return self.stop - self.first

    def part(self, start: int, stop: int) -> Batch:
        """The rows from offset `start` up to `stop` as a batch of their own."""
        return Batch(self.route, self.first + start, self.first + stop, self.fragments.part(start, stop))


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


# --- the outside systems ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Query:
    """A model's SQL on its way to a warehouse. `tag` is what the warehouse's own history shows for it.

    `file` and `first_line` say where the SQL is written: an error in it is reported there.
    """

    sql: str
    tag: str = "connector"
    batch_rows: int = 100_000
    file: str = "query"
    first_line: int = 1

    def at(self, offset: int) -> str:
        """`file:line:col` of the character at `offset` of the SQL."""
        before = self.sql[:offset]
        return f"{self.file}:{self.first_line + before.count(chr(10))}:{offset - before.rfind(chr(10))}"


class Source(Protocol):
    """A warehouse. Every method may raise SourceError, and nothing else a user could cause."""

    def check(self) -> None:
        """Nothing, after logging in and asking for one row."""
        ...

    def columns(self, query: Query) -> pa.Schema:
        """The result's columns and types, without reading its rows; names as the warehouse returns them."""
        ...

    def read(self, query: Query) -> AbstractContextManager[pa.RecordBatchReader]:
        """The result, streamed: memory is bounded by a few batches, whatever the number of rows."""
        ...

    def cancel(self) -> None:
        """Nothing, after asking the warehouse to stop what `read` is running. Safe from another thread."""
        ...

    def close(self) -> None:
        """Nothing, after giving back the connection."""
        ...


class Destination(Protocol):
    """One sync's view of a destination. Everything but `send` is pure."""

    @property
    def routes(self) -> tuple[Route, ...]:
        """The kinds of request this sync makes."""
        ...

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that must never be stored or shown."""
        ...

    def limits(self) -> Mapping[str, int]:
        """The most rows a request takes at this moment, by route: a probe's answer may lower it. Thread-safe."""
        ...

    def prepare(self) -> Generator[Request, Reply, None]:
        """The calls to make before the first row is sent: check the key, read the schema, create fields.

        Raises DestinationError or ConfigError when the sync cannot work; nothing has been sent then.
        """
        ...

    def build(self, batch: Batch) -> Request:
        """The request that carries this batch."""
        ...

    def judge(self, request: Request, reply: Reply) -> Verdict:
        """What the reply means for the request's rows; without a batch, only TryAgain, Fault or an empty Judged."""
        ...

    def probe(self, batch: Batch) -> Generator[Request, Verdict, ProbeAnswer] | None:
        """The calls that find out why a batch was refused as a whole, or None when there is nothing to find out.

        Carries the batch's first row only, and settles it.
        """
        ...

    def send(self, request: Request) -> Reply | NoReply:
        """The answer, or why there is none. The only method that touches the network. Thread-safe."""
        ...

    def close(self) -> None:
        """Nothing, after closing the connections."""
        ...


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """What a probe found: the verdict on the batch's first row, and the facts to remember for this destination."""

    first_row: Verdict
    learned: Mapping[str, str] = field(default_factory=dict)


class Connection(Protocol):
    """The network side of a destination."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that must never be stored or shown."""
        ...

    def send(self, request: Request) -> Reply | NoReply:
        """The answer, or why there is none. Thread-safe."""
        ...

    def close(self) -> None:
        """Nothing, after closing the connections."""
        ...


class SourceSystem(Protocol):
    """A kind of warehouse, as the registry holds it."""

    def settings(self) -> type[BaseModel]:
        """The model of its entry under `sources:`."""
        ...

    def open(self, settings: BaseModel, root: Path) -> Source:
        """A source that has not connected yet; paths in the settings are relative to `root`."""
        ...


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


class DestinationSystem(Protocol):
    """A kind of destination, as the registry holds it."""

    def settings(self) -> type[BaseModel]:
        """The model of its entry under `destinations:`."""
        ...

    def problems(self, settings: BaseModel, sync: BaseModel, at: Callable[..., str]) -> list[tuple[str, Problem]]:
        """What is wrong with this sync for this destination, as ("error" | "warning", problem); reads no network.

        `at("fields", "custom", "plan")` is where the user wrote that key of the sync config.
        """
        ...

    def open(
        self,
        settings: BaseModel,
        sync: BaseModel,
        *,
        at: Callable[..., str],
        learned: Mapping[str, str],
        types: Mapping[str, ValueType] = ...,
    ) -> Destination:
        """One sync's destination.

        `learned` holds the facts earlier probes left for this destination. `types` says by a cell's label what it is
        sent as ("fields.custom.plan"); only `prepare` needs them, so they may be missing before the model was read.
        """
        ...

    def connect(self, settings: BaseModel) -> Connection:
        """The network side alone, for the calls of `check`, where there is no sync."""
        ...

    def check(self, settings: BaseModel) -> Generator[Request, Reply, str]:
        """A sentence that says what the login may do, from calls that change nothing; for `check --online`."""
        ...


# --- what delivery needs from the plan and from the state ------------------------------------------------------------


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
