"""The numbers of a plan: which row gets which, and where its values stand by number.

Numbers run through spans. A span holds rows of one change that travel the same way (a lane):

    send      upserts, in batches            alone    rows known to be bad, one a request
    removed   rows to clear or delete        late     rows whose whole batch was refused the last time
    settled   rows whose outcome is known before anything is sent

so that a change and a lane are known from a number alone, and a batch is a range of numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from connector.ports import Change

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connector.compile import Projection
    from connector.state.snapshot import Snapshot

SORTED_ROWS = 100_000  # a span of fewer rows is sorted on its way
LANES = ("send", "alone", "removed", "late", "settled")
KEPT_VALUES, PASSING_VALUES = "state.ready", "temp.ready"

# `id` is NULL where it equals the key, as in the snapshot.
_PLAN_TABLE = """
CREATE TABLE state.plan (n BIGINT, key VARCHAR, id VARCHAR, change VARCHAR, fp UHUGEINT, problem VARCHAR,
    outcome VARCHAR, reason VARCHAR, fragment VARCHAR)"""


@dataclass(frozen=True, slots=True)
class Span:
    """The plan's numbers `first` up to `stop`: rows of one change in one lane."""

    lane: str
    change: Change
    first: int
    stop: int


def number(snapshot: Snapshot, projection: Projection, *, keep: bool) -> tuple[tuple[Span, ...], str]:
    """The spans, after writing `state.plan` span by span, so that a number's place says its lane and change.

    With them, where the values stand by number: see `Plan.ready`. With `keep` they are written down as well.
    """
    connection = snapshot.connection
    sizes = connection.execute("SELECT lane, change, count(*) FROM compared WHERE lane IS NOT NULL GROUP BY ALL")
    order = {(lane, change): at for at, (lane, change) in enumerate((lane, c) for lane in LANES for c in Change)}
    spans: list[Span] = []
    for lane, change, size in sorted(sizes.fetchall(), key=lambda row: order[row[0], Change(row[1])]):
        first = spans[-1].stop if spans else 0
        spans.append(Span(lane, Change(change), first, first + size))
    names = "".join(f", {value.name}" for value in projection.values)
    ready = KEPT_VALUES if keep else PASSING_VALUES
    _drop(snapshot, "plan", "ready", "span")
    connection.execute(_PLAN_TABLE)
    _write_spans(snapshot, spans)
    if len(spans) == 1 and spans[0].lane == "send" and not _any_kept(snapshot, spans[0]):
        rows, last = connection.execute("SELECT count(*), max(rowid) FROM staged").fetchone() or (0, None)
        if rows == spans[0].stop == last + 1:
            return tuple(spans), _number_whole(snapshot, projection, spans[0], ready)
    connection.execute(_ready_table(snapshot, projection, ready))
    for span in spans:
        for statement in _numbered(span, ready, names, kept=_any_kept(snapshot, span)):
            connection.execute(statement)
    # A join may hand on its rows in any order, and batches are read in the order of the numbers. (Inside a transaction
    # the row ids of a new table start anywhere.)
    if snapshot.one(f"SELECT count(*) FROM {ready} WHERE n <> rowid - (SELECT min(rowid) FROM {ready})"):
        connection.execute(f"{_make(ready)} AS SELECT * FROM {ready} ORDER BY n")
    return tuple(spans), ready


def number_in_place(snapshot: Snapshot, projection: Projection, rows: int) -> tuple[tuple[Span, ...], str]:
    """What `number` returns, where every row that is staged in the sync's file is sent: they are the plan as they are.

    Their numbers are the row ids, which begin at 0 and have no gap in a table that was written whole.
    """
    connection = snapshot.connection
    span = Span("send", Change.ADDED, 0, rows)
    if connection.execute("SELECT min(rowid), max(rowid) FROM state.staged").fetchone() != (0, rows - 1):
        msg = "the staged rows are not numbered from 0"
        raise AssertionError(msg)
    _drop(snapshot, "plan", "ready", "span")
    _write_spans(snapshot, [span])
    names = "".join(f", {value.name}" for value in projection.values)
    id_, other_id = ("id", "nullif(id, key)") if projection.own_id else ("key", "NULL::VARCHAR")
    values = f"SELECT rowid AS n, {id_} AS id, NULL::VARCHAR AS fragment{names} FROM state.staged"
    connection.execute(
        f"CREATE VIEW state.plan AS SELECT rowid AS n, key, {other_id} AS id, '{span.change}' AS change, fp, "
        "NULL::VARCHAR AS problem, NULL::VARCHAR AS outcome, NULL::VARCHAR AS reason, NULL::VARCHAR AS fragment "
        "FROM state.staged"
    )
    connection.execute(f"CREATE VIEW state.ready AS {values}")
    return (span,), f"({values})"


