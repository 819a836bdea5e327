"""What became of each row of a plan: the journal's ranges laid over the plan's numbers.

Rows and ranges meet by blocks of numbers: a range stands once for each block that it touches, so that the plan streams
past a small hash table. To join by "the last range that begins before" sorts the whole plan first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.ports import Outcome
from connector.values import quoted_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connector.plan.comparison import PlanInfo
    from connector.state.snapshot import Snapshot

# From best to worst; a row gets the worst outcome of its routes.
_SEVERITY = list(Outcome)
_LEVEL = {outcome: at for at, outcome in enumerate(_SEVERITY, 1)}
_NAMES = " ".join(f"WHEN {level} THEN {quoted_text(outcome)}" for outcome, level in _LEVEL.items())
_LEVELS = " ".join(f"WHEN {quoted_text(outcome)} THEN {level}" for outcome, level in _LEVEL.items())
_PLANNED = "p.* EXCLUDE (outcome, reason, fragment), p.outcome AS known, p.reason AS why"
_PICKED = ("reason", "cause", "call_id", "attempts")
_BLOCKS_A_RANGE = 3  # as a power of two: a range of the usual size stands in about so many blocks


def make_result(snapshot: Snapshot, info: PlanInfo) -> None:
    """Nothing, after making `result` of `ranges`: each row of the plan with its worst outcome over its routes.

    `id` is NULL where it equals the key, as in the plan and in the snapshot. `touched`: on some route Pendo took the
    row, or may have. A later call about the same rows wins (`call_id`), should a dead process have left both.

    Where everything succeeded, few statements read it, and each looks the rows up again: to write all of them down
    takes longer.
    """
    shifts = [_shift(snapshot, route) for route in info.routes]
    for at, (route, shift) in enumerate(zip(info.routes, shifts, strict=True)):
        snapshot.connection.execute(_blocks(at, route, shift))
    is_plain = not snapshot.one(f"SELECT count(*) FROM ranges WHERE outcome IS DISTINCT FROM '{Outcome.SUCCEEDED}'")
    snapshot.connection.execute(f"CREATE TEMP {'VIEW' if is_plain else 'TABLE'} result AS {_rows(info, shifts)}")


def drop_result(snapshot: Snapshot, info: PlanInfo) -> None:
    """Nothing, after dropping what `make_result` made, and `ranges`."""
    is_view = snapshot.one("SELECT count(*) FROM duckdb_views() WHERE temporary AND view_name = 'result'")
    snapshot.connection.execute(f"DROP {'VIEW' if is_view else 'TABLE'} result; DROP TABLE ranges")
    for at in range(len(info.routes)):
        snapshot.connection.execute(f"DROP TABLE blocks_{at}")


def _shift(snapshot: Snapshot, route: str) -> int:
    """By how many bits a number is shifted to get its block."""
    mean = f"SELECT coalesce(avg(stop - first), 0)::BIGINT FROM ranges WHERE route = {quoted_text(route)}"
    return max(0, int(snapshot.one(mean)).bit_length() - _BLOCKS_A_RANGE)


def _blocks(at: int, route: str, shift: int) -> str:
    """SQL for the ranges of one route by block, of two that start alike the one of the later call.

    None reaches into the next one: a number is in the range that starts last before it, or in none.
    """
    known = f"SELECT * REPLACE (coalesce(call_id, 0) AS call_id) FROM ranges WHERE route = {quoted_text(route)}"
    ranges = (
        "SELECT first, arg_max(stop, call_id) AS stop, arg_max(coalesce(outcome, 'in_doubt'), call_id) AS outcome, "
        "arg_max(reason, call_id) AS reason, arg_max(cause, call_id) AS cause, max(call_id) AS call_id, "
        f"arg_max(attempts, call_id) AS attempts FROM ({known}) GROUP BY first"
    )
    cut = f"SELECT * REPLACE (least(stop, coalesce(lead(first) OVER (ORDER BY first), stop)) AS stop) FROM ({ranges})"
    return f"""
    CREATE TEMP TABLE blocks_{at} AS
    SELECT first, stop, CASE outcome {_LEVELS} END::TINYINT AS level, reason, cause,
        nullif(call_id, 0)::BIGINT AS call_id, attempts::INTEGER AS attempts,
        unnest(range(first >> {shift}, ((stop - 1) >> {shift}) + 1)) AS block
    FROM ({cut}) WHERE stop > first"""


def _rows(info: PlanInfo, shifts: Sequence[int]) -> str:
    """SQL for the rows of `result`."""
    joins, found, levels, touched = [], [], [], []
    for at, (shift, changes) in enumerate(zip(shifts, info.routes.values(), strict=True)):
        joins.append(
            f"LEFT JOIN blocks_{at} r{at} ON p.n >> {shift} = r{at}.block AND p.n >= r{at}.first AND p.n < r{at}.stop"
        )
        concerned = f"change IN ({', '.join(map(quoted_text, changes))})"
        found += [f"r{at}.{name} AS {name}_{at}" for name in ("level", *_PICKED)]
        levels.append(f"CASE WHEN {concerned} THEN coalesce(level_{at}, {_LEVEL[Outcome.NOT_ATTEMPTED]}) ELSE 0 END")
        reached = f"level_{at} IN ({_LEVEL[Outcome.SUCCEEDED]}, {_LEVEL[Outcome.IN_DOUBT]})"
        touched.append(f"({concerned} AND {reached})")
    worst = f"greatest({', '.join(levels)})" if len(levels) > 1 else (levels[0] if levels else "0")
    picks = {name: _pick(name, list(info.routes.values())) for name in _PICKED}
    return f"""
    SELECT n, key, id, change, fp, problem, {worst} AS level, coalesce(known, CASE level {_NAMES} END) AS outcome,
        coalesce(why, {picks["reason"]}) AS reason,
        CASE WHEN known IS NULL THEN {picks["cause"]} WHEN problem IS NOT NULL THEN 'value' END AS cause,
        CASE WHEN known IS NULL THEN {picks["call_id"]} END::BIGINT AS call_id,
        CASE WHEN known IS NULL THEN coalesce({picks["attempts"]}, 0) ELSE 0 END::INTEGER AS attempts,
        coalesce({" OR ".join(touched) or "false"}, false) AS touched
    FROM (SELECT {", ".join([_PLANNED, *found])}
        FROM state.plan p {" ".join(joins)})"""


def _pick(name: str, routes: Sequence[Sequence[str]]) -> str:
    """SQL for the column of the first route whose outcome is the worst one."""
    cases = " ".join(
        f"WHEN change IN ({', '.join(map(quoted_text, changes))}) AND level_{at} = level THEN {name}_{at}"
        for at, changes in enumerate(routes)
    )
    return f"CASE {cases} END" if cases else "NULL"
