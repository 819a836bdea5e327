"""`connector hold`, `retry` and `release`: the rows that could not be delivered, and what to do with them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from connector.actions.hidden import real_key, shown_columns
from connector.errors import ConfigError
from connector.plan.elsewhere import bring, fetch
from connector.run.keeping import catch_up, plans_in_warehouse, refuse_misplaced, tell, warehouse_snapshot
from connector.run.recover import recover, refuse_lost_ledger
from connector.state.snapshot import open_snapshot, view_snapshot
from connector.values import quoted_text

if TYPE_CHECKING:
    from connector.ports import WarehouseSnapshot
    from connector.project.definition import Sync
    from connector.run.means import Means
    from connector.state.snapshot import Snapshot

_HINTS = {
    "rejected": "each run offers it again; `connector retry {sync} --key ...` forgets its attempts so far",
    "quarantined": "`connector retry {sync} --key ...` has it offered again",
    "in_doubt": "`connector release {sync} --key ...` lets it go, with --drop as sent",
    "not_attempted": "the next run offers it",
}
"""What to do with a row that is not what a command is for."""


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A row that is not in Pendo as it should be. `attempts` counts the runs in which it was refused."""

    key: str
    outcome: str
    cause: str | None
    attempts: int
    first_reason: str | None
    last_reason: str | None
    first_run: str
    last_run: str
    payload: str | None


def list_undelivered(sync: Sync, means: Means) -> list[Undelivered]:
    """The rejected, quarantined, held and (events only) unsent rows, by key, as the last settled run left them."""
    with view_snapshot(means.state_dir, sync.name) as snapshot:
        key, fragment = shown_columns(sync, means, snapshot)
        rows = snapshot.connection.execute(
            f"SELECT {key}, outcome, cause, attempts, first_reason, last_reason, first_run, last_run, {fragment} "
            "FROM state.undelivered ORDER BY key"
        ).fetchall()
    return [Undelivered(*row) for row in rows]


def retry(sync: Sync, means: Means, *, key: str | None = None) -> int:
    """How many rejected and quarantined rows are offered by the next run as if they had never been refused.

    Raises BusyError while a run goes on, ConfigError for a key that is not among them.
    """
    with open_snapshot(means.state_dir, sync.name) as snapshot:
        recover(snapshot, sync.name, means.history, means.state_dir, means.now_ms)
        which = "outcome IN ('rejected', 'quarantined')" + _of_key(real_key(sync, snapshot, key))
        count = _count(snapshot, f"state.undelivered WHERE {which}")
        _refuse_nothing(snapshot, count, key, sync.name)
        snapshot.connection.execute(
            f"UPDATE state.undelivered SET outcome = 'rejected', attempts = 0, cause = NULL WHERE {which}"
        )
    return count


def release(sync: Sync, means: Means, *, key: str | None = None, drop: bool = False) -> int:
    """How many held and quarantined rows, and ids this sync had deleted, are let go.

    They are offered by the next run; with `drop` they count as accepted and are not offered until they change.
    Raises BusyError while a run goes on, ConfigError for a key that is not among them.
    """
    with open_snapshot(means.state_dir, sync.name) as snapshot:
        recover(snapshot, sync.name, means.history, means.state_dir, means.now_ms)
        chosen = _of_key(real_key(sync, snapshot, key))
        which, gone = "outcome IN ('in_doubt', 'quarantined')" + chosen, "true" + chosen
        refuse_misplaced(sync, snapshot)
        count = _count(snapshot, f"state.undelivered WHERE {which}")
        deleted = _count(snapshot, f"state.deleted WHERE {gone}")
        _refuse_nothing(snapshot, count + deleted, key, sync.name)
        remote = _fetched(sync, means, snapshot, which) if drop and plans_in_warehouse(sync) else None
        with snapshot.transaction():
            if drop:
                if remote is not None:
                    bring(snapshot, seen=False)
                for statement in _drop(which):
                    snapshot.connection.execute(statement)
            else:
                snapshot.connection.execute(
                    "UPDATE state.undelivered SET outcome = CASE outcome WHEN 'in_doubt' THEN 'not_attempted' "
                    f"ELSE 'rejected' END, attempts = 0, cause = NULL WHERE {which}"
                )
                snapshot.connection.execute(f"DELETE FROM state.deleted WHERE {gone}")
        tell(snapshot, remote)
    return count + (0 if drop else deleted)


def _fetched(sync: Sync, means: Means, snapshot: Snapshot, which: str) -> WarehouseSnapshot:
    """The snapshot in the warehouse, after fetching what it holds of these undelivered rows."""
    remote = warehouse_snapshot(sync, means)
    catch_up(snapshot, remote, sync, means, lost=partial(refuse_lost_ledger, sync, snapshot, means.history))
    keys = snapshot.connection.sql(f"SELECT key FROM state.undelivered WHERE {which}").to_arrow_table()
    with remote.accepted(keys) as reader:
        fetch(snapshot, reader)
    return remote


def quarantine(sync: Sync, means: Means, *, key: str | None = None) -> int:
    """How many rejected rows are not offered any more, until they change or are released.

    Raises BusyError while a run goes on, ConfigError for a key that is not among them.
    """
    with open_snapshot(means.state_dir, sync.name) as snapshot:
        recover(snapshot, sync.name, means.history, means.state_dir, means.now_ms)
        which = "outcome = 'rejected'" + _of_key(real_key(sync, snapshot, key))
        count = _count(snapshot, f"state.undelivered WHERE {which}")
        _refuse_nothing(snapshot, count, key, sync.name)
        snapshot.connection.execute(f"UPDATE state.undelivered SET outcome = 'quarantined' WHERE {which}")
    return count


def _drop(which: str) -> list[str]:
    keys = f"SELECT key FROM state.undelivered WHERE {which}"
    return [
        f"""UPDATE state.accepted SET fp = u.fp FROM state.undelivered u
            WHERE accepted.key = u.key AND u.key IN ({keys})""",
        f"""INSERT INTO state.accepted SELECT key, id, CASE WHEN fragment IS NULL THEN fp END FROM state.undelivered
            WHERE {which} AND key NOT IN (SELECT key FROM state.accepted)""",
        f"DELETE FROM state.undelivered WHERE {which}",
    ]


def _of_key(key: str | None) -> str:
    return "" if key is None else f" AND key = {quoted_text(key)}"


def _count(snapshot: Snapshot, what: str) -> int:
    found: Any = snapshot.one(f"SELECT count(*) FROM {what}")
    return int(found)


def _refuse_nothing(snapshot: Snapshot, count: int, key: str | None, sync: str) -> None:
    """Nothing, when rows were found, or none was named. Raises ConfigError with what the named row is instead."""
    if count or key is None:
        return
    outcome = snapshot.one(f"SELECT outcome FROM state.undelivered WHERE true{_of_key(key)}")
    if outcome is None:
        said, hint = f"sync '{sync}' has no such row", f"`connector hold {sync}` lists the rows that were not delivered"
    else:
        said, hint = f"that row of sync '{sync}' is {outcome.replace('_', ' ')}", _HINTS[outcome].format(sync=sync)
    raise ConfigError(f"{said}: key '{key}'", slug="unknown-row", hint=hint)
