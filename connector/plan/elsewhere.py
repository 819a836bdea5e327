"""A snapshot that lives in the warehouse, as far as one run needs it here.

The comparison there leaves two things: the model's rows that matter, and the snapshot's rows that matter (the excerpt).
Those stand in `accepted` from plan to settlement, and everything else goes on as if they were all there is. The
excerpt stays until it is noted what the settlement made of it: that is what the snapshot is told afterwards.

    excerpt    key, id, fp, raw         the snapshot's rows that matter, as the warehouse has them
    seen       key, fp, raw             the model's rows that came here, with both their fingerprints
    delta      key, id, fp, raw, gone   what the warehouse has not been told yet
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import md5
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from connector.errors import ConfigError
from connector.failpoints import reach
from connector.ports import MARKS, Delta, Wanted
from connector.values import quoted, quoted_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connector.compile import Projection
    from connector.plan.comparison import Ask, Counts
    from connector.plan.uses import Uses
    from connector.ports import Compared, Head, Query, WarehouseSnapshot
    from connector.state.snapshot import Snapshot

PLACE, DELTA, OWNER, WIPE = "place", "delta", "owner", "wipe"
_DELTA_TABLE = "CREATE OR REPLACE TABLE state.delta (key VARCHAR, id VARCHAR, fp VARCHAR, raw VARCHAR, gone BOOLEAN)"
DELTA_SCHEMA = pa.schema(
    [("key", pa.string()), ("id", pa.string()), ("fp", pa.string()), ("raw", pa.string()), ("gone", pa.bool_())]
)
MARKED = "".join(
    f", {quoted(name)} AS {alias}"
    for name, alias in zip(MARKS, ("w_key", "w_raw", "w_repeated", "w_shared"), strict=True)
)
AMBIGUOUS = (
    "SELECT key FROM staged WHERE w_repeated GROUP BY key",
    "SELECT id FROM staged WHERE w_shared GROUP BY id",
)
"""SQL for the keys that several rows have, and for the ids that several keys have, as the warehouse marked them."""


@dataclass(frozen=True, slots=True)
class Place:
    """What this state directory knows of the snapshot that it keeps in the warehouse: its version, and its rows."""

    version: int
    rows: int


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What was counted in the warehouse; `unchanged` are the rows that stayed there, `size` is the snapshot's."""

    queried: int
    null_key: int
    duplicate_key: int
    unchanged: int
    size: int


def counted(counts: Counts, elsewhere: Elsewhere | None) -> Counts:
    """The counts of the whole model, from those of the rows that are here."""
    if elsewhere is None:
        return counts
    return replace(
        counts,
        queried=elsewhere.queried + counts.kept,
        null_key=elsewhere.null_key,
        duplicate_key=elsewhere.duplicate_key,
        unchanged=elsewhere.unchanged + counts.unchanged,
    )


def place_of(snapshot: Snapshot) -> Place | None:
    """Where the snapshot is: None for the sync's own file."""
    found = snapshot.info(PLACE)
    return None if found is None else Place(**found)


def keep_place(snapshot: Snapshot, head: Head, rows: int) -> None:
    """Nothing, after noting that the snapshot is in the warehouse, and how this state directory left it."""
    snapshot.keep(PLACE, asdict(Place(head.version, rows)))


def forget_place(snapshot: Snapshot) -> None:
    """Nothing, after noting that the snapshot is in the sync's own file."""
    snapshot.keep(PLACE, None)
    forget_delta(snapshot)


def mapping_mark(projection: Projection) -> str:
    """A text that differs when the mapping does."""
    said = (projection.key, projection.id, projection.values, projection.problem, projection.fingerprint)
    return md5(repr(said).encode(), usedforsecurity=False).hexdigest()


def wanted(
    snapshot: Snapshot, projection: Projection, uses: Uses, query: Query, ask: Ask, *, empty: bool = False
) -> Wanted:
    """What to ask of the warehouse. Undelivered rows matter whatever their columns say.

    `empty`: as if the snapshot held nothing.
    """
    which = "" if ask.key is None else f" WHERE key = {quoted_text(ask.key)}"
    keys = snapshot.connection.sql(f"SELECT key FROM state.undelivered{which}").to_arrow_table()
    return Wanted(
        query,
        uses.key,
        uses.id if projection.own_id else None,
        uses.columns,
        mapping_mark(projection),
        ask.events,
        keys,
        everything=ask.full_resync or (uses.moving and not ask.events),
        empty=empty or place_of(snapshot) is None,
        chosen=ask.key,
    )


