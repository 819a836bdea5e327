"""One sync's DuckDB file: what Pendo accepted (the snapshot), what is still undelivered, and the plan of a run.

    accepted      key, id, fp      every row whose present values Pendo took; for events the ledger of keys ever sent.
                                   `id` is NULL where it equals the key; `fp` is NULL where Pendo may hold other values.
    undelivered   key, ...         rejected, quarantined, held and (events only) unsent rows, with their reasons;
                                   `touched`: Pendo may hold some of a row that is not accepted
    deleted       key, id, ...     ids that this sync had Pendo delete
    plan, span, plan_info          the plan of the run that is under way; gone once it is settled
    excerpt, seen, delta           only where the snapshot itself is kept in the warehouse: see plan/elsewhere.py

The file's lock is the run lock: a second run of the same sync cannot open it. The tables live in the attached catalog
`state`; staged rows live in memory and spill to `temp_dir`.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import threading
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from connector.errors import BusyError, StateError
from connector.process import limit_threads
from connector.state.version import STATE_VERSION, check_version
from connector.values import quoted_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MEMORY_BYTES = 224_000_000  # that DuckDB may hold where rows are compared
PASSING_BYTES = 128_000_000  # and where they only pass: what is read but once need not be kept
SHRINK_BYTES = 32_000_000
# Rows that are packed and written together: as many as arrive together. DuckDB's own 122,880 are put together from
# several of those first: then staging takes a quarter more time, and 50 MB more.
ROW_GROUP = 20_480
BUSY_LOOKS, BUSY_LOOK_S = 20, 0.02

_LOOKING = threading.RLock()

_DAMAGED = re.compile(r"not a valid DuckDB database|corrupt|checksum|not read enough bytes", re.IGNORECASE)
_FULL = re.compile(r"could not write|no space left|file too large|failed to commit", re.IGNORECASE)
_BROKEN = (
    duckdb.IOException,
    duckdb.SerializationException,
    duckdb.FatalException,
    duckdb.InternalException,
    duckdb.ResourceInUseException,
)

_TABLES = """
CREATE TABLE IF NOT EXISTS state.info (name VARCHAR PRIMARY KEY, value VARCHAR);
CREATE TABLE IF NOT EXISTS state.accepted (key VARCHAR, id VARCHAR, fp UHUGEINT);
CREATE TABLE IF NOT EXISTS state.undelivered (
    key VARCHAR, id VARCHAR, fp UHUGEINT, outcome VARCHAR, cause VARCHAR, attempts INTEGER, first_reason VARCHAR,
    last_reason VARCHAR, first_run VARCHAR, last_run VARCHAR, fragment VARCHAR, touched BOOLEAN);
CREATE TABLE IF NOT EXISTS state.deleted (key VARCHAR, id VARCHAR, deleted_at TIMESTAMP, run_id VARCHAR);
"""


class Snapshot:
    """An open sync file; through `connection` its tables stand under `state`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: Path) -> None:
        self.connection = connection
        self.path = path
        self._inside = False

    def info(self, name: str) -> Any:
        """The JSON value kept under this name, or None."""
        # All rows are fetched: after the only one, DuckDB takes the result for unfinished.
        rows = self.connection.execute("SELECT value FROM state.info WHERE name = ?", [name]).fetchall()
        return json.loads(rows[0][0]) if rows else None

    def keep(self, name: str, value: object) -> None:
        """Nothing, after keeping a JSON value under this name; None forgets it."""
        self.connection.execute("DELETE FROM state.info WHERE name = ?", [name])
        if value is not None:
            self.connection.execute("INSERT INTO state.info VALUES (?, ?)", [name, json.dumps(value)])

    def has_plan(self) -> bool:
        """Whether a plan stands in the file: a run is under way, or was when its process died."""
        sql = "SELECT 1 FROM duckdb_tables() WHERE database_name = 'state' AND table_name = 'span'"
        return self.connection.execute(sql).fetchone() is not None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Nothing; what is done inside it is done whole or not at all. A transaction inside another joins it."""
        if self._inside:
            yield
            return
        self._inside = True
        self.connection.execute("BEGIN")
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            with suppress(duckdb.Error):  # the error on its way says more; a broken connection has nothing to undo
                self.connection.execute("ROLLBACK")
            raise
        finally:
            self._inside = False

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Nothing; inside it rows are read one after another, and once: hardly any of them stays in memory."""
        with suppress(duckdb.OutOfMemoryException, duckdb.IOException):  # without a disk to move the rest to, it stays
            self.connection.execute(f"SET memory_limit = '{PASSING_BYTES}B'")
        try:
            yield
        finally:
            self.connection.execute(f"SET memory_limit = '{MEMORY_BYTES}B'")

    def shrink(self) -> None:
        """Nothing, after giving the disk back what a large plan has left free in the file, if that is most of it.

        A DuckDB file gets shorter only at its end, and what was settled after the plan stands there: so the rows are
        moved to the front. Small plans leave their room to the next one. Within a transaction it does nothing.
        """
        if self._inside:
            return
        sizes = "SELECT free_blocks * block_size, used_blocks * block_size FROM pragma_database_size()"
        sizes += " WHERE database_name = 'state'"
        free, used = self.connection.execute(sizes).fetchone() or (0, 0)
        if free + used < SHRINK_BYTES:
            return
        self.connection.execute("CHECKPOINT state")  # what was dropped is free from now on
        free, used = self.connection.execute(sizes).fetchone() or (0, 0)
        if free < max(used, SHRINK_BYTES):
            return
        with self.transaction():
            for table in ("accepted", "undelivered", "deleted"):
                self.connection.execute(f"CREATE TABLE state.moved AS SELECT * FROM state.{table}")
                self.connection.execute(f"DROP TABLE state.{table}; ALTER TABLE state.moved RENAME TO {table}")
        self.keep("shrunk_from_bytes", free + used)  # without a change, a checkpoint does nothing
        self.connection.execute("CHECKPOINT state")

    def size(self) -> int:
        """How many rows the snapshot holds; of one that is kept in the warehouse, how many after the last write."""
        place = self.info("place")
        return int(place["rows"] if place is not None else self.one("SELECT count(*) FROM state.accepted"))

    def one(self, sql: str) -> Any:
        """The first value of the first row."""
        rows = self.connection.execute(sql).fetchall()
        return rows[0][0] if rows else None


