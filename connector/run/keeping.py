"""Where a sync's snapshot is kept, and so where rows are compared: the one place that decides it.

`planner: local` keeps it in the sync's own file, `planner: warehouse` in a schema of the warehouse. Undelivered and
deleted rows, the plan and the journal stay here in both. What the warehouse has not been told before a process died is
told first thing by the next run.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from connector.errors import SourceError, StateError
from connector.plan import elsewhere
from connector.ports import Delta, changed_snapshot, foreign_snapshot
from connector.project.planner_settings import PlannedSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from connector.ports import Head, WarehouseSnapshot
    from connector.project.definition import Sync
    from connector.run.means import Means
    from connector.state.snapshot import Snapshot


def plans_in_warehouse(sync: Sync) -> bool:
    """Whether the sync's source says `planner: warehouse`."""
    settings = sync.source.settings
    return isinstance(settings, PlannedSource) and settings.planner == "warehouse"


def warehouse_snapshot(sync: Sync, means: Means) -> WarehouseSnapshot:
    """The sync's snapshot in its warehouse, whatever `planner:` says. Raises StateError where there can be none."""
    if not isinstance(sync.source.settings, PlannedSource):
        raise StateError(
            f"a source of type '{sync.source.type}' cannot keep a snapshot",
            slug="planner-unavailable",
            at=sync.source.at,
            hint="snowflake, postgres and duckdb can; any other is planned locally",
        )
    return means.sources[sync.source.type].snapshot(sync.source.settings, means.root, sync.name)


def refuse_misplaced(sync: Sync, snapshot: Snapshot) -> None:
    """Nothing, when the snapshot is where `planner:` says. Raises StateError with the command that moves it."""
    there = elsewhere.place_of(snapshot) is not None
    wanted = "warehouse" if plans_in_warehouse(sync) else "local"
    if there == (wanted == "warehouse") or (wanted == "warehouse" and not snapshot.size()):
        return
    where = "in the warehouse" if there else "here, in its own file"
    raise StateError(
        f"source '{sync.source.name}' says planner: {wanted}, and the snapshot of sync '{sync.name}' is still {where}",
        slug="snapshot-elsewhere",
        at=sync.source.at,
        hint=f"connector state move {sync.name} --to {wanted}",
    )


def owner_of(snapshot: Snapshot, means: Means) -> str:
    """The name of this state directory in the warehouse: where it is, and a number that nobody else has."""
    owner = snapshot.info(elsewhere.OWNER)
    if owner is None:
        owner = f"{_home(means)}#{means.random.getrandbits(64):016x}"
        snapshot.keep(elsewhere.OWNER, owner)
    return str(owner)


def catch_up(
    snapshot: Snapshot, remote: WarehouseSnapshot, sync: Sync, means: Means, *, lost: Callable[[], None]
) -> None:
    """Nothing, when the warehouse's snapshot is this state directory's and has been told everything.

    A sync without any gets an empty one, after `lost` had its say. One that a lost file of this very state directory
    has left is taken up again. Raises SourceError, StateError.
    """
    remote.prepare()
    if elsewhere.place_of(snapshot) is not None:
        elsewhere.tell(snapshot, remote)
        _refuse_other(snapshot, remote, sync, means)
        return
    head = remote.head()
    if head is None:
        lost()
        claim(snapshot, remote, means)
    elif _was_ours(head, snapshot, means):
        adopt(snapshot, remote, means)
    else:
        _refuse_other(snapshot, remote, sync, means)
        if head.version > 1:
            # More than the mark of a process that died just here: this file is older than what the warehouse has.
            raise changed_snapshot(sync.name, head.version, 0)
        claim(snapshot, remote, means)