@contextmanager
def compared(snapshot: Snapshot, remote: WarehouseSnapshot, asked: Wanted) -> Iterator[Compared]:
    """The comparison in the warehouse; what it has not been told yet counts as told."""
    with ExitStack() as stack:
        with pending(snapshot) as delta:
            untold = delta is not None and not asked.empty and not knows(remote, delta)
            comparison = remote.compare(replace(asked, pending=delta) if untold else asked)
            found = stack.enter_context(comparison)
        yield found


def knows(remote: WarehouseSnapshot, delta: Delta) -> bool:
    """Whether this write has reached the warehouse, although nobody here heard of it."""
    head = remote.head()
    return head is not None and head.token == delta.token


def take(snapshot: Snapshot, compared: Compared) -> Elsewhere:
    """What the warehouse counted, after reading the excerpt into a temporary table; `staged` is there already.

    Raises ConfigError when the warehouse makes other keys of the same columns than the connector.
    """
    connection = snapshot.connection
    differing = connection.execute("SELECT w_key, key FROM staged WHERE w_key IS DISTINCT FROM key LIMIT 1").fetchone()
    if differing is not None:
        raise ConfigError(
            f"the warehouse writes a key as {differing[0]!r} that the connector writes as {differing[1]!r}",
            slug="planner-key",
            hint="cast the key to text in the model, or use planner: local",
        )
    with compared.accepted() as reader:
        fetch(snapshot, reader)
    return Elsewhere(compared.queried, compared.null_key, compared.duplicate_key, compared.unchanged, compared.size)


def fetch(snapshot: Snapshot, reader: pa.RecordBatchReader) -> None:
    """Nothing, after reading rows of the snapshot into the temporary table `fetched`."""
    connection = snapshot.connection
    connection.register("arriving", reader)
    texts = ", ".join(f"{name}::VARCHAR AS {name}" for name in ("key", "id", "fp", "raw"))
    try:
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE fetched AS SELECT {texts} FROM (FROM arriving) AS a(key, id, fp, raw)"
        )
    finally:
        connection.unregister("arriving")


def bring(snapshot: Snapshot, *, seen: bool) -> None:
    """Nothing, after putting what was fetched into `accepted`. `seen`: the rows in `staged` have fingerprints."""
    connection = snapshot.connection
    # What is made of no rows is left out: a transaction of DuckDB 2.0.0 that has put none into a table, and then more
    # than a row group, loses them.
    connection.execute("CREATE OR REPLACE TABLE state.excerpt (key VARCHAR, id VARCHAR, fp UHUGEINT, raw VARCHAR)")
    connection.execute("CREATE OR REPLACE TABLE state.seen (key VARCHAR, fp UHUGEINT, raw VARCHAR)")
    if snapshot.one("SELECT count(*) FROM state.accepted"):
        connection.execute("DELETE FROM state.accepted")
    if snapshot.one("SELECT count(*) FROM fetched"):
        connection.execute("INSERT INTO state.excerpt SELECT key, id, fp::UHUGEINT, raw FROM fetched")
        connection.execute("INSERT INTO state.accepted SELECT key, id, fp::UHUGEINT FROM fetched")
    connection.execute("DROP TABLE fetched")
    if seen:
        connection.execute("INSERT INTO state.seen SELECT key, fp, w_raw FROM staged WHERE NOT w_repeated")