def snapshot_path(state_dir: Path, sync: str) -> Path:
    """Where a sync's file is."""
    return state_dir / "syncs" / f"{sync}.duckdb"


@contextmanager
def open_snapshot(state_dir: Path, sync: str) -> Iterator[Snapshot]:
    """The sync's file, opened for writing, which locks it; made when it is missing.

    Raises BusyError when another process holds it, StateError when it cannot be read or written.
    """
    path = snapshot_path(state_dir, sync)
    connection = _connect(state_dir)
    try:
        with state_errors(path, sync):
            path.parent.mkdir(parents=True, exist_ok=True)
            _attach(connection, path)
            snapshot = Snapshot(connection, path)
            _upgrade(snapshot)
            yield snapshot
    finally:
        connection.close()


@contextmanager
def view_snapshot(state_dir: Path, sync: str) -> Iterator[Snapshot]:
    """A private copy of the sync's state: what is done to it stays in memory or in a temporary file.

    Raises BusyError while a run writes the file.
    """
    path = snapshot_path(state_dir, sync)
    connection = _connect(state_dir if state_dir.exists() else Path(tempfile.gettempdir()))
    try:
        with state_errors(path, sync), tempfile.TemporaryDirectory(prefix="connector-") as folder:
            if path.exists():
                _copy(path, Path(folder))
                _attach(connection, Path(folder) / path.name)
            else:
                connection.execute("ATTACH ':memory:' AS state")
            snapshot = Snapshot(connection, path)
            _upgrade(snapshot)
            yield snapshot
            connection.execute("DETACH state")
    finally:
        connection.close()


@contextmanager
def hold_snapshot(state_dir: Path, sync: str) -> Iterator[Callable[[Path], None]]:
    """What copies the sync's file into a folder; no run of it can begin until it has, or until the end of the block.

    Raises BusyError while a run writes the file, StateError when it cannot be read.
    """
    path = snapshot_path(state_dir, sync)
    with ExitStack() as stack:
        with state_errors(path, sync):
            stack.enter_context(_looking_at(path))

        def copy(folder: Path) -> None:
            with state_errors(path, sync):
                _copy_files(path, folder)

        yield copy


def named_runs(state_dir: Path, sync: str) -> frozenset[str]:
    """The ids of the runs that undelivered rows of the sync name. Raises BusyError while a run goes on, StateError."""
    path = snapshot_path(state_dir, sync)
    if not path.exists():
        return frozenset()
    with state_errors(path, sync), _looking_at(path) as connection:
        rows = connection.execute("SELECT first_run, last_run FROM state.undelivered GROUP BY ALL").fetchall()
        return frozenset(run for row in rows for run in row if run is not None)


def standing(state_dir: Path, sync: str) -> tuple[int, dict[str, int]]:
    """The rows in the snapshot, and those that are not delivered, by outcome. A run cannot begin for a moment.

    Raises BusyError while a run goes on, StateError; and the sync's file must be there.
    """
    path = snapshot_path(state_dir, sync)
    with state_errors(path, sync), _looking_at(path) as connection:
        rows = connection.execute("SELECT outcome, count(*) FROM state.undelivered GROUP BY outcome").fetchall()
        return Snapshot(connection, path).size(), dict(rows)


