"""The plan: a numbered table of changes, made by one comparison of the staged rows with the snapshot, in DuckDB."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import duckdb

from connector.errors import Problem, SourceError
from connector.plan.differences import compared_sql, met_sql, removed_sql, unchanged_sql, usable_sql
from connector.plan.elsewhere import AMBIGUOUS, MARKED, bring, counted
from connector.plan.numbering import KEPT_VALUES, PASSING_VALUES, Span, number, number_in_place
from connector.plan.rows_file import keep_shown
from connector.ports import Change, Outcome
from connector.values import quoted_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from connector.compile import Projection
    from connector.plan.elsewhere import Elsewhere
    from connector.ports import Route
    from connector.state.snapshot import Snapshot

CAUTION_ROWS = 10_000  # cautions look at so many of the plan's rows: enough to notice, too few to slow a large run
# What was refused as a whole comes last: should it be refused again, the run stops with everything else done.


_NOTHING_TO_COMPARE = """
CREATE TEMP TABLE repeated (key VARCHAR);
CREATE TEMP TABLE shared (id VARCHAR);
CREATE TEMP TABLE compared (row BIGINT, key VARCHAR, id VARCHAR, change VARCHAR, lane VARCHAR, outcome VARCHAR,
    reason VARCHAR, fragment VARCHAR)"""

_IN_FILE, _PASSING = "state.staged", "temp.passing"

_REPEATED = "SELECT key FROM staged WHERE key IS NOT NULL GROUP BY key HAVING count(*) > 1"


@dataclass(frozen=True, slots=True)
class Counts:
    """What the model's rows are, compared with the snapshot. `kept` rows are counted in `queried` and `added`."""

    queried: int = 0
    null_key: int = 0
    duplicate_key: int = 0
    unchanged: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0
    kept: int = 0

    @property
    def planned(self) -> dict[Change, int]:
        """How many rows of each change the plan holds."""
        return {Change.ADDED: self.added, Change.CHANGED: self.changed, Change.REMOVED: self.removed}


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do. The rows are in the table `plan` of the sync's file, these are its headings.

    `settled` counts the rows whose outcome is known before anything is sent. `whole`: the plan is about the whole
    model, not about one chosen row. `ready` is SQL: the table with n, id, fragment and the values of each row, in the
    order of n.
    """

    run_id: str
    counts: Counts
    spans: tuple[Span, ...]
    settled: Mapping[Outcome, Mapping[Change, int]]
    snapshot_size: int
    whole: bool
    ready: str = PASSING_VALUES
    cautions: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked of a comparison, beside the sync itself."""

    run_id: str
    events: bool
    full_resync: bool = False
    skip_first: bool = False
    key: str | None = None
    max_attempts: int = 5
    hold_in_doubt: bool = False
    payloads: bool = True


@dataclass(frozen=True, slots=True)
class PlanInfo:
    """What settling needs to know of a plan, kept beside it so that a later process can settle it, too."""

    run_id: str
    events: bool
    fingerprint: str
    fragment: str | None
    routes: Mapping[str, list[str]]
    deletes: bool
    own_id: bool
    max_attempts: int
    hold_in_doubt: bool
    whole: bool = True
    counts: Mapping[str, int] = field(default_factory=dict)
    hidden_key: Sequence[bool] = ()
    hidden_id: bool = False


