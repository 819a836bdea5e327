"""Snapshots kept in a warehouse: what every warehouse shares. Each brings a `Place`: its sessions and its SQL.

    syncs           sync, owner, version, token, settled_once, changed_at     one row a sync
    accepted_SYNC   row_key, row_id, values_fp, columns_md5                 the snapshot, as state/snapshot.py has it

`values_fp` is the fingerprint that the connector makes of the mapped values; `columns_md5` is the one that the
warehouse makes of the columns they come from, NULL where it is not known.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import md5
from typing import TYPE_CHECKING, Any, Protocol

from connector.errors import SourceError, StateError
from connector.ports import Head, changed_snapshot, foreign_snapshot
from connector.systems.warehouse.comparing import Comparison

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    import pyarrow as pa

    from connector.ports import Compared, Delta, Query, Wanted

SYNCS = "syncs"
LONGEST_NAME = 40  # characters of a sync's name in the name of its table; PostgreSQL keeps 63 of the whole
ROWS = ("row_key", "row_id", "values_fp", "columns_md5")
DELTA = "key {text}, id {text}, fp {text}, raw {text}, gone boolean"


@dataclass(frozen=True, slots=True)
class ModelColumn:
    """A column of a model in the warehouse's SQL.

    `ref` is the column itself and `shown` the name under which it is read again. `text` is some text that differs when
    the value does; `key` is the text that the connector makes of the value where it is a key, None where the warehouse
    cannot make the same.
    """

    name: str
    ref: str
    shown: str
    text: str
    key: str | None


class Session(Protocol):
    """A session in which statements follow each other; temporary tables last as long as it does."""

    def run(self, sql: str) -> None:
        """Nothing, after running a statement."""
        ...

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """The few rows of a query."""
        ...

    def read(self, sql: str) -> AbstractContextManager[pa.RecordBatchReader]:
        """The result of a query, streamed in the types in which the source itself reads."""
        ...

    def upload(self, table: str, rows: pa.RecordBatchReader) -> None:
        """Nothing, after adding rows to a temporary table; their columns are texts and booleans."""
        ...

    def begin(self) -> None:
        """Nothing; what follows is one transaction."""
        ...

    def commit(self) -> None:
        """Nothing, after ending it well."""
        ...

    def keep(self) -> None:
        """Nothing; what was run outside of a transaction is there for everybody now."""
        ...

    def seal(self) -> None:
        """Nothing; from now on only temporary tables can be written to, where the warehouse can promise that."""
        ...


class Place(Protocol):
    """One schema of a warehouse."""

    text_type: str
    row_number: str

    def session(self, tag: str, *, write: bool) -> AbstractContextManager[Session]:
        """A session. Without `write`, the warehouse's own tables stay as they are."""
        ...

    def describe(self, query: Query) -> list[ModelColumn]:
        """The model's columns."""
        ...

    def model(self, query: Query, columns: Sequence[ModelColumn]) -> str:
        """The model as it stands behind FROM, so that each column's `ref` means something."""
        ...

    def stage(self, session: Session, select: str) -> None:
        """Nothing, after making the temporary table `connector_staged`, empty, with the columns of this query."""
        ...

    def table(self, name: str) -> str:
        """The full name of a table of the schema."""
        ...

    def tables(self, session: Session) -> set[str]:
        """The names of the schema's tables, as `table` was given them."""
        ...

    def json_string(self, sql: str) -> str:
        """SQL for a text as a JSON string, as DuckDB writes it."""
        ...

    def by_bytes(self, sql: str) -> str:
        """SQL for a text that equals another only if their bytes do."""
        ...

    def literal(self, text: str) -> str:
        """A text as SQL."""
        ...

    def refuse_missing_grants(self, tables: Sequence[str]) -> bool:
        """Whether these tables are there; the login may keep them here. Raises SourceError with the grants it lacks."""
        ...

    def make_schema(self) -> None:
        """Nothing, after making the schema."""
        ...

    def cancel(self) -> None:
        """Nothing, after asking for the end of what every session runs."""
        ...