@contextmanager
def _looking_at(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection in which the file stands as `state`, to be read; no run can begin meanwhile.

    One thread of this process at a time: locks of files belong to a process (POSIX), so of two that look at one file,
    the first that closes it would give up the lock of the other, and a run could write to what is being copied.
    """
    with _LOOKING, closing(duckdb.connect(":memory:")) as connection:
        _attach(connection, path, read_only=True)
        yield connection


@contextmanager
def state_errors(path: Path, sync: str) -> Iterator[None]:
    """Nothing; inside it, what DuckDB and the disk say about this file is raised as BusyError or StateError."""
    try:
        yield
    except (duckdb.Error, OSError) as error:
        if isinstance(error, duckdb.Error) and not _is_broken(error):
            raise
        raise _state_error(error, path, sync) from error


def _connect(state_dir: Path) -> duckdb.DuckDBPyConnection:
    temp_dir = state_dir / "tmp"
    connection = duckdb.connect(":memory:")
    # DuckDB draws a bar on stdout as soon as a query takes two seconds, and there scripts read JSON.
    connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    connection.execute(f"SET memory_limit = '{MEMORY_BYTES}B'")
    limit_threads(connection, MEMORY_BYTES)
    # The plan of a large run is read once and dropped: to look for the best of these takes longer than to write it.
    connection.execute("SET disabled_compression_methods = 'fsst,dict_fsst,zstd,alp,alprd,chimp,patas'")
    connection.execute(f"SET temp_directory = {quoted_text(str(temp_dir))}")
    return connection


def _attach(connection: duckdb.DuckDBPyConnection, path: Path, *, read_only: bool = False) -> None:
    """Nothing, after attaching the file as `state`; a moment of waiting for somebody who only makes a copy of it."""
    options = "(READ_ONLY)" if read_only else f"(ROW_GROUP_SIZE {ROW_GROUP})"
    for patience in range(BUSY_LOOKS, -1, -1):
        try:
            connection.execute(f"ATTACH {quoted_text(str(path))} AS state {options}")
        except (duckdb.IOException, duckdb.ResourceInUseException) as error:
            if not patience or not _is_busy(error):
                raise
            time.sleep(BUSY_LOOK_S)
        else:
            return


def _copy(path: Path, folder: Path) -> None:
    """Nothing, after copying the file, as it stands between two runs, into the folder. A run cannot start meanwhile."""
    with _looking_at(path):
        _copy_files(path, folder)


def _copy_files(path: Path, folder: Path) -> None:
    # The file itself comes last: closing any handle on it gives up this process's lock (POSIX).
    for file in (path.with_name(path.name + ".wal"), path):
        if file.exists():
            shutil.copyfile(file, folder / file.name)


def _upgrade(snapshot: Snapshot) -> None:
    known = "SELECT 1 FROM duckdb_tables() WHERE database_name = 'state' AND table_name = 'info'"
    if snapshot.connection.execute(known).fetchone() is not None:
        found = snapshot.info("version")
        if found is not None:
            check_version(int(found), snapshot.path)
    snapshot.connection.execute(_TABLES)
    if snapshot.info("version") is None:
        snapshot.keep("version", STATE_VERSION)


def _is_broken(error: duckdb.Error) -> bool:
    """True when it is the file that is wrong, and not what was asked of it."""
    return isinstance(error, _BROKEN) or _is_damaged(str(error)) or _FULL.search(str(error)) is not None


def _is_damaged(text: str) -> bool:
    return _DAMAGED.search(text) is not None


def _is_busy(error: Exception) -> bool:
    text = str(error).lower()
    return isinstance(error, duckdb.ResourceInUseException) or ("lock" in text and "conflicting" in text)


def _state_error(error: Exception, path: Path, sync: str) -> BusyError | StateError:
    text = str(error).strip().splitlines()[0]
    if _is_busy(error):
        pid = re.search(r"PID (\d+)", text)
        holder = f"process {pid.group(1)}" if pid else "another process"
        if isinstance(error, duckdb.ResourceInUseException):
            holder = "this process"
        return BusyError(
            f"sync '{sync}' is running already, in {holder}",
            slug="sync-busy",
            hint="wait for it to end (--wait does that), or stop that process",
        )
    if _is_damaged(text):
        return StateError(
            f"the state of sync '{sync}' cannot be read: {path} is damaged",
            slug="state-damaged",
            hint=f"restore {path} from a backup, or move it away and take the present result as sent: "
            f"connector reset {sync} --baseline",
        )
    if _FULL.search(text):
        return StateError(
            f"the state of sync '{sync}' could not be written: {text}",
            slug="state-disk-full",
            hint="free some space (or raise the limit) and run again: what was acknowledged before is safe",
        )
    return StateError(
        f"the state of sync '{sync}' cannot be read or written: {text}",
        slug="state-unusable",
        hint=f"check the space and the permissions of {path.parent}",
    )
