"""The plan: a numbered table of changes, made by one comparison of the staged rows with the snapshot, in DuckDB."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import duckdb

from connector.errors import Problem, SourceError
from connector.plan.numbering import KEPT_VALUES, PASSING_VALUES, Span, number
from connector.ports import Change, Outcome
from connector.values import quoted_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from connector.compile import Projection
    from connector.ports import Route
    from connector.state.snapshot import Snapshot

CAUTION_ROWS = 10_000  # cautions look at so many of the plan's rows: enough to notice, too few to slow a large run
# What was refused as a whole comes last: should it be refused again, the run stops with everything else done.


_NOTHING_TO_COMPARE = """
CREATE TEMP TABLE repeated (key VARCHAR);
CREATE TEMP TABLE shared (id VARCHAR);
CREATE TEMP TABLE compared (row BIGINT, key VARCHAR, id VARCHAR, change VARCHAR, lane VARCHAR, outcome VARCHAR,
    reason VARCHAR, fragment VARCHAR)"""


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


def stage(snapshot: Snapshot, batches: pa.RecordBatchReader, projection: Projection, ask: Ask, now_ms: int) -> None:
    """Nothing, after reading every row into the table `staged`: key, id, typed values, problem, fingerprint.

    Raises SourceError when the result breaks off. Events carry no fingerprint: their key alone decides.
    """
    connection = snapshot.connection
    connection.execute(f"SET VARIABLE send_time_ms = {now_ms}")
    values = "".join(f", {value.sql} AS {value.name}" for value in projection.values)
    named = f"{projection.key} AS key, {projection.id} AS id, {projection.problem} AS problem{values}"
    rows = f"SELECT {named} FROM batches"
    chosen = f" WHERE key = {quoted_text(ask.key)}" if ask.key is not None else ""
    fp = "NULL::UHUGEINT" if ask.events else projection.fingerprint
    connection.register("batches", batches)
    try:
        connection.execute(f"CREATE TEMP TABLE staged AS SELECT *, {fp} AS fp FROM ({rows}){chosen}")
    except duckdb.Error as error:
        raise SourceError(
            f"the model's result broke off: {str(error).strip().splitlines()[0]}",
            slug="source-broke-off",
            hint="nothing was sent; run again, or try the model with `connector preview`",
        ) from error
    finally:
        connection.unregister("batches")


def compare(snapshot: Snapshot, projection: Projection, routes: Sequence[Route], ask: Ask) -> Plan:
    """The plan, written down: tables `state.plan`, `state.span` and the info needed to settle it.

    The values of events are written down, too (`state.ready`): an event that was not delivered is kept, whether the
    model still returns it or not. Those of objects need not outlive the process.
    """
    size = snapshot.size()
    with snapshot.transaction():
        counts = _compare(snapshot, projection, routes, ask)
        spans, ready = number(snapshot, projection, keep=ask.events)
        settled = _settled(snapshot)
        cautions = _cautions(snapshot, projection, ready)
        snapshot.keep("plan", asdict(_info(projection, routes, ask, counts)))
        snapshot.connection.execute("DROP TABLE repeated; DROP TABLE shared; DROP TABLE compared")
    if ready in (KEPT_VALUES, PASSING_VALUES):
        snapshot.connection.execute("DROP TABLE staged")
    return Plan(ask.run_id, counts, spans, settled, size, whole=ask.key is None, ready=ready, cautions=cautions)


def _compare(snapshot: Snapshot, projection: Projection, routes: Sequence[Route], ask: Ask) -> Counts:
    """The counts, after making the narrow table `compared`."""
    connection = snapshot.connection
    unchanged = _unchanged(snapshot, ask)
    if unchanged is not None:
        connection.execute(_NOTHING_TO_COMPARE)
        return unchanged
    # A chosen row, or events that are to be sent again, are wanted in Pendo: they are no baseline.
    first = ask.key is None and not ask.full_resync and snapshot.info("settled_once") is None
    baseline = ask.events and ask.skip_first and first
    connection.execute(
        "CREATE TEMP TABLE repeated AS SELECT key FROM staged WHERE key IS NOT NULL GROUP BY key HAVING count(*) > 1"
    )
    # Only an id that is not the key can stand on two rows with different keys.
    own = "GROUP BY id HAVING count(DISTINCT key) > 1" if projection.own_id else "WHERE false"
    connection.execute(f"CREATE TEMP TABLE shared AS SELECT id FROM staged {own}")
    connection.execute(_compared(projection, ask, baseline=baseline))
    if not ask.events:
        connection.execute(_removed(ask, has_route=any(Change.REMOVED in route.changes for route in routes)))
    if baseline:
        connection.execute(
            "INSERT INTO state.accepted SELECT key, NULL, NULL FROM compared "
            "WHERE lane IS NULL AND key NOT IN (SELECT key FROM state.accepted)"
        )
        # Taken here and now: should this run die, what is new to the next one is an event.
        snapshot.keep("settled_once", ask.run_id)
    return _counts(snapshot)


def _unchanged(snapshot: Snapshot, ask: Ask) -> Counts | None:
    """The counts of a model that returned exactly what was accepted; None when it did not, or may not have.

    Most runs are like that. As many accepted rows were found again as the model returned rows, and as there are: so
    each of them once, none is new, and none is missing.
    """
    size, one = snapshot.size(), snapshot.one
    if ask.full_resync or ask.key is not None or not size or one("SELECT count(*) FROM staged") != size:
        return None
    if one("SELECT count(*) FROM state.undelivered") or one("SELECT count(*) FROM state.deleted"):
        return None
    same = "s.key = a.key" if ask.events else "s.key = a.key AND s.fp = a.fp"
    found = int(one(f"SELECT count(*) FROM state.accepted a WHERE EXISTS (SELECT 1 FROM staged s WHERE {same})"))
    return Counts(queried=int(one("SELECT count(*) FROM staged")), unchanged=found) if found == size else None


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
    )


def _compared(projection: Projection, ask: Ask, *, baseline: bool) -> str:
    """SQL that makes `compared`: a narrow row for each usable row of the model and each kept one.

    `lane` is NULL where the row is unchanged.
    """
    # An event that was sent again on purpose and did not arrive is owed, although it was accepted once.
    differs = "a_key IS NULL OR u_key IS NOT NULL" if ask.events else "a_key IS NULL OR a_fp IS DISTINCT FROM fp"
    if ask.full_resync:
        differs = "true"
    if baseline:
        differs = "false"
    change = "'added'" if ask.events else "CASE WHEN a_key IS NULL THEN 'added' ELSE 'changed' END"
    same = f"u_fp IS NOT DISTINCT FROM ({projection.fingerprint})"
    kept_filter = f"AND key = {quoted_text(ask.key)}" if ask.key is not None else ""
    kept = (
        f"""
        UNION ALL
        SELECT NULL, key, coalesce(id, key), 'added', CASE WHEN outcome IN ('quarantined', 'in_doubt') THEN 'settled'
            WHEN cause = 'row' THEN 'alone' WHEN cause = 'batch' THEN 'late' ELSE 'send' END,
            CASE WHEN outcome IN ('quarantined', 'in_doubt') THEN outcome END, last_reason, fragment
        FROM state.undelivered WHERE fragment IS NOT NULL AND key NOT IN (SELECT key FROM staged WHERE key IS NOT NULL)
            {kept_filter}"""
        if ask.events
        else ""
    )
    return f"""
    CREATE TEMP TABLE compared AS
    SELECT row, key, id, change,
        CASE WHEN NOT ({differs}) THEN NULL WHEN fate IS NOT NULL THEN 'settled'
            WHEN u_key IS NOT NULL AND u_cause = 'row' AND same THEN 'alone'
            WHEN u_key IS NOT NULL AND u_cause = 'batch' AND same THEN 'late' ELSE 'send' END AS lane,
        CASE WHEN {differs} THEN fate END AS outcome,
        CASE fate WHEN 'quarantined' THEN u_reason WHEN 'in_doubt' THEN u_reason WHEN 'rejected' THEN why END AS reason,
        NULL::VARCHAR AS fragment
    FROM (
        SELECT *, {change} AS change, u_key IS NOT NULL AND {same} AS same,
            CASE WHEN problem IS NOT NULL THEN problem
                WHEN d_key IS NOT NULL THEN 'this sync had the id deleted on ' || strftime(d_at, '%Y-%m-%d')
                    || '; Pendo ignores it until donotprocess is false there. Then: connector release SYNC --key KEY'
                WHEN s_id IS NOT NULL THEN 'two rows of the model have the id ' || to_json(id) END AS why,
            CASE WHEN u_key IS NOT NULL AND u_outcome = 'quarantined' AND {same} THEN 'quarantined'
                WHEN u_outcome = 'in_doubt' AND {str(ask.events).lower()} THEN 'in_doubt'
                WHEN why IS NOT NULL THEN 'rejected' END AS fate
        FROM (SELECT rowid AS row, * FROM staged WHERE key IS NOT NULL AND key NOT IN (SELECT key FROM repeated))
        LEFT JOIN (SELECT key AS a_key, fp AS a_fp FROM state.accepted) ON a_key = key
        LEFT JOIN (SELECT key AS u_key, fp AS u_fp, outcome AS u_outcome, cause AS u_cause, last_reason AS u_reason
            FROM state.undelivered) ON u_key = key
        LEFT JOIN (SELECT key AS d_key, deleted_at AS d_at FROM state.deleted) ON d_key = key
        LEFT JOIN (SELECT id AS s_id FROM shared) ON s_id = id
    ){kept}"""


def _removed(ask: Ask, *, has_route: bool) -> str:
    """SQL that adds the rows which Pendo has, or may have, from this sync and the model no longer returns.

    What was said of an undelivered row holds for its removal where it was one: those have no fingerprint.
    """
    chosen = f"AND key = {quoted_text(ask.key)}" if ask.key is not None else ""
    lane, outcome, reason = "'settled'", f"'{Outcome.SUCCEEDED}'", "NULL"
    if has_route:
        lane = "CASE WHEN u_outcome = 'quarantined' THEN 'settled' WHEN u_cause = 'row' THEN 'alone' ELSE 'removed' END"
        outcome = "CASE WHEN u_outcome = 'quarantined' THEN u_outcome END"
        reason = "CASE WHEN u_outcome = 'quarantined' THEN u_reason END"
    return f"""
    INSERT INTO compared
    SELECT NULL, key, coalesce(id, key), 'removed', {lane}, {outcome}, {reason}, NULL FROM (
        SELECT key, id FROM state.accepted
        UNION ALL
        SELECT key, id FROM state.undelivered WHERE touched AND key NOT IN (SELECT key FROM state.accepted)) AS had
    LEFT JOIN (SELECT key AS u_key, outcome AS u_outcome, cause AS u_cause, last_reason AS u_reason
        FROM state.undelivered WHERE fp IS NULL) ON u_key = key
    WHERE NOT EXISTS (SELECT 1 FROM staged WHERE staged.key = had.key) {chosen}"""


def _counts(snapshot: Snapshot) -> Counts:
    """Each count from a query of its own, so that the identities can fail."""
    one = snapshot.one
    planned = "SELECT change, count(*) FROM compared WHERE lane IS NOT NULL GROUP BY ALL"
    by_change = dict(snapshot.connection.execute(planned).fetchall())
    kept = int(one("SELECT count(*) FROM compared WHERE row IS NULL AND change = 'added'"))
    return Counts(
        queried=int(one("SELECT count(*) FROM staged")) + kept,
        null_key=int(one("SELECT count(*) FROM staged WHERE key IS NULL")),
        duplicate_key=int(one("SELECT count(*) FROM staged WHERE key IN (SELECT key FROM repeated)")),
        unchanged=int(one("SELECT count(*) FROM compared WHERE lane IS NULL")),
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
