"""What differs between the staged rows and the snapshot, as SQL.

Most rows of most runs are as they were accepted. They are set aside first, by one join on key and fingerprint, so that
everything else that can be said of a row is looked up for the few others only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.ports import Outcome
from connector.values import quoted_text

if TYPE_CHECKING:
    from connector.compile import Projection
    from connector.plan.comparison import Ask

# The rows that stand for themselves: each has a key, and no other row has the same.
_USABLE = "key IS NOT NULL AND key NOT IN (SELECT key FROM repeated)"


def met_sql(projection: Projection, ask: Ask, *, differing: bool) -> str:
    """SQL for the rows beside what was accepted of them, all or those that are not as they were accepted.

    row, key, id, problem, the fingerprint where it is compared with one, and a_key, a_id, a_fp: what was accepted. Of
    objects, also what was accepted and is in the model no more: `row` is NULL there. One join for both, because each
    looks at every key.
    """
    chosen = f" WHERE key = {quoted_text(ask.key)}" if ask.key is not None else ""
    fp, kind = "fp", "FULL"
    if ask.events:
        # Events are staged without a fingerprint, because only those that were not delivered need it.
        fp, kind = f"CASE WHEN key IN (SELECT key FROM state.undelivered) THEN {projection.fingerprint} END", "LEFT"
    different = f" WHERE NOT coalesce({_is_accepted(events=ask.events)}, false)" if differing else ""
    return f"""
    SELECT rowid AS row, key, id, problem, {fp} AS fp, a_key, a_id, a_fp FROM staged s
    {kind} JOIN (SELECT key AS a_key, id AS a_id, fp AS a_fp FROM state.accepted{chosen}) ON a_key = key{different}"""


def usable_sql() -> str:
    """SQL for the rows of `met` that stand for themselves."""
    return f"SELECT row, key, id, problem, fp, a_key, a_fp FROM met WHERE row IS NOT NULL AND {_USABLE}"


def unchanged_sql(*, events: bool) -> str:
    """SQL for how many usable rows are as they were accepted."""
    accepted = "SELECT key AS a_key, fp AS a_fp FROM state.accepted"
    return f"""
    SELECT count(*) FROM staged s JOIN ({accepted}) ON a_key = key WHERE {_USABLE} AND {_is_accepted(events=events)}"""


def _is_accepted(*, events: bool) -> str:
    """SQL that is true for a row that needs nothing: an event was taken before, an object has the same values.

    An event that was sent again on purpose and did not arrive is owed, although it was accepted once.
    """
    if not events:
        return "a_key IS NOT NULL AND a_fp = s.fp"
    return "a_key IS NOT NULL AND key NOT IN (SELECT key FROM state.undelivered)"


def compared_sql(projection: Projection, ask: Ask, *, baseline: bool, rows: str) -> str:
    """SQL that makes `compared`: a narrow row for each of `rows` (SQL) and each kept one.

    `lane` is NULL where the row is unchanged.
    """
    # An event that was sent again on purpose and did not arrive is owed, although it was accepted once.
    differs = "a_key IS NULL OR u_key IS NOT NULL" if ask.events else "a_key IS NULL OR a_fp IS DISTINCT FROM fp"
    if ask.full_resync:
        differs = "true"
    if baseline:
        differs = "false"
    change = "'added'" if ask.events else "CASE WHEN a_key IS NULL THEN 'added' ELSE 'changed' END"
    hidden = projection.cover is not None and projection.cover.id
    same_id = "the same id'" if hidden else "the id ' || to_json(id)"
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
        SELECT *, {change} AS change, u_key IS NOT NULL AND u_fp IS NOT DISTINCT FROM fp AS same,
            CASE WHEN problem IS NOT NULL THEN problem
                WHEN d_key IS NOT NULL THEN 'this sync had the id deleted on ' || strftime(d_at, '%Y-%m-%d')
                    || '; Pendo ignores it until donotprocess is false there. Then: connector release SYNC --key KEY'
                WHEN s_id IS NOT NULL THEN 'two rows of the model have {same_id} END AS why,
            CASE WHEN u_outcome = 'quarantined' AND u_fp IS NOT DISTINCT FROM fp THEN 'quarantined'
                WHEN u_outcome = 'in_doubt' AND {str(ask.events).lower()} THEN 'in_doubt'
                WHEN why IS NOT NULL THEN 'rejected' END AS fate
        FROM ({rows})
        LEFT JOIN (SELECT key AS u_key, fp AS u_fp, outcome AS u_outcome, cause AS u_cause, last_reason AS u_reason
            FROM state.undelivered) ON u_key = key
        LEFT JOIN (SELECT key AS d_key, deleted_at AS d_at FROM state.deleted) ON d_key = key
        LEFT JOIN (SELECT id AS s_id FROM shared) ON s_id = id
    ){kept}"""


def removed_sql(ask: Ask, *, has_route: bool, owed: bool) -> str:
    """SQL that adds the rows which Pendo has, or may have, from this sync and the model no longer returns.

    What was said of an undelivered row holds for its removal where it was one: those have no fingerprint. `owed`: Pendo
    may have some of an undelivered row. To look for those among all rows takes its time.
    """
    chosen = f"AND key = {quoted_text(ask.key)}" if ask.key is not None else ""
    lane, outcome, reason = "'settled'", f"'{Outcome.SUCCEEDED}'", "NULL"
    if has_route:
        lane = "CASE WHEN u_outcome = 'quarantined' THEN 'settled' WHEN u_cause = 'row' THEN 'alone' ELSE 'removed' END"
        outcome = "CASE WHEN u_outcome = 'quarantined' THEN u_outcome END"
        reason = "CASE WHEN u_outcome = 'quarantined' THEN u_reason END"
    had = "SELECT a_key AS key, a_id AS id FROM met WHERE row IS NULL"
    if owed:
        had += f"""
        UNION ALL
        SELECT key, id FROM state.undelivered u WHERE touched AND key NOT IN (SELECT key FROM state.accepted)
            AND NOT EXISTS (SELECT 1 FROM staged s WHERE s.key = u.key) {chosen}"""
    return f"""
    INSERT INTO compared
    SELECT NULL, key, coalesce(id, key), 'removed', {lane}, {outcome}, {reason}, NULL FROM ({had}) AS had
    LEFT JOIN (SELECT key AS u_key, outcome AS u_outcome, cause AS u_cause, last_reason AS u_reason
        FROM state.undelivered WHERE fp IS NULL) ON u_key = key"""
