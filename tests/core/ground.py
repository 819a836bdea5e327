"""A small bench for the middle of the connector: rows in, plan and outcomes out, with real DuckDB files."""

from __future__ import annotations

from contextlib import closing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from connector.compile import Projection, compile_sync
from connector.plan import Ask, Plan, compare, elsewhere, stage
from connector.plan.settle import Settlement, settle
from connector.plan.uses import uses_of
from connector.plan.work import PlanWork
from connector.ports import Cell, Change, Constant, Delta, Members, Outcome, Query, Route, SendTime, ValueType
from connector.state.snapshot import Snapshot, open_snapshot
from connector.systems.warehouse.duckdb_snapshots import DuckDbPlace
from connector.systems.warehouse.snapshots import StoredSnapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from connector.ports import WarehouseSnapshot

UPSERTS = frozenset({Change.ADDED, Change.CHANGED})
REMOVALS = frozenset({Change.REMOVED})
NOW_MS = 1_770_000_000_000
MATCH = Cell("match", "id", type=ValueType.ID, required=True)


def cell(column: str, **more: Any) -> Cell:
    return Cell(f"fields.custom.{column}", column, **more)


def route(
    name: str = "custom",
    *columns: str,
    changes: frozenset[Change] = UPSERTS,
    rows: int = 500,
    size: int = 1_000_000,
    match: Cell = MATCH,
) -> Route:
    values = Members(tuple((column, cell(column)) for column in columns))
    return Route(name, changes, Members((("visitorId", match), ("values", values))), rows, size)


def delete_route() -> Route:
    return Route("delete", REMOVALS, MATCH, 500, 1_000_000)


def event_route(rows: int = 500) -> Route:
    members = (
        ("type", Constant("track")),
        ("visitorId", Cell("visitor_id", "id", type=ValueType.ID, required=True)),
        ("timestamp", SendTime()),
        ("properties", Members((("v", Cell("properties.v", "v")),), drop_empty=True)),
    )
    return Route("track", frozenset({Change.ADDED}), Members(members), rows, 1_000_000, repeatable=False)


def table(sql: str) -> pa.Table:
    with closing(duckdb.connect(":memory:")) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.sql(sql).to_arrow_table()


def values(*rows: tuple[Any, ...], columns: str = "id, v") -> pa.Table:
    """A table of literal rows."""
    names = [name.strip() for name in columns.split(",")]
    return pa.table({name: [row[at] for row in rows] for at, name in enumerate(names)})


def compiled(routes: Iterable[Route], model: pa.Table, *, key: tuple[str, ...] = ("id",)) -> Projection:
    return compile_sync(tuple(routes), key, model.schema, at=lambda *_: "sync.yml:1:1", key_at="m.sql:1:1", model="m")


_PLANNER = ContextVar("planner", default="local")


@contextmanager
def planning(planner: str) -> Iterator[str]:
    """The planner; inside the block, every ground that is made has it."""
    token = _PLANNER.set(planner)
    yield planner
    _PLANNER.reset(token)


