"""Settling: the journal of a run folded into the snapshot, in one transaction, and the row outcomes written down.

It runs at the end of a run, and at the start of the next one when the process of a run died: everything it needs
stands in the sync's file (plan, spans, info) and in the journal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from connector.failpoints import reach
from connector.plan import Counts, PlanInfo
from connector.plan.numbering import forget
from connector.plan.result import drop_result, make_result
from connector.plan.rows_file import write_rows
from connector.ports import Change, Outcome
from connector.state.journal import RANGE_TYPES
from connector.values import quoted_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from connector.state.snapshot import Snapshot


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
            make_result(snapshot, info)
            settlement = Settlement(info.run_id, Counts(**info.counts), _tally(snapshot))
            if rows_path is not None:
                write_rows(snapshot, info, rows_path, _rows(settlement))
            reach("rows-file-written")
            for statement in _fold(snapshot, info, settlement, now_ms, stopped=stopped):
                connection.execute(statement)
            if info.whole and not stopped:
                snapshot.keep("settled_once", info.run_id)
            snapshot.keep("last_settled", summary(settlement) | {"last_call": _last_call(snapshot)})
            snapshot.keep("reset", None)
            drop_result(snapshot, info)
            _forget_plan(snapshot)
            reach("before-settle-commit")
    finally:
        connection.unregister("journal")
    snapshot.shrink()
    return settlement


def all_in_doubt(snapshot: Snapshot) -> pa.Table:
    """A journal in which every row of the plan was sent on every route, and nobody knows what came of it."""
    routes = list(PlanInfo(**snapshot.info("plan")).routes)
    stop = snapshot.one("SELECT coalesce(max(stop), 0) FROM state.span")
    reason = "the journal of the run that sent it is gone"
    rows = [(route, 0, stop, None, reason, None, None, 1) for route in routes]
    return pa.Table.from_pylist([dict(zip(RANGE_TYPES.names, row, strict=True)) for row in rows], schema=RANGE_TYPES)


def discard(snapshot: Snapshot) -> None:
    """Nothing, after forgetting the plan that stands in the file; nothing of it was sent."""
    with snapshot.transaction():
        _forget_plan(snapshot)
    snapshot.shrink()


def _last_call(snapshot: Snapshot) -> int | None:
    """The newest call that this file has heard the outcome of; None where that is not known since a reset."""
    found: int | None = snapshot.one("SELECT max(call_id) FROM ranges")
    before = None if snapshot.info("reset") is not None else snapshot.info("last_settled")
    return found if found is not None or before is None else before.get("last_call")


def _forget_plan(snapshot: Snapshot) -> None:
    snapshot.keep("plan", None)
    forget(snapshot)


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


def _rows(settlement: Settlement) -> int:
    return sum(sum(of.values()) for of in settlement.outcomes.values())


def _tally(snapshot: Snapshot) -> dict[Outcome, dict[Change, int]]:
    tally = {outcome: dict.fromkeys(Change, 0) for outcome in Outcome}
    rows = snapshot.connection.execute("SELECT outcome, change, count(*) FROM result GROUP BY ALL").fetchall()
    for outcome, change, count in rows:
        tally[Outcome(outcome)][Change(change)] = count
    return tally


def _fold(snapshot: Snapshot, info: PlanInfo, came: Settlement, now_ms: int, *, stopped: bool) -> list[str]:
    """The statements that carry the outcomes into the snapshot.

    Each looks through the whole plan, so those are left out that can find nothing there.
    """
    added, changed, removed = ({outcome: of[change] for outcome, of in came.outcomes.items()} for change in Change)
    gone = "change = 'removed' AND outcome IN ('succeeded', 'skipped')"
    fp = "NULL" if info.events else "fp"
    # Of a run that did not get to its end nobody knows every attempt.
    moved = "true" if stopped else "touched OR attempts > 0"
    deleted = "FROM result WHERE change = 'removed' AND outcome IN ('succeeded', 'in_doubt')"
    at, by = f"make_timestamp_ms({now_ms})", quoted_text(info.run_id)
    statements = (
        (
            removed[Outcome.SUCCEEDED] + removed[Outcome.SKIPPED],
            f"DELETE FROM state.accepted WHERE key IN (SELECT key FROM result WHERE {gone})",
        ),
        (
            _besides(changed, Outcome.SUCCEEDED) + _besides(removed, Outcome.SUCCEEDED),
            # Pendo may hold some of the new values, or none any more: whatever the row says next time must be sent.
            f"""UPDATE state.accepted SET fp = NULL WHERE key IN (SELECT key FROM result WHERE change <> 'added'
                AND outcome <> 'succeeded' AND ({moved}))""",
        ),
        (
            changed[Outcome.SUCCEEDED],
            """UPDATE state.accepted SET fp = r.fp, id = CASE WHEN r.id <> r.key THEN r.id END FROM result r
                WHERE accepted.key = r.key AND r.change = 'changed' AND r.outcome = 'succeeded'""",
        ),
        (
            added[Outcome.SUCCEEDED],
            f"""INSERT INTO state.accepted SELECT key, CASE WHEN id <> key THEN id END, {fp} FROM result
                WHERE change = 'added' AND outcome = 'succeeded'
                AND NOT EXISTS (SELECT 1 FROM state.accepted a WHERE a.key = result.key)""",
        ),
        (info.deletes, f"DELETE FROM state.deleted WHERE key IN (SELECT key {deleted})"),
        (info.deletes, f"INSERT INTO state.deleted SELECT key, coalesce(id, key), {at}, {by} {deleted}"),
    )
    bad = sum(_besides(of, Outcome.SUCCEEDED, Outcome.SKIPPED) for of in (added, changed, removed))
    owed = bad or snapshot.one("SELECT count(*) FROM state.undelivered")
    return [*(sql for found, sql in statements if found), *(_undelivered(info) if owed else ())]


def _besides(counts: Mapping[Outcome, int], *outcomes: Outcome) -> int:
    """How many rows have another outcome."""
    return sum(count for outcome, count in counts.items() if outcome not in outcomes)


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
