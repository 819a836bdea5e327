"""Settling: the journal of a run folded into the snapshot, in one transaction, and the row outcomes written down.

It runs at the end of a run, and at the start of the next one when the process of a run died: everything it needs
stands in the sync's file (plan, spans, info) and in the journal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from connector.failpoints import reach
from connector.plan import Counts, PlanInfo
from connector.ports import Change, Outcome
from connector.values import quoted_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pyarrow as pa

    from connector.state.snapshot import Snapshot

# From best to worst; a row gets the worst outcome of its routes.
_SEVERITY = list(Outcome)
_NAMED = "[" + ", ".join(quoted_text(o) for o in _SEVERITY) + "]"


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a run came to, counted from the journal."""

    run_id: str
    counts: Counts
    outcomes: Mapping[Outcome, Mapping[Change, int]]


def settle(
    snapshot: Snapshot,
    journal: pa.Table,
    rows_path: Path | None,
    now_ms: int,
    *,
    stopped: bool = False,
) -> Settlement:
    """The counts by outcome and change, after folding the plan that stands in the file into the snapshot.

    `journal` has the columns route, first, stop, outcome (NULL: in doubt), reason, cause, call_id, attempts. Writes
    the row outcomes to `rows_path` (Parquet), where one is given. `stopped`: the run did not get to its end, so the
    next one is still a first run where this one was.
    """
    connection = snapshot.connection
    info = PlanInfo(**snapshot.info("plan"))
    reach("before-settling")
    connection.execute(f"SET VARIABLE send_time_ms = {now_ms}")
    connection.register("journal", journal)
    try:
        with snapshot.transaction():
            connection.execute("CREATE TEMP TABLE ranges AS SELECT * FROM journal")
            connection.execute(_result(info))
            settlement = Settlement(info.run_id, Counts(**info.counts), _tally(snapshot))
            if rows_path is not None:
                _write_rows(snapshot, rows_path)
            reach("rows-file-written")
            for statement in _fold(info, now_ms, stopped=stopped):
                connection.execute(statement)
            if info.whole and not stopped:
                snapshot.keep("settled_once", info.run_id)
            snapshot.keep("last_settled", summary(settlement))
            connection.execute("DROP TABLE result; DROP TABLE ranges")
            _forget_plan(snapshot)
            reach("before-settle-commit")
    finally:
        connection.unregister("journal")
    snapshot.shrink()
    return settlement


def discard(snapshot: Snapshot) -> None:
    """Nothing, after forgetting the plan that stands in the file; nothing of it was sent."""
    with snapshot.transaction():
        _forget_plan(snapshot)


def _forget_plan(snapshot: Snapshot) -> None:
    snapshot.keep("plan", None)
    snapshot.connection.execute("DROP TABLE state.plan; DROP TABLE state.span; DROP TABLE IF EXISTS state.ready")


def nothing(run_id: str) -> Settlement:
    """What a run came to that did not get as far as a plan."""
    return Settlement(run_id, Counts(), {outcome: dict.fromkeys(Change, 0) for outcome in Outcome})


def summary(settlement: Settlement) -> dict[str, Any]:
    """The settlement as JSON values, for the history."""
    counts = settlement.counts
    names = ("queried", "null_key", "duplicate_key", "unchanged", "added", "changed", "removed", "kept")
    return {
        "run_id": settlement.run_id,
        "rows": {name: getattr(counts, name) for name in names},
        "outcomes": {
            outcome.value: {change.value: count for change, count in settlement.outcomes[outcome].items()}
            for outcome in Outcome
        },
    }