@dataclass
class Ground:
    """A sync's state in a folder. Each `compare` is what a run would plan; `finish` settles it.

    With the planner `warehouse` the snapshot is kept in a DuckDB file, where the model is, too.
    """

    folder: Path
    routes: tuple[Route, ...]
    events: bool = False
    max_attempts: int = 5
    hold: bool = False
    skip_first: bool = False
    runs: int = 0
    plans: list[Plan] = field(default_factory=list)
    planner: str = field(default_factory=_PLANNER.get)

    def open(self) -> Any:
        return open_snapshot(self.folder, "s")

    def compare(self, snapshot: Snapshot, model: pa.Table, **ask: Any) -> Plan:
        self.runs += 1
        asked = Ask(
            f"run-{self.runs}",
            events=self.events,
            max_attempts=self.max_attempts,
            hold_in_doubt=self.hold,
            skip_first=self.skip_first,
            **ask,
        )
        projection = compiled(self.routes, model)
        if self.planner == "local":
            stage(snapshot, model.to_reader(), projection, asked, NOW_MS)
            plan = compare(snapshot, projection, self.routes, asked)
        else:
            found = self._stage_there(snapshot, model, projection, asked)
            plan = compare(snapshot, projection, self.routes, asked, found)
        self.projection = projection
        self.plans.append(plan)
        return plan

    def _stage_there(
        self, snapshot: Snapshot, model: pa.Table, projection: Projection, ask: Ask
    ) -> elsewhere.Elsewhere:
        """What the warehouse counted, after comparing there; a run that died may have left something to tell it."""
        with closing(duckdb.connect(str(self.folder / "warehouse.duckdb"))) as connection:
            connection.register("arriving", model)
            connection.execute("SET TimeZone = 'UTC'; CREATE OR REPLACE TABLE m AS SELECT * FROM arriving")
        remote = self.remote
        remote.prepare()
        if elsewhere.place_of(snapshot) is None:
            snapshot.keep(elsewhere.OWNER, "ground")
            elsewhere.keep_place(snapshot, *remote.write(Delta("ground", None, "made", elsewhere.no_rows(), wipe=True)))
        elsewhere.tell(snapshot, remote)
        uses = uses_of(self.routes, ("id",), model.schema.names)
        asked = elsewhere.wanted(snapshot, projection, uses, Query("SELECT * FROM m"), ask)
        with elsewhere.compared(snapshot, remote, asked) as found:
            with found.rows() as rows:
                stage(snapshot, rows, projection, ask, NOW_MS, marked=True)
            return elsewhere.take(snapshot, found)

    @property
    def remote(self) -> WarehouseSnapshot:
        """The snapshot in the warehouse."""
        return StoredSnapshot(DuckDbPlace("warehouse.duckdb", self.folder, "connector_state"), "s")

    def finish(self, snapshot: Snapshot, *ranges: tuple[Any, ...], stopped: bool = False) -> Settlement:
        rows = self.folder / "rows" / f"run-{self.runs}.parquet"
        settlement = settle(snapshot, journal(*ranges), rows, NOW_MS, stopped=stopped)
        if self.planner == "warehouse":
            elsewhere.tell(snapshot, self.remote)
        return settlement

    def succeed(self, snapshot: Snapshot) -> Settlement:
        count = sum(self.plans[-1].counts.planned.values())
        return self.finish(snapshot, *((route.name, 0, count, "succeeded") for route in self.routes))

    def run(self, model: pa.Table, *ranges: tuple[Any, ...], **ask: Any) -> tuple[Plan, Settlement]:
        """One run in which everything succeeds, or what the ranges say."""
        with self.open() as snapshot:
            plan = self.compare(snapshot, model, **ask)
            return plan, self.finish(snapshot, *ranges) if ranges else self.succeed(snapshot)

    def work(self, snapshot: Snapshot, plan: Plan, **more: Any) -> PlanWork:
        work = PlanWork(snapshot, plan, self.routes, self.projection.fragments, **more)
        work.set_send_time(NOW_MS)
        return work


def journal(*ranges: tuple[Any, ...]) -> pa.Table:
    """Ranges of (route, first, stop, outcome, reason, cause, call_id, attempts), the last four optional."""
    full = [(*given, *(None, None, at + 1, 1)[len(given) - 4 :]) for at, given in enumerate(ranges)]
    names = ("route", "first", "stop", "outcome", "reason", "cause", "call_id", "attempts")
    kinds = (pa.string(), pa.int64(), pa.int64(), pa.string(), pa.string(), pa.string(), pa.int64(), pa.int64())
    return pa.table(
        {
            name: pa.array([row[at] for row in full], kind)
            for at, (name, kind) in enumerate(zip(names, kinds, strict=True))
        }
    )


def tally(settlement: Settlement) -> dict[str, dict[str, int]]:
    """The outcomes that are not zero."""
    return {
        outcome.value: {change.value: count for change, count in settlement.outcomes[outcome].items() if count}
        for outcome in Outcome
        if any(settlement.outcomes[outcome].values())
    }


def bodies(work: PlanWork, **max_rows: int) -> Iterator[tuple[str, str]]:
    """Route and joined JSON of every batch."""
    while (batches := work.take(max_rows)) is not None:
        for batch in batches:
            yield batch.route.name, batch.fragments.joined().decode()
