"""A snapshot that lives in the warehouse: what the connector asks of a source that can keep one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from connector.errors import StateError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import pyarrow as pa

    from connector.ports.systems import Query


@dataclass(frozen=True, slots=True)
class Head:
    """What the warehouse notes of one sync's snapshot.

    `owner` is the state directory it belongs to, `version` grows by one with each write, `token` names the last write,
    `settled_once` is the run that first came to its end, or None.
    """

    owner: str
    version: int
    token: str
    settled_once: str | None = None


@dataclass(frozen=True, slots=True)
class Delta:
    """A write: rows to put (or, where `gone`, to take out) by their key, whole or not at all.

    `rows` has the columns key, id, fp, raw (all text) and gone. `version` is the one it builds on; None: whatever is
    there is overwritten, if it has the same owner. `wipe`: every other row is taken out.
    """

    owner: str
    version: int | None
    token: str
    rows: pa.RecordBatchReader
    wipe: bool = False
    settled_once: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be compared, and which rows matter here.

    `columns` are those of the model that the mapping uses, `key` and `id` are among them; `mapping` stands for the
    mapping itself. `everything`: each usable row is wanted, changed or not. `empty`: as if the snapshot held nothing.
    `chosen` is the only key there is. `keys` (a table with one text column) are wanted whatever they are. `pending` is
    a write that has not reached the warehouse; it counts as done.
    """

    query: Query
    key: tuple[str, ...]
    id: str | None
    columns: tuple[str, ...]
    mapping: str
    events: bool
    keys: pa.Table
    everything: bool = False
    empty: bool = False
    chosen: str | None = None
    pending: Delta | None = None


class Compared(Protocol):
    """A comparison that was made in the warehouse. Its rows can be read while it is open, one result at a time.

    `queried`, `null_key` and `duplicate_key` are about all rows of the model, `unchanged` counts those that stay in the
    warehouse, `size` is the number of rows of the snapshot.
    """

    queried: int
    null_key: int
    duplicate_key: int
    unchanged: int
    size: int

    def rows(self) -> AbstractContextManager[pa.RecordBatchReader]:
        """The model's rows that matter, in their order: MARKS, then the columns that were wanted."""
        ...

    def accepted(self) -> AbstractContextManager[pa.RecordBatchReader]:
        """The snapshot's rows that matter (key, id, fp, raw): of those rows, of wanted keys, of keys that are gone."""
        ...


MARKS = ("connector:key", "connector:raw", "connector:repeated", "connector:shared")
"""Key, fingerprint of the columns, whether the key stands on several rows, whether the id stands on several keys."""


class WarehouseSnapshot(Protocol):
    """One sync's snapshot in a warehouse. Every method may raise SourceError; `write` and `adopt` StateError, too."""

    def check(self) -> None:
        """Nothing, when the login may keep a snapshot here; the error names the missing grants. Changes nothing."""
        ...

    def prepare(self) -> None:
        """Nothing, after making the schema and the tables where they are missing."""
        ...

    def head(self) -> Head | None:
        """What is noted of the snapshot, None when there is none."""
        ...

    def compare(self, wanted: Wanted) -> AbstractContextManager[Compared]:
        """The comparison; it leaves nothing behind in the warehouse."""
        ...

    def accepted(self, keys: pa.Table | None = None) -> AbstractContextManager[pa.RecordBatchReader]:
        """The snapshot's rows (key, id, fp, raw), all of them or those with these keys."""
        ...

    def write(self, delta: Delta) -> tuple[Head, int]:
        """What is noted of the snapshot after the write, and its number of rows. The same write twice is one.

        It happens in one transaction, whole or not at all.

        Raises StateError when the snapshot is not the one it builds on.
        """
        ...

    def adopt(self, owner: str, token: str) -> tuple[Head, int]:
        """What is noted of the snapshot, which belongs to `owner` from now on, and its number of rows.

        Raises StateError when there is none.
        """
        ...

    def drop(self, owner: str) -> None:
        """Nothing, after taking the snapshot out of the warehouse, if it belongs to `owner`."""
        ...

    def cancel(self) -> None:
        """Nothing, after asking for the end of a comparison. Safe from another thread."""
        ...


def foreign_snapshot(sync: str, owner: str) -> StateError:
    """The error of a snapshot that is another state directory's."""
    return StateError(
        f"the snapshot of sync '{sync}' in the warehouse belongs to another state directory: {owner.split('#', 1)[0]}",
        slug="snapshot-foreign",
        hint=f"run the sync there; if that one is gone for good: connector state adopt {sync}; if it is another "
        "project's: give one of the two another state_schema",
    )


def changed_snapshot(sync: str, found: int | None, expected: int) -> StateError:
    """The error of a snapshot that is not as this state directory left it."""
    what = "is gone" if found is None else f"has version {found} instead of {expected}"
    return StateError(
        f"the snapshot of sync '{sync}' in the warehouse {what}: it is not the one that was written last",
        slug="snapshot-changed",
        hint="was the schema dropped, or restored from a backup? Take the present result as sent: "
        f"connector reset {sync} --baseline"
        + ("" if found is None else f"; or go on with the snapshot as it is: connector state adopt {sync}"),
    )