def _result(info: PlanInfo) -> str:
    """SQL that makes `result`: each row of the plan with its worst outcome over the routes its change needs.

    `id` is NULL where it equals the key, as in the plan and in the snapshot.

    `touched`: on some route Pendo took the row, or may have.

    The ranges of one route do not overlap, so the one that starts last before a number is the only one it can be in.
    A later call about the same rows wins (`call_id`), should a dead process have left both.
    """
    joins, levels, picks = [], [], []
    for at, (route, changes) in enumerate(info.routes.items()):
        listed = ", ".join(quoted_text(change) for change in changes)
        joins.append(f"ASOF LEFT JOIN ({_ranges(route)}) r{at} ON p.n >= r{at}.first")
        inside = f"p.n < r{at}.stop"
        levels.append(
            f"CASE WHEN p.change NOT IN ({listed}) THEN 0 WHEN {inside} THEN list_position({_NAMED}, r{at}.outcome) "
            f"ELSE {_SEVERITY.index(Outcome.NOT_ATTEMPTED) + 1} END"
        )
        picks.append((at, inside, listed))
    worst = f"greatest({', '.join(levels)})" if len(levels) > 1 else (levels[0] if levels else "0")
    touched = " OR ".join(
        f"(p.change IN ({listed}) AND {inside} AND r{at}.outcome IN ('succeeded', 'in_doubt'))"
        for at, inside, listed in picks
    )

    def pick(column: str) -> str:
        """The column of the first route whose outcome is the worst one."""
        cases = " ".join(
            f"WHEN p.change IN ({listed}) AND {inside} AND list_position({_NAMED}, r{at}.outcome) = level "
            f"THEN r{at}.{column}"
            for at, inside, listed in picks
        )
        return f"CASE {cases} END" if cases else "NULL"

    call = f"nullif({pick('call_id')}, 0)::BIGINT"
    return f"""
    CREATE TEMP TABLE result AS
    SELECT p.n, p.key, p.id, p.change, p.fp, p.problem, {worst} AS level,
        coalesce(p.outcome, {_NAMED}[level]) AS outcome,
        coalesce(p.reason, {pick("reason")}) AS reason,
        CASE WHEN p.outcome IS NULL THEN {pick("cause")} WHEN p.problem IS NOT NULL THEN 'value' END AS cause,
        CASE WHEN p.outcome IS NULL THEN {call} END AS call_id,
        CASE WHEN p.outcome IS NULL THEN coalesce({pick("attempts")}, 0) ELSE 0 END::INTEGER AS attempts,
        coalesce({touched or "false"}, false) AS touched
    FROM state.plan p {" ".join(joins)}"""


def _ranges(route: str) -> str:
    """SQL for the ranges of one route, of two that start alike the one of the later call."""
    known = f"SELECT * REPLACE (coalesce(call_id, 0) AS call_id) FROM ranges WHERE route = {quoted_text(route)}"
    return (
        "SELECT first, arg_max(stop, call_id) AS stop, arg_max(coalesce(outcome, 'in_doubt'), call_id) AS outcome, "
        "arg_max(reason, call_id) AS reason, arg_max(cause, call_id) AS cause, max(call_id) AS call_id, "
        f"arg_max(attempts, call_id) AS attempts FROM ({known}) GROUP BY first"
    )


def _tally(snapshot: Snapshot) -> dict[Outcome, dict[Change, int]]:
    tally = {outcome: dict.fromkeys(Change, 0) for outcome in Outcome}
    rows = snapshot.connection.execute("SELECT outcome, change, count(*) FROM result GROUP BY ALL").fetchall()
    for outcome, change, count in rows:
        tally[Outcome(outcome)][Change(change)] = count
    return tally