def stage(
    snapshot: Snapshot,
    batches: pa.RecordBatchReader,
    projection: Projection,
    ask: Ask,
    now_ms: int,
    *,
    marked: bool = False,
) -> None:
    """Nothing, after reading every row into `staged`: rowid, key, id, typed values, problem, fingerprint.

    Raises SourceError when the result breaks off. Events carry no fingerprint: their key alone decides.

    Where the snapshot holds nothing, nearly every row will be sent, so the rows are staged in the sync's file and are
    the plan themselves: written once, and not once more for each. `staged` is a view of the rows, wherever they are:
    an id that is the key is not kept beside it. `marked` rows were compared in the warehouse already.
    """
    connection = snapshot.connection
    # The values of an object need not be in the file, and those that are redacted must not be.
    fit = (projection.cover is None or ask.events) and not marked
    in_file = fit and ask.key is None and not ask.skip_first and _holds_nothing(snapshot)
    connection.execute("DROP TABLE IF EXISTS state.staged")  # of a process that died before it had a plan
    connection.execute(f"SET VARIABLE send_time_ms = {now_ms}")
    rows = projection.staged("batches", MARKED if marked else "")
    chosen = f" WHERE key = {quoted_text(ask.key)}" if ask.key is not None else ""
    fp = "NULL::UHUGEINT" if ask.events else projection.fingerprint
    connection.register("batches", batches)
    try:
        kind, table = ("TABLE", _IN_FILE) if in_file else ("TEMP TABLE", _PASSING)
        connection.execute(f"CREATE {kind} {table} AS SELECT *, {fp} AS fp FROM ({rows}){chosen}")
        id_ = "" if projection.own_id else ", key AS id"
        connection.execute(f"CREATE OR REPLACE TEMP VIEW staged AS SELECT rowid, *{id_} FROM {table}")
    except duckdb.Error as error:
        if str(snapshot.path) in str(error):
            raise  # it is the sync's file that cannot be written
        raise SourceError(
            f"the model's result broke off: {str(error).strip().splitlines()[0]}",
            slug="source-broke-off",
            hint="nothing was sent; run again, or try the model with `connector preview`",
        ) from error
    finally:
        connection.unregister("batches")


def compare(
    snapshot: Snapshot, projection: Projection, routes: Sequence[Route], ask: Ask, elsewhere: Elsewhere | None = None
) -> Plan:
    """The plan, written down: tables `state.plan`, `state.span` and the info needed to settle it.

    `elsewhere` is what the warehouse counted, where it made the comparison: `staged` has only what matters then.

    The values of events are written down, too (`state.ready`): an event that was not delivered is kept, whether the
    model still returns it or not. Those of objects need not outlive the process.
    """
    size = snapshot.size() if elsewhere is None else elsewhere.size
    if elsewhere is not None:
        with snapshot.transaction():
            bring(snapshot, seen=not ask.events)
    with snapshot.transaction():
        counts = _all_new(snapshot, projection)
        if counts is not None:
            spans, ready = number_in_place(snapshot, projection, counts.added)
        else:
            counts = _compare(snapshot, projection, routes, ask, elsewhere)
            spans, ready = number(snapshot, projection, keep=ask.events)
            if ask.payloads and any(span.lane == "settled" for span in spans):
                keep_shown(snapshot, projection, routes, ready)
        settled = _settled(snapshot)
        cautions = _cautions(snapshot, projection, ready)
        snapshot.keep("plan", asdict(_info(projection, routes, ask, counts)))
        snapshot.connection.execute("DROP TABLE repeated; DROP TABLE shared; DROP TABLE compared")
    if ready in (KEPT_VALUES, PASSING_VALUES):
        snapshot.connection.execute(f"DROP VIEW staged; DROP TABLE {_IN_FILE if _is_in_file(snapshot) else _PASSING}")
    return Plan(ask.run_id, counts, spans, settled, size, whole=ask.key is None, ready=ready, cautions=cautions)


def _holds_nothing(snapshot: Snapshot) -> bool:
    """Whether there is nothing to compare with: no row was accepted, is undelivered, or was deleted."""
    return not any(
        snapshot.one(f"SELECT count(*) FROM state.{name}") for name in ("accepted", "undelivered", "deleted")
    )


def _is_in_file(snapshot: Snapshot) -> bool:
    """Whether the rows are staged in the sync's file."""
    sql = "SELECT count(*) FROM information_schema.tables WHERE table_catalog = 'state' AND table_name = 'staged'"
    return bool(snapshot.one(sql))


