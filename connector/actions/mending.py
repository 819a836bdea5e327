"""`connector reset`: forget what was sent, or take the present result as sent without sending."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from connector.plan.elsewhere import note_wipe, wipe_with_next
from connector.plan.settle import settle
from connector.ports import Outcome
from connector.run.fitting import fitted
from connector.run.keeping import plans_in_warehouse, refuse_misplaced, start_over, tell, warehouse_snapshot
from connector.run.means import Options
from connector.run.recover import recover
from connector.run.whereabouts import SENT_TO
from connector.state.snapshot import open_snapshot

if TYPE_CHECKING:
    from connector.plan import Plan
    from connector.project.definition import Sync
    from connector.run.means import Means
    from connector.state.snapshot import Snapshot


def reset_sync(sync: Sync, means: Means, *, baseline: bool) -> int:
    """How many rows the snapshot holds afterwards. Raises BusyError, ConfigErrors, SourceError, StateError.

    Without `baseline` the next run is a first run again. With it, every row of the model that could be sent counts as
    accepted, the old snapshot is forgotten, and nothing is sent. Either happens whole or not at all.
    """
    with open_snapshot(means.state_dir, sync.name) as snapshot:
        recover(snapshot, sync.name, means.history, means.state_dir, means.now_ms)
        refuse_misplaced(sync, snapshot)
        if baseline:
            _take_as_sent(sync, means, snapshot)
        elif plans_in_warehouse(sync):
            _forget_there(sync, means, snapshot)
        else:
            with snapshot.transaction():
                _forget(snapshot)
        return snapshot.size()


def _forget_there(sync: Sync, means: Means, snapshot: Snapshot) -> None:
    remote = warehouse_snapshot(sync, means)
    start_over(snapshot, remote, sync, means)
    with snapshot.transaction():
        _forget(snapshot)
        note_wipe(snapshot)
    tell(snapshot, remote)


def _forget(snapshot: Snapshot) -> None:
    for table in ("accepted", "undelivered", "deleted"):
        snapshot.connection.execute(f"DELETE FROM state.{table}")
    snapshot.keep("settled_once", None)
    snapshot.keep(SENT_TO, None)
    snapshot.keep("reset", "the next run is a first run")


def _take_as_sent(sync: Sync, means: Means, snapshot: Snapshot) -> None:
    with fitted(sync, Options(), means) as it:
        if it.remote is not None:
            start_over(snapshot, it.remote, sync, means)
        elsewhere = it.stage(snapshot, "baseline", empty=True)
        routes = [route.name for route in it.destination.routes]
        with snapshot.transaction():
            _forget(snapshot)
            if elsewhere is not None:
                wipe_with_next(snapshot)
            plan = it.compare(snapshot, "baseline", elsewhere)
            settle(snapshot, _all_succeeded(plan, routes), None, means.now_ms)
        tell(snapshot, it.remote)


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
