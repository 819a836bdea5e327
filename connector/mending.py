"""`connector reset`: forget what was sent, or take the present result as sent without sending."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pyarrow as pa

from connector.plan import compare, stage
from connector.ports import Outcome
from connector.recover import recover
from connector.run import Options, ask_of, cancelling, open_source, prepare, query_of
from connector.settle import settle
from connector.state.snapshot import open_snapshot

if TYPE_CHECKING:
    from connector.plan import Plan
    from connector.project.definition import Sync
    from connector.run import Means
    from connector.state.snapshot import Snapshot


def reset_sync(sync: Sync, means: Means, *, baseline: bool) -> int:
    """How many rows the snapshot holds afterwards. Raises BusyError, ConfigErrors, SourceError, StateError.

    Without `baseline` the next run is a first run again. With it, every row of the model that could be sent counts as
    accepted, the old snapshot is forgotten, and nothing is sent. Either happens whole or not at all.
    """
    with open_snapshot(means.state_dir, sync.name) as snapshot:
        recover(snapshot, sync.name, means.history, means.state_dir, means.now_ms)
        if baseline:
            _take_as_sent(sync, means, snapshot)
        else:
            with snapshot.transaction():
                _forget(snapshot)
        return snapshot.size()


def _forget(snapshot: Snapshot) -> None:
    for table in ("accepted", "undelivered", "deleted"):
        snapshot.connection.execute(f"DELETE FROM state.{table}")
    snapshot.keep("settled_once", None)


def _take_as_sent(sync: Sync, means: Means, snapshot: Snapshot) -> None:
    ask = ask_of(sync, Options(), "baseline")
    with closing(open_source(sync, means)) as source:
        prepared = prepare(sync, source, means)
        prepared.destination.close()
        with cancelling(source, means.stop), source.read(query_of(sync, "baseline")) as batches:
            stage(snapshot, batches, prepared.projection, ask, means.now_ms)
    routes = prepared.destination.routes
    with snapshot.transaction():
        _forget(snapshot)
        plan = compare(snapshot, prepared.projection, routes, ask)
        settle(snapshot, _all_succeeded(plan, [route.name for route in routes]), None, means.now_ms)


def _all_succeeded(plan: Plan, routes: list[str]) -> pa.Table:
    """A journal in which every row was accepted on every route."""
    rows = sum(plan.counts.planned.values())
    return pa.table(
        {
            "route": pa.array(routes, pa.string()),
            "first": pa.array([0] * len(routes), pa.int64()),
            "stop": pa.array([rows] * len(routes), pa.int64()),
            "outcome": pa.array([Outcome.SUCCEEDED.value] * len(routes), pa.string()),
            "reason": pa.nulls(len(routes), pa.string()),
            "cause": pa.nulls(len(routes), pa.string()),
            "call_id": pa.nulls(len(routes), pa.int64()),
            "attempts": pa.array([0] * len(routes), pa.int64()),
        }
    )