def _all_new(snapshot: Snapshot, projection: Projection) -> Counts | None:
    """The counts of a first run in which every row can be sent; None when it is another run, or some row cannot."""
    if not _is_in_file(snapshot):
        return None
    connection, one = snapshot.connection, snapshot.one
    unfit = "SELECT count(*) FROM state.staged WHERE key IS NULL OR problem IS NOT NULL"
    if one(unfit) or not one("SELECT count(*) FROM state.staged"):
        return None
    connection.execute(_NOTHING_TO_COMPARE)
    connection.execute(f"INSERT INTO repeated {_REPEATED}; INSERT INTO shared {_shared(projection)}")
    if one("SELECT count(*) FROM repeated") or one("SELECT count(*) FROM shared"):
        connection.execute("DROP TABLE repeated; DROP TABLE shared; DROP TABLE compared")
        return None
    queried, added = one("SELECT count(*) FROM state.staged"), one("SELECT count(key) FROM state.staged")
    return Counts(queried=int(queried), added=int(added))


def _repeated(snapshot: Snapshot, ask: Ask) -> str:
    """SQL for the keys that stand on several rows.

    Where each accepted row met one row at most, only rows that met none can share a key, and those are few.
    """
    if ask.events or ask.key is not None:
        return _REPEATED
    one = snapshot.one
    gone, new = one("SELECT count(*) FROM met WHERE row IS NULL"), "FROM met WHERE row IS NOT NULL AND a_key IS NULL"
    rows_met = one("SELECT count(*) FROM staged") - one(f"SELECT count(*) {new}")
    if rows_met != one("SELECT count(*) FROM state.accepted") - gone:
        return _REPEATED
    return f"SELECT key {new} AND key IS NOT NULL GROUP BY key HAVING count(*) > 1"


def _shared(projection: Projection) -> str:
    """SQL for the ids that stand on two rows with different keys: only an id that is not the key can."""
    own = "GROUP BY id HAVING count(DISTINCT key) > 1" if projection.own_id else "WHERE false"
    return f"SELECT id FROM staged {own}"


def _compare(
    snapshot: Snapshot, projection: Projection, routes: Sequence[Route], ask: Ask, elsewhere: Elsewhere | None
) -> Counts:
    """The counts, after making the narrow table `compared`."""
    connection = snapshot.connection
    found = _found_again(snapshot, ask) if ask.events and elsewhere is None else None
    if found is not None and found == snapshot.size() == snapshot.one("SELECT count(*) FROM staged"):
        # Most runs are like that: each accepted event came back once, none is new, and none is missing.
        connection.execute(_NOTHING_TO_COMPARE)
        return Counts(queried=int(snapshot.one("SELECT count(*) FROM staged")), unchanged=found)
    # A chosen row, or events that are to be sent again, are wanted in Pendo: they are no baseline.
    first = ask.key is None and not ask.full_resync and snapshot.info("settled_once") is None
    baseline = ask.events and ask.skip_first and first
    narrowed = not baseline and not ask.full_resync and snapshot.size() > 0
    # A table of its own: two large joins at once would need twice the memory.
    connection.execute(f"CREATE TEMP TABLE met AS {met_sql(projection, ask, differing=narrowed)}")
    repeated, shared = (_repeated(snapshot, ask), _shared(projection)) if elsewhere is None else AMBIGUOUS
    connection.execute(f"CREATE TEMP TABLE repeated AS {repeated}")
    connection.execute(f"CREATE TEMP TABLE shared AS {shared}")
    connection.execute(compared_sql(projection, ask, baseline=baseline, rows=usable_sql()))
    if not ask.events:
        owed = bool(snapshot.one("SELECT count(*) FROM state.undelivered WHERE touched"))
        has_route = any(Change.REMOVED in route.changes for route in routes)
        connection.execute(removed_sql(ask, has_route=has_route, owed=owed))
    if baseline:
        connection.execute(
            "INSERT INTO state.accepted SELECT key, NULL, NULL FROM compared "
            "WHERE lane IS NULL AND key NOT IN (SELECT key FROM state.accepted)"
        )
        # Taken here and now: should this run die, what is new to the next one is an event.
        snapshot.keep("settled_once", ask.run_id)
    unchanged = snapshot.one("SELECT count(*) FROM compared WHERE lane IS NULL")
    if narrowed:
        unchanged = _unchanged(snapshot, ask, found, elsewhere)
    connection.execute("DROP TABLE met")
    return counted(_counts(snapshot, int(unchanged)), elsewhere)