def note_delta(snapshot: Snapshot) -> None:
    """Nothing, after noting what became of the excerpt, if there is one and its plan is settled.

    A fingerprint of the columns is known for a row that Pendo has as it is now, or as it was. This happens after the
    settlement's transaction, and again should the process die before it is done.
    """
    if not _has(snapshot, "excerpt") or snapshot.has_plan():
        return
    connection = snapshot.connection
    raw = "CASE WHEN s.fp = a.fp THEN s.raw WHEN e.fp = a.fp THEN e.raw END"
    connection.execute(_DELTA_TABLE)
    connection.execute(
        f"""INSERT INTO state.delta
        SELECT coalesce(a.key, e.key), a.id, a.fp::VARCHAR, {raw}, a.key IS NULL
        FROM state.accepted a FULL JOIN state.excerpt e ON a.key = e.key LEFT JOIN state.seen s ON s.key = a.key
        WHERE a.key IS NULL OR e.key IS NULL OR a.id IS DISTINCT FROM e.id OR a.fp IS DISTINCT FROM e.fp
            OR ({raw}) IS DISTINCT FROM e.raw"""
    )
    wipe = bool(snapshot.info(WIPE))
    written = wipe or snapshot.one("SELECT count(*) FROM state.delta")
    with snapshot.transaction():
        connection.execute("DROP TABLE state.excerpt; DROP TABLE state.seen; DELETE FROM state.accepted")
        if written:
            _note(snapshot, wipe=wipe)


def wipe_with_next(snapshot: Snapshot) -> None:
    """Nothing; what is noted next makes the warehouse forget every other row."""
    snapshot.keep(WIPE, value=True)


def note_wipe(snapshot: Snapshot) -> None:
    """Nothing, after noting that the warehouse has to forget every row, whatever it holds."""
    snapshot.connection.execute(_DELTA_TABLE)
    snapshot.connection.execute("DROP TABLE IF EXISTS state.excerpt; DROP TABLE IF EXISTS state.seen")
    _note(snapshot, wipe=True)


@contextmanager
def pending(snapshot: Snapshot) -> Iterator[Delta | None]:
    """What the warehouse has not been told yet; None when it knows everything."""
    note_delta(snapshot)
    noted, place = snapshot.info(DELTA), place_of(snapshot)
    if noted is None or place is None:
        yield None
        return
    owner = snapshot.info(OWNER)
    # Nothing else may use the connection until the rows were taken.
    with snapshot.connection.sql("SELECT * FROM state.delta").to_arrow_reader(50_000) as reader:
        yield Delta(
            owner,
            None if noted["wipe"] else place.version,
            noted["token"],
            reader,
            wipe=noted["wipe"],
            settled_once=noted["settled_once"],
        )


def tell(snapshot: Snapshot, remote: WarehouseSnapshot) -> None:
    """Nothing, after telling the warehouse what it has not been told yet. Raises SourceError, StateError."""
    with pending(snapshot) as delta:
        if delta is None:
            return
        reach("before-snapshot-write")
        head, rows = remote.write(delta)
    reach("snapshot-written")
    with snapshot.transaction():
        keep_place(snapshot, head, rows)
        forget_delta(snapshot)


def builds_on(snapshot: Snapshot, head: Head) -> bool:
    """Whether something is still to be told, and can be told on top of this; a wipe cannot. It is noted so then."""
    noted = snapshot.info(DELTA)
    if noted is None or noted["wipe"]:
        return False
    snapshot.keep(DELTA, {**noted, "settled_once": head.settled_once or noted["settled_once"]})
    return True


def forget_delta(snapshot: Snapshot) -> None:
    """Nothing, after forgetting what was to be told."""
    snapshot.connection.execute("DROP TABLE IF EXISTS state.delta")
    snapshot.keep(DELTA, None)


def no_rows() -> pa.RecordBatchReader:
    """A write without rows."""
    return DELTA_SCHEMA.empty_table().to_reader()


def _note(snapshot: Snapshot, *, wipe: bool) -> None:
    token = snapshot.one("SELECT uuid()::VARCHAR")
    noted: dict[str, Any] = {"token": token, "wipe": wipe, "settled_once": snapshot.info("settled_once")}
    snapshot.keep(DELTA, noted)
    snapshot.keep(WIPE, None)


def _has(snapshot: Snapshot, table: str) -> bool:
    sql = f"SELECT 1 FROM duckdb_tables() WHERE database_name = 'state' AND table_name = {quoted_text(table)}"
    return snapshot.connection.execute(sql).fetchone() is not None