def forget(snapshot: Snapshot) -> None:
    """Nothing, after dropping everything that a plan left in the sync's file."""
    _drop(snapshot, "plan", "ready", "span", "shown", "staged")


def _drop(snapshot: Snapshot, *names: str) -> None:
    """Nothing, after dropping these tables, or the views in their place."""
    found = "SELECT table_name, table_type FROM information_schema.tables WHERE table_catalog = 'state'"
    kinds = dict(snapshot.connection.execute(found).fetchall())
    for name in names:
        if name in kinds:
            snapshot.connection.execute(f"DROP {'VIEW' if kinds[name] == 'VIEW' else 'TABLE'} state.{name}")


def _write_spans(snapshot: Snapshot, spans: Sequence[Span]) -> None:
    connection = snapshot.connection
    connection.execute("CREATE TABLE state.span (lane VARCHAR, change VARCHAR, first BIGINT, stop BIGINT)")
    for span in spans:
        row = [span.lane, span.change.value, span.first, span.stop]
        connection.execute("INSERT INTO state.span VALUES (?, ?, ?, ?)", row)


def _number_whole(snapshot: Snapshot, projection: Projection, span: Span, ready: str) -> str:
    """Where the values stand, after writing the plan of a run that sends every row: each has its number already.

    The rows of `staged` were numbered from 0 when it was made, and are all there are.
    """
    names = "".join(f", {value.name}" for value in projection.values)
    values = f"SELECT rowid AS n, id, NULL::VARCHAR AS fragment{names} FROM staged"
    snapshot.connection.execute(
        f"INSERT INTO state.plan SELECT rowid, key, nullif(id, key), '{span.change}', fp, NULL, NULL, NULL, NULL "
        "FROM staged"
    )
    if ready == PASSING_VALUES:
        return f"({values})"
    snapshot.connection.execute(_ready_table(snapshot, projection, ready))
    snapshot.connection.execute(f"INSERT INTO {ready} {values}")
    return ready


def _ready_table(snapshot: Snapshot, projection: Projection, ready: str) -> str:
    """SQL that makes the empty table of values.

    It names its columns: rows put into a table that the same transaction made by CREATE TABLE ... AS SELECT ... LIMIT 0
    are lost when there are more than a row group of them (DuckDB 2.0.0).
    """
    staged = snapshot.connection.execute("SELECT * FROM staged LIMIT 0").description or []
    types = {column[0]: str(column[1]) for column in staged}
    values = "".join(f", {value.name} {types[value.name]}" for value in projection.values)
    return f"{_make(ready)} (n BIGINT, id VARCHAR, fragment VARCHAR{values})"


def _make(ready: str) -> str:
    return f"CREATE OR REPLACE {'TEMP TABLE' if ready == PASSING_VALUES else 'TABLE'} {ready}"


def _any_kept(snapshot: Snapshot, span: Span) -> bool:
    chosen = f"lane = '{span.lane}' AND change = '{span.change}' AND row IS NULL"
    return bool(snapshot.one(f"SELECT count(*) > 0 FROM compared WHERE {chosen}"))


def _numbered(span: Span, ready: str, names: str, *, kept: bool) -> list[str]:
    """SQL that adds one span to the plan: numbered in the order of the model's result, kept rows behind."""
    chosen = f"FROM compared WHERE lane = '{span.lane}' AND change = '{span.change}'"
    row_number = f"{span.first} - 1 + row_number() OVER"
    if span.lane == "send" and not kept and span.stop - span.first >= SORTED_ROWS:
        # Only row numbers are sorted, and the wide rows stream past them.
        numbered = f"SELECT {row_number} (ORDER BY row) AS n, row AS at_row {chosen}"
        joined = "FROM staged s JOIN numbered ON at_row = s.rowid"
        known = f"n, key, nullif(id, key), '{span.change}', fp, NULL, NULL, NULL, NULL"
        values = f"n, id, NULL{names} {joined}"
    else:
        order = "(ORDER BY row NULLS LAST, key)"
        numbered = (
            f"SELECT {row_number} {order} AS n, row AS at_row, key, id, change, outcome, reason, fragment {chosen}"
        )
        rows = "(SELECT rowid AS row, * EXCLUDE (key, id) FROM staged)"
        joined = f"FROM numbered c LEFT JOIN {rows} s ON s.row = c.at_row"
        known = "n, key, nullif(c.id, key), change, fp, problem, outcome, reason, fragment"
        values = f"n, c.id, fragment{names} {joined} ORDER BY n"
    return [
        f"CREATE TEMP TABLE numbered AS {numbered}",
        f"INSERT INTO state.plan SELECT {known} {joined}",
        f"INSERT INTO {ready} SELECT {values}",
        "DROP TABLE numbered",
    ]