def _unchanged(snapshot: Snapshot, ask: Ask, found: int | None, elsewhere: Elsewhere | None) -> int:
    """How many rows are as they were accepted: those of `accepted` that are not in `met`, where no key is repeated.

    The other counts are of the staged rows, so that these can contradict them.
    """
    one = snapshot.one
    repeated = one("SELECT count(*) FROM repeated")
    if found is not None and not repeated:
        return found
    if ask.events or elsewhere is not None or repeated:
        return int(one(unchanged_sql(events=ask.events)))
    chosen = f" WHERE key = {quoted_text(ask.key)}" if ask.key is not None else ""
    return int(one(f"SELECT count(*) FROM state.accepted{chosen}")) - int(one("SELECT count(a_key) FROM met"))


def _found_again(snapshot: Snapshot, ask: Ask) -> int | None:
    """How many accepted events the model returned; None where more than that says what is unchanged."""
    size, one = snapshot.size(), snapshot.one
    if ask.full_resync or ask.key is not None or not size:
        return None
    if one("SELECT count(*) FROM state.undelivered") or one("SELECT count(*) FROM state.deleted"):
        return None
    return int(one("SELECT count(*) FROM state.accepted a WHERE EXISTS (SELECT 1 FROM staged s WHERE s.key = a.key)"))


def _info(projection: Projection, routes: Sequence[Route], ask: Ask, counts: Counts) -> PlanInfo:
    return PlanInfo(
        run_id=ask.run_id,
        events=ask.events,
        fingerprint=projection.fingerprint,
        fragment=next(iter(projection.fragments.values())) if ask.events else None,
        routes={route.name: sorted(route.changes) for route in routes},
        deletes=any(route.name == "delete" for route in routes),
        own_id=projection.own_id,
        max_attempts=ask.max_attempts,
        hold_in_doubt=ask.hold_in_doubt,
        whole=ask.key is None,
        counts=asdict(counts),
        hidden_key=() if projection.cover is None else projection.cover.key,
        hidden_id=projection.cover is not None and projection.cover.id,
    )


def _counts(snapshot: Snapshot, unchanged: int) -> Counts:
    """Each count from a query of its own, so that the identities can fail."""
    one = snapshot.one
    planned = "SELECT change, count(*) FROM compared WHERE lane IS NOT NULL GROUP BY ALL"
    by_change = dict(snapshot.connection.execute(planned).fetchall())
    kept = int(one("SELECT count(*) FROM compared WHERE row IS NULL AND change = 'added'"))
    return Counts(
        queried=int(one("SELECT count(*) FROM staged")) + kept,
        null_key=int(one("SELECT count(*) FROM staged WHERE key IS NULL")),
        duplicate_key=int(one("SELECT count(*) FROM staged WHERE key IN (SELECT key FROM repeated)")),
        unchanged=unchanged,
        added=by_change.get("added", 0),
        changed=by_change.get("changed", 0),
        removed=by_change.get("removed", 0),
        kept=kept,
    )


def _cautions(snapshot: Snapshot, projection: Projection, ready: str) -> tuple[Problem, ...]:
    """What is likely unwanted among the first rows to be sent, with how many of them."""
    if not projection.cautions:
        return ()
    counted = ", ".join(f"count(*) FILTER ({caution.sql})" for caution in projection.cautions)
    first = f"SELECT n FROM state.plan WHERE outcome IS NULL AND fragment IS NULL LIMIT {CAUTION_ROWS}"
    rows = f"SELECT * FROM {ready} AS ready WHERE n IN ({first})"
    found = snapshot.connection.execute(f"SELECT count(*), {counted} FROM ({rows})").fetchone() or (0,)
    return tuple(
        Problem(f"{caution.message} in {count:,} of the first {found[0]:,} rows", caution.slug)
        for caution, count in zip(projection.cautions, found[1:], strict=True)
        if count
    )


def _settled(snapshot: Snapshot) -> dict[Outcome, dict[Change, int]]:
    found = {outcome: dict.fromkeys(Change, 0) for outcome in Outcome}
    sql = "SELECT outcome, change, count(*) FROM compared WHERE lane = 'settled' GROUP BY ALL"
    for outcome, change, count in snapshot.connection.execute(sql).fetchall():
        found[Outcome(outcome)][Change(change)] = count
    return found
