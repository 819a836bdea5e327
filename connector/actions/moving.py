"""`connector state`: where a sync's snapshot is kept, and whose it is. Nothing is sent, and no row is sent again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from connector.errors import StateError
from connector.plan import elsewhere
from connector.ports import Delta, changed_snapshot, foreign_snapshot
from connector.project.settings import EventSync
from connector.run.keeping import adopt, new_token, owner_of, warehouse_snapshot
from connector.run.recover import recover
from connector.state.snapshot import open_snapshot

if TYPE_CHECKING:
    from connector.ports import WarehouseSnapshot
    from connector.project.definition import Sync
    from connector.run.means import Means
    from connector.state.snapshot import Snapshot

_DELTA = "SELECT key, id, fp::VARCHAR AS fp, NULL::VARCHAR AS raw, false AS gone FROM state.accepted"


@dataclass(frozen=True, slots=True)
class KeptSnapshot:
    """One sync's snapshot, wherever it is kept."""

    sync: Sync
    means: Means

    def move(self, to: Literal["warehouse", "local"]) -> int:
        """How many rows it holds, which is kept there from now on: see `move_state`."""
        return move_state(self.sync, self.means, to)

    def adopt(self) -> int:
        """How many rows the one in the warehouse holds, which is this state directory's from now on."""
        return adopt_state(self.sync, self.means)


def move_state(sync: Sync, means: Means, to: Literal["warehouse", "local"]) -> int:
    """How many rows the snapshot holds, which is in the warehouse or here from now on.

    It is first whole in its new place, then gone from the old one; whoever dies in between moves it again. The first
    comparison in the warehouse reads every row once, to learn what the warehouse makes of them. Raises BusyError,
    SourceError, StateError.
    """
    with open_snapshot(means.state_dir, sync.name) as snapshot:
        recover(snapshot, sync.name, means.history, means.state_dir, means.now_ms)
        remote = warehouse_snapshot(sync, means)
        there = elsewhere.place_of(snapshot) is not None
        if there:
            elsewhere.tell(snapshot, remote)
        if to == "warehouse" and not there:
            _move_there(sync, snapshot, remote, means)
        elif to == "local" and there:
            _move_here(sync, snapshot, remote, means)
        return snapshot.size()


def adopt_state(sync: Sync, means: Means) -> int:
    """How many rows the snapshot in the warehouse holds, which belongs to this state directory from now on.

    What is not delivered yet is known in the old state directory only; its rows differ from the snapshot, so they are
    offered again. No event that either of the two knows as sent is: what is undelivered here and stands in a newer
    snapshot was delivered since, and what the snapshot has not been told yet is told. Raises BusyError, SourceError,
    StateError.
    """
    with open_snapshot(means.state_dir, sync.name) as snapshot:
        recover(snapshot, sync.name, means.history, means.state_dir, means.now_ms)
        if elsewhere.place_of(snapshot) is None and snapshot.size():
            raise StateError(
                f"sync '{sync.name}' has a snapshot here, with {snapshot.size():,} rows",
                slug="snapshot-elsewhere",
                hint=f"to go on with that one in the warehouse: connector state move {sync.name} --to warehouse",
            )
        remote = warehouse_snapshot(sync, means)
        remote.prepare()
        elsewhere.note_delta(snapshot)
        if not isinstance(sync.settings, EventSync):
            return adopt(snapshot, remote, means)
        _forget_delivered(snapshot, remote)
        adopt(snapshot, remote, means, untold=True)
        elsewhere.tell(snapshot, remote)
        return snapshot.size()


def _forget_delivered(snapshot: Snapshot, remote: WarehouseSnapshot) -> None:
    head, place = remote.head(), elsewhere.place_of(snapshot)
    if head is None or place is None or head.version <= place.version:
        return
    keys = snapshot.connection.sql("SELECT key FROM state.undelivered").to_arrow_table()
    if not keys.num_rows:
        return
    with remote.accepted(keys) as reader:
        elsewhere.fetch(snapshot, reader)
    snapshot.connection.execute("DELETE FROM state.undelivered WHERE key IN (SELECT key FROM fetched)")


def _move_there(sync: Sync, snapshot: Snapshot, remote: WarehouseSnapshot, means: Means) -> None:
    remote.prepare()
    owner, once = owner_of(snapshot, means), snapshot.info("settled_once")
    head = remote.head()
    if head is not None and head.owner != owner:
        raise foreign_snapshot(sync.name, head.owner)
    with snapshot.connection.sql(_DELTA).to_arrow_reader(50_000) as rows:
        written, size = remote.write(Delta(owner, None, new_token(means), rows, wipe=True, settled_once=once))
    with snapshot.transaction():
        elsewhere.keep_place(snapshot, written, size)
        snapshot.connection.execute("DELETE FROM state.accepted")
    snapshot.shrink()


def _move_here(sync: Sync, snapshot: Snapshot, remote: WarehouseSnapshot, means: Means) -> None:
    owner = owner_of(snapshot, means)
    head = remote.head()
    place = elsewhere.place_of(snapshot)
    expected = 0 if place is None else place.version
    if head is not None and head.owner != owner:
        raise foreign_snapshot(sync.name, head.owner)
    if head is None or head.version != expected:
        raise changed_snapshot(sync.name, None if head is None else head.version, expected)
    with remote.accepted() as reader:
        elsewhere.fetch(snapshot, reader)
    with snapshot.transaction():
        snapshot.connection.execute("DELETE FROM state.accepted")
        snapshot.connection.execute("INSERT INTO state.accepted SELECT key, id, fp::UHUGEINT FROM fetched")
        snapshot.connection.execute("DROP TABLE fetched")
        elsewhere.forget_place(snapshot)
    remote.drop(owner)