def _write_rows(snapshot: Snapshot, path: Path) -> None:
    """One Parquet file a run: readable while another run writes, and complete as soon as it has its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    snapshot.connection.execute(
        "COPY (SELECT n, key, id, change, outcome, reason, cause, call_id, attempts FROM result) "
        f"TO {quoted_text(str(partial))} "
        "(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, DICTIONARY_SIZE_LIMIT 1000)"
    )
    partial.replace(path)


def _fold(info: PlanInfo, now_ms: int, *, stopped: bool) -> list[str]:
    """The statements that carry the outcomes into the snapshot."""
    gone = "change = 'removed' AND outcome IN ('succeeded', 'skipped')"
    fp = "NULL" if info.events else "fp"
    # Of a run that did not get to its end nobody knows every attempt.
    moved = "true" if stopped else "touched OR attempts > 0"
    statements = [
        f"DELETE FROM state.accepted WHERE key IN (SELECT key FROM result WHERE {gone})",
        # Pendo may hold some of the new values, or none any more: whatever the row says next time, it must be sent.
        f"""UPDATE state.accepted SET fp = NULL WHERE key IN (SELECT key FROM result WHERE change <> 'added'
            AND outcome <> 'succeeded' AND ({moved}))""",
        """UPDATE state.accepted SET fp = r.fp, id = CASE WHEN r.id <> r.key THEN r.id END FROM result r
            WHERE accepted.key = r.key AND r.change = 'changed' AND r.outcome = 'succeeded'""",
        f"""INSERT INTO state.accepted SELECT key, CASE WHEN id <> key THEN id END, {fp} FROM result
            WHERE change = 'added' AND outcome = 'succeeded'
            AND NOT EXISTS (SELECT 1 FROM state.accepted a WHERE a.key = result.key)""",
    ]
    if info.deletes:
        deleted = "FROM result WHERE change = 'removed' AND outcome IN ('succeeded', 'in_doubt')"
        at, by = f"make_timestamp_ms({now_ms})", quoted_text(info.run_id)
        statements += [
            f"DELETE FROM state.deleted WHERE key IN (SELECT key {deleted})",
            f"INSERT INTO state.deleted SELECT key, coalesce(id, key), {at}, {by} {deleted}",
        ]
    return [*statements, *_undelivered(info)]


def _undelivered(info: PlanInfo) -> list[str]:
    """The statements that bring the table of undelivered rows up to date."""
    owed = "r.outcome IN ('rejected', 'quarantined', 'in_doubt')"
    # A row that no request reached stays what it was before; one that Pendo has in part must not be forgotten.
    owed += " OR (r.outcome = 'not_attempted' AND "
    owed += "true)" if info.events else "(u.key IS NOT NULL OR (r.change = 'added' AND r.touched)))"
    # An event in doubt is sent again by the next run unless the sync holds such events.
    outcome = "outcome" if info.hold_in_doubt or not info.events else "replace(outcome, 'in_doubt', 'not_attempted')"
    fragment = f"coalesce(p.fragment, {info.fragment})" if info.fragment else "NULL"
    # The values of a kept row are gone, its fingerprint is the one it had.
    fp = f"CASE WHEN p.fragment IS NULL THEN ({info.fingerprint}) END" if info.events else "p.fp"
    bad = "outcome NOT IN ('succeeded', 'skipped')"
    planned = "state.plan"
    if info.events:
        columns = "p.n, p.problem, p.fp, r.* EXCLUDE (n)"
        planned = f"(SELECT {columns} FROM state.plan p JOIN state.ready r ON r.n = p.n WHERE p.n IN "
        planned += f"(SELECT n FROM result WHERE {bad}))"
    counted = "CASE WHEN r.outcome = 'rejected' AND r.cause IN ('row', 'value') THEN 1 ELSE 0 END"
    same = "(r.kept OR u.fp IS NOT DISTINCT FROM r.fp)"
    payload = f"CASE WHEN p.problem IS NULL THEN {fragment} END"
    chosen = f"""
        SELECT key, id, change, outcome, cause, reason, touched, p_fp AS fp, p_kept AS kept, p_fragment AS fragment
        FROM result JOIN (SELECT p.n AS p_n, {fp} AS p_fp, p.fragment IS NOT NULL AS p_kept, {payload} AS p_fragment
            FROM {planned} p) ON p_n = n WHERE {bad}"""
    run = quoted_text(info.run_id)
    attempts = f"CASE WHEN {same} THEN coalesce(u.attempts, 0) ELSE 0 END + {counted}"
    return [
        f"""CREATE TEMP TABLE waiting AS
        SELECT r.key, CASE WHEN r.id <> r.key THEN r.id END AS id, CASE WHEN r.kept THEN u.fp ELSE r.fp END AS fp,
            CASE WHEN r.outcome = 'rejected' AND {attempts} >= {info.max_attempts} THEN 'quarantined'
                WHEN r.outcome = 'not_attempted' AND {same} THEN coalesce(u.outcome, r.outcome)
                ELSE r.outcome END AS outcome,
            coalesce(r.cause, CASE WHEN {same} THEN u.cause END) AS cause, {attempts} AS attempts,
            CASE WHEN {same} THEN coalesce(u.first_reason, r.reason) ELSE r.reason END AS first_reason,
            coalesce(r.reason, u.last_reason) AS last_reason,
            CASE WHEN {same} THEN coalesce(u.first_run, {run}) ELSE {run} END AS first_run,
            {run} AS last_run, coalesce(r.fragment, u.fragment) AS fragment,
            (r.change = 'added' AND r.touched) OR coalesce(u.touched, false) AS touched
        FROM (SELECT * REPLACE ({outcome} AS outcome) FROM ({chosen})) r
        LEFT JOIN state.undelivered u ON u.key = r.key
        WHERE {owed}""",
        "DELETE FROM state.undelivered WHERE key IN (SELECT key FROM result)",
        # Of the others, those that are owed no more: back at their accepted values, or gone without a trace.
        f"""DELETE FROM state.undelivered WHERE fragment IS NULL AND {str(info.whole).lower()}
            AND (NOT touched OR key IN (SELECT key FROM state.accepted))""",
        """INSERT INTO state.undelivered SELECT key, id, fp, outcome, cause, attempts, first_reason, last_reason,
            first_run, last_run, fragment, touched FROM waiting""",
        "DROP TABLE waiting",
    ]