def claim(snapshot: Snapshot, remote: WarehouseSnapshot, means: Means) -> None:
    """Nothing, after making an empty snapshot in the warehouse. Raises StateError when it is somebody else's."""
    owner = owner_of(snapshot, means)
    once = snapshot.info("settled_once")
    head, rows = remote.write(Delta(owner, None, new_token(means), elsewhere.no_rows(), wipe=True, settled_once=once))
    elsewhere.keep_place(snapshot, head, rows)


def adopt(snapshot: Snapshot, remote: WarehouseSnapshot, means: Means, *, untold: bool = False) -> int:
    """How many rows the warehouse's snapshot has, which belongs to this state directory from now on, as it is.

    With `untold`, what it has not been told yet is still to be told.
    """
    head, rows = remote.adopt(owner_of(snapshot, means), new_token(means))
    with snapshot.transaction():
        if not (untold and elsewhere.builds_on(snapshot, head)):
            elsewhere.forget_delta(snapshot)
        elsewhere.keep_place(snapshot, head, rows)
        snapshot.keep("settled_once", head.settled_once)
    return rows


def new_token(means: Means) -> str:
    """A name for a write that no other has."""
    return f"{means.random.getrandbits(128):032x}"


def tell(snapshot: Snapshot, remote: WarehouseSnapshot | None) -> None:
    """Nothing, after telling the warehouse what a settlement made of its snapshot; what it is not told stays noted.

    Raises SourceError, StateError; what was sent is settled here by then.
    """
    if remote is None:
        return
    try:
        elsewhere.tell(snapshot, remote)
    except SourceError as error:
        problem = error.problem
        raise SourceError(
            f"everything is sent and settled, but the snapshot in the warehouse was not written: {problem.message}",
            slug="snapshot-not-written",
            hint="nothing is lost: the next run writes it first" + (f"; {problem.hint}" if problem.hint else ""),
        ) from error


def start_over(snapshot: Snapshot, remote: WarehouseSnapshot, sync: Sync, means: Means) -> None:
    """Nothing, when the warehouse's snapshot may be overwritten, whatever it holds. Raises SourceError, StateError."""
    remote.prepare()
    head = remote.head()
    if head is not None and _was_ours(head, snapshot, means):
        adopt(snapshot, remote, means)
    elif head is not None and head.owner != owner_of(snapshot, means):
        raise foreign_snapshot(sync.name, head.owner)
    if elsewhere.place_of(snapshot) is None:
        claim(snapshot, remote, means)


def look(snapshot: Snapshot, remote: WarehouseSnapshot, sync: Sync, means: Means, *, lost: Callable[[], None]) -> None:
    """Nothing, when a run could go on from the warehouse's snapshot. Changes nothing there. Raises StateError."""
    if elsewhere.place_of(snapshot) is None:
        head = remote.head()
        if head is None:
            lost()
        elif _was_ours(head, snapshot, means):
            elsewhere.keep_place(snapshot, head, rows=0)  # in the copy that is looked at
            snapshot.keep("settled_once", head.settled_once)
            return
    with elsewhere.pending(snapshot) as delta:
        if delta is not None and elsewhere.knows(remote, delta):
            return
    _refuse_other(snapshot, remote, sync, means)


def _home(means: Means) -> str:
    return f"{socket.gethostname()}:{means.state_dir}"


def _was_ours(head: Head, snapshot: Snapshot, means: Means) -> bool:
    """Whether a file that stood where this new one stands has written the snapshot; it was lost, or moved away."""
    is_new = elsewhere.place_of(snapshot) is None and snapshot.info(elsewhere.OWNER) is None
    return is_new and head.owner.split("#", 1)[0] == _home(means)


def _refuse_other(snapshot: Snapshot, remote: WarehouseSnapshot, sync: Sync, means: Means) -> None:
    head, place = remote.head(), elsewhere.place_of(snapshot)
    if head is not None and head.owner != owner_of(snapshot, means):
        raise foreign_snapshot(sync.name, head.owner)
    if place is None:
        return
    if head is None or head.version != place.version:
        raise changed_snapshot(sync.name, None if head is None else head.version, place.version)