def table_of(sync: str) -> str:
    """The name of the table that holds a sync's snapshot."""
    if len(sync) <= LONGEST_NAME:
        return f"accepted_{sync}"
    return f"accepted_{sync[: LONGEST_NAME - 9]}_{md5(sync.encode(), usedforsecurity=False).hexdigest()[:8]}"


def denied(place: str, lacks: str, grants: Sequence[str]) -> SourceError:
    """The error of a login that may not keep a snapshot in a place; `grants` are the statements that let it."""
    return SourceError(
        f"planner: warehouse keeps the snapshot in {place}, and {lacks}",
        slug="planner-denied",
        hint=" ".join(f"{grant};" for grant in grants) + " or use planner: local, which only reads",
    )


class StoredSnapshot:
    """A `ports.WarehouseSnapshot` in a place."""

    def __init__(self, place: Place, sync: str) -> None:
        """Keep where it is; nothing is connected to before it is needed."""
        self._place = place
        self._sync = sync
        self._name = table_of(sync)
        self._tag = f"connector:{sync}:snapshot"
        self._made = False

    def check(self) -> None:
        """Nothing, when the login may keep a snapshot here."""
        if not self._made:
            self._made = self._place.refuse_missing_grants((SYNCS, self._name))

    def prepare(self) -> None:
        """Nothing, after making the schema and the tables where they are missing."""
        self.check()
        if self._made:
            return
        self._place.make_schema()
        text = self._place.text_type
        rows = ", ".join(f"{name} {text}" for name in ROWS)
        with self._place.session(self._tag, write=True) as session:
            session.run(
                f"create table if not exists {self._place.table(SYNCS)} (sync {text} not null, owner {text}, "
                f"version bigint, token {text}, settled_once {text}, changed_at timestamp, primary key (sync))"
            )
            session.run(f"create table if not exists {self._place.table(self._name)} ({rows})")
            session.keep()
        self._made = True

    def head(self) -> Head | None:
        """What is noted of the snapshot, None when there is none."""
        with self._place.session(self._tag, write=False) as session:
            return self._head(session) if self._has_tables(session) else None

    @contextmanager
    def compare(self, wanted: Wanted) -> Iterator[Compared]:
        """The comparison, in temporary tables of one session."""
        columns = self._place.describe(wanted.query)
        exists = self._exists()
        with self._place.session(wanted.query.tag, write=False) as session:
            rows = self._rows() if exists and not wanted.empty else None
            comparison = Comparison(self._place, session, wanted, columns, rows)
            comparison.make()
            yield comparison

    @contextmanager
    def accepted(self, keys: pa.Table | None = None) -> Iterator[pa.RecordBatchReader]:
        """The snapshot's rows, all of them or those with these keys."""
        with self._place.session(self._tag, write=False) as session:
            sql = self._rows()
            if keys is not None:
                session.run(f"create temporary table connector_wanted (key {self._place.text_type})")
                session.upload("connector_wanted", keys.to_reader())
                sql += " where row_key in (select key from connector_wanted)"
            with session.read(sql) as reader:
                yield reader

    def write(self, delta: Delta) -> tuple[Head, int]:
        """What is noted of the snapshot after the write, and its number of rows."""
        place = self._place
        name = place.table(self._name)
        with place.session(self._tag, write=True) as session:
            session.run(f"create temporary table connector_delta ({DELTA.format(text=place.text_type)})")
            session.upload("connector_delta", delta.rows)
            session.begin()
            head = self._head(session)
            if head is None or head.token != delta.token:
                head = self._take(session, head, delta)
                gone = "" if delta.wipe else " where row_key in (select key from connector_delta)"
                session.run(f"delete from {name}{gone}")
                put = "select key, id, fp, raw from connector_delta where not gone"
                session.run(f"insert into {name} ({', '.join(ROWS)}) {put}")
            [(size,)] = session.ask(f"select count(*) from {name}")
            session.commit()
        return head, int(size)

    def adopt(self, owner: str, token: str) -> tuple[Head, int]:
        """What is noted of the snapshot, which belongs to `owner` from now on, and its number of rows."""
        with self._place.session(self._tag, write=True) as session:
            session.begin()
            head = self._head(session) if self._has_tables(session) else None
            if head is None:
                raise StateError(
                    f"there is no snapshot of sync '{self._sync}' in the warehouse",
                    slug="snapshot-missing",
                    hint="without one, the sync's next run is a first run, and nothing has to be adopted",
                )
            found = Head(owner, head.version + 1, token, head.settled_once)
            self._note(session, found, head)
            [(size,)] = session.ask(f"select count(*) from {self._place.table(self._name)}")
            session.commit()
        return found, int(size)

    def drop(self, owner: str) -> None:
        """Nothing, after taking the snapshot out of the warehouse, if it belongs to `owner`."""
        place = self._place
        with place.session(self._tag, write=True) as session:
            session.begin()
            head = self._head(session) if self._has_tables(session) else None
            if head is not None and head.owner == owner:
                session.run(f"delete from {place.table(SYNCS)} where sync = {place.literal(self._sync)}")
                session.run(f"delete from {place.table(self._name)}")
            session.commit()

    def cancel(self) -> None:
        """Nothing, after asking for the end of a comparison. Safe from another thread."""
        self._place.cancel()

    # --- the note of it ----------------------------------------------------------------------------------------------

    def _take(self, session: Session, head: Head | None, delta: Delta) -> Head:
        """What is noted now, this write; nobody else can write before its transaction ends."""
        if head is not None and head.owner != delta.owner:
            raise foreign_snapshot(self._sync, head.owner)
        version = 0 if head is None else head.version
        if delta.version is not None and delta.version != version:
            raise changed_snapshot(self._sync, version, delta.version)
        noted = Head(delta.owner, version + 1, delta.token, delta.settled_once)
        self._note(session, noted, head)
        return noted

    def _note(self, session: Session, new: Head, old: Head | None) -> None:
        text, table = self._place.literal, self._place.table(SYNCS)
        once = "null" if new.settled_once is None else text(new.settled_once)
        now = "cast(current_timestamp as timestamp)"
        if old is None:
            session.run(
                f"insert into {table} (sync, owner, version, token, settled_once, changed_at) "
                f"select {text(self._sync)}, {text(new.owner)}, {new.version}, {text(new.token)}, {once}, {now}"
            )
            return
        session.run(
            f"update {table} set owner = {text(new.owner)}, version = {new.version}, token = {text(new.token)}, "
            f"settled_once = {once}, changed_at = {now} where sync = {text(self._sync)} and version = {old.version} "
            f"and owner = {text(old.owner)}"
        )
        found = self._head(session)
        if found is None or found.token != new.token:
            # Somebody else committed after the head was read here.
            raise changed_snapshot(self._sync, None if found is None else found.version, old.version)

    def _head(self, session: Session) -> Head | None:
        where = f"where sync = {self._place.literal(self._sync)}"
        rows = session.ask(f"select owner, version, token, settled_once from {self._place.table(SYNCS)} {where}")
        return Head(rows[0][0], int(rows[0][1]), rows[0][2], rows[0][3]) if rows else None

    def _rows(self) -> str:
        return f"select {', '.join(ROWS)} from {self._place.table(self._name)}"

    def _exists(self) -> bool:
        if not self._made:
            with self._place.session(self._tag, write=False) as session:
                self._made = self._has_tables(session)
        return self._made

    def _has_tables(self, session: Session) -> bool:
        return {SYNCS, self._name} <= self._place.tables(session)
