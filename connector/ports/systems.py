"""The outside systems: what a source and a destination promise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    import pyarrow as pa
    from pydantic import BaseModel

    from connector.errors import Problem
    from connector.ports.calls import Batch, NoReply, ProbeAnswer, Reply, Request, Verdict
    from connector.ports.loading import Loader
    from connector.ports.rows import Route, ValueType
    from connector.ports.snapshots import WarehouseSnapshot


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


UNTYPED = {b"connector.type": b"unknown"}


class Source(Protocol):
    """A warehouse. Every method may raise SourceError, and nothing else a user could cause."""

    def check(self) -> None:
        """Nothing, after logging in and asking for one row."""
        ...

    def columns(self, query: Query) -> pa.Schema:
        """The result's columns and types, without reading its rows; names as the warehouse returns them.

        A text column with the metadata `UNTYPED` may turn out to be anything: its driver names no types, and no row
        has a value yet.
        """
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


@runtime_checkable
class KeepsOpen(Protocol):
    """A source for which opening is what a small query costs most."""

    def kept_open(self) -> AbstractContextManager[None]:
        """Nothing; inside it, queries of any `Source` with the same settings find it open. Raises SourceError."""
        ...


class Destination(Protocol):
    """One sync's view of a destination. Everything but `send` and `flight` is pure."""

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
        """The answer, or why there is none. Nothing but this and `flight` touches the network. Thread-safe."""
        ...

    def flight(self, most: int) -> Flight | None:
        """What carries so many requests of one thread at once; None where each takes a thread of its own."""
        ...

    def close(self) -> None:
        """Nothing, after closing the connections."""
        ...


class Flight(Protocol):
    """Requests in flight at once, for one thread."""

    def start(self, call_id: int, request: Request) -> None:
        """Nothing, after sending the request, or beginning to; whatever prevents it is an answer, too."""
        ...

    def arrived(self, wait_s: float) -> list[tuple[int, Reply | NoReply]]:
        """The answers that have come by now, by call id; without one, waits for the first one so long at most."""
        ...

    def close(self) -> None:
        """Nothing, after closing the connections."""
        ...


class Connection(Protocol):
    """The network side of a destination."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that must never be stored or shown."""
        ...

    def send(self, request: Request) -> Reply | NoReply:
        """The answer, or why there is none. Thread-safe."""
        ...

    def flight(self, most: int) -> Flight | None:
        """As a destination's."""
        ...

    def ready(self) -> None:
        """Nothing, when requests could be sent as far as this machine is concerned. Raises DestinationError."""
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

    def loader(self, settings: BaseModel, root: Path, schema: str) -> Loader:
        """What writes into this schema of the warehouse; it has not connected yet."""
        ...

    def snapshot(self, settings: BaseModel, root: Path, sync: str) -> WarehouseSnapshot:
        """A sync's snapshot in this warehouse, for settings that are a PlannedSource; it has not connected yet."""
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

    def addresses(self, settings: BaseModel) -> tuple[str, ...]:
        """Where its requests go, each without a slash at the end: nothing else may get its secrets."""
        ...

    def in_sandbox(self, settings: BaseModel, url: str) -> BaseModel:
        """The same settings for a sandbox at this address, with the sandbox's own secrets and none of the user's."""
        ...

    def connect(self, settings: BaseModel) -> Connection:
        """The network side alone, for the calls of `check`, where there is no sync."""
        ...

    def check(self, settings: BaseModel) -> Generator[Request, Reply, str]:
        """A sentence that says what the login may do, from calls that change nothing; for `check --online`."""
        ...
