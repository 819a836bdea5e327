"""Everything that ever happened to a row: its outcomes over all runs, the calls that carried it, what they said."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connector.actions.rows import parsed, part_of
from connector.plan.rows_file import row_files
from connector.run.recover import rows_path
from connector.state.calls import CallFilter
from connector.state.clock import utc
from connector.state.hiding import key_forms
from connector.state.runs import RUNNING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from connector.state.calls import Call
    from connector.state.history import History
    from connector.state.runs import Run

FILES_AT_ONCE = 400
REPLY_CHARACTERS = 4_000
_COLUMNS = ("n", "key", "change", "outcome", "reason", "call_id", "attempts")
_NO_SUCCESSOR = "\U0010ffff"


def read_story(
    state_dir: Path, history: History, key: str, *, sync: str | None = None, limit: int = 50
) -> dict[str, Any]:
    """What happened to the rows with this key, the newest first, as JSON values.

    `entries`: a run, what it meant to change, the values `before` (as the destination had last accepted them, where the
    log knows) and `after`, the `differences`, the outcome and its reason, and the `calls` that carried the row.
    `more`: there are older entries than `limit`. `unsettled`: runs that go on, whose rows cannot be searched yet.
    """
    runs = _runs(history, sync)
    found = find_rows(state_dir, [run.run_id for run in runs.values() if _planned(run)], key, limit=limit + 1)
    kept = _kept_payloads(state_dir, found)
    entries: list[dict[str, Any]] = []
    accepted: dict[tuple[str, str], Any] = {}
    for row in reversed(found):
        run = runs[row["run_id"]]
        entry = _entry(history, run, row, kept.get((run.run_id, row["n"])))
        one, gone = (run.sync, row["key"]), row["change"] == "removed"
        entry["before"] = accepted.get(one)
        # What stands in Pendo after a removal is nothing, or empty: either way, the row has lost all it had.
        entry["differences"] = list(_differences(entry["before"], None if gone else entry["after"]))
        if row["outcome"] == "succeeded":
            accepted.pop(one, None)
            if entry["after"] is not None and not gone:
                accepted[one] = entry["after"]
        entries.append(entry)
    return {
        "key": key,
        "sync": sync,
        "entries": entries[::-1][:limit],
        "more": len(found) > limit,
        "unsettled": [run.run_id for run in runs.values() if run.status == RUNNING],
    }


def find_rows(state_dir: Path, run_ids: Sequence[str], key: str, *, limit: int) -> list[dict[str, Any]]:
    """The rows with this key in these runs, in the order of the runs: at most `limit`, with `run_id` and columns."""
    forms = key_forms(state_dir, key)
    found: list[dict[str, Any]] = []
    for paths in _chunks(state_dir, run_ids):
        # Constants, not parameters: with them DuckDB knows which row groups it need not read.
        wanted = " OR ".join("key = ?" for _ in forms)
        order = {run_id: at for at, run_id in enumerate(run_ids)}
        sql = f"SELECT filename, {', '.join(_COLUMNS)} FROM read_parquet(?, filename = true) WHERE {wanted}"
        with row_files() as connection:
            rows = connection.execute(sql, [[str(path) for path in paths], *forms]).fetchall()
        named = [{"run_id": Path(row[0]).stem, **dict(zip(_COLUMNS, row[1:], strict=True))} for row in rows]
        found += sorted(named, key=lambda row: (order[row["run_id"]], -row["n"]))
        if len(found) >= limit:
            break
    return found[:limit]


def explain(state_dir: Path, run_ids: Sequence[str], key: str) -> str:
    """How DuckDB searches these runs for the key: the plan it made, with what it read."""
    paths = [path for chunk in _chunks(state_dir, run_ids) for path in chunk]
    sql = f"SELECT filename, {', '.join(_COLUMNS)} FROM read_parquet(?, filename = true) WHERE key = ?"
    with row_files() as connection:
        rows = connection.execute(f"EXPLAIN ANALYZE {sql}", [[str(path) for path in paths], key]).fetchall()
    return "\n".join(row[-1] for row in rows)


def find_keys(
    state_dir: Path, history: History, prefix: str, *, sync: str | None = None, limit: int = 20
) -> list[dict[str, str]]:
    """The first keys that begin so, in the newest runs of a sync or of all, as `{"sync", "key"}`."""
    runs = _runs(history, sync)
    found: dict[tuple[str, str], None] = {}
    for paths in _chunks(state_dir, [run.run_id for run in runs.values() if _planned(run)]):
        sql = (
            "SELECT DISTINCT filename, key FROM read_parquet(?, filename = true) WHERE key >= ? AND key < ? "
            f"ORDER BY key LIMIT {int(limit) * len(paths)}"
        )
        with row_files() as connection:
            values = [[str(path) for path in paths], prefix, prefix + _NO_SUCCESSOR]
            for name, key in connection.execute(sql, values).fetchall():
                found[runs[Path(name).stem].sync, key] = None
        if len(found) >= limit:
            break
    return [{"sync": name, "key": key} for name, key in sorted(found, key=lambda pair: pair[1])[:limit]]


def _runs(history: History, sync: str | None) -> dict[str, Run]:
    return {run.run_id: run for run in history.runs.list(sync)}


def _planned(run: Run) -> bool:
    """Whether a run had rows to change; most runs of a settled sync have none."""
    rows = run.rows or {}
    return run.status != RUNNING and any(rows.get(name) for name in ("added", "changed", "removed"))


def _chunks(state_dir: Path, run_ids: Sequence[str]) -> Iterator[list[Path]]:
    paths = [path for run_id in run_ids if (path := rows_path(state_dir, run_id)).exists()]
    for at in range(0, len(paths), FILES_AT_ONCE):
        yield paths[at : at + FILES_AT_ONCE]


def _entry(history: History, run: Run, row: Mapping[str, Any], kept: Any) -> dict[str, Any]:
    n = row["n"]
    calls = history.calls.list(run.run_id, CallFilter(rows=(n, n + 1)))
    after: dict[str, Any] = {}
    for call in calls:
        part = part_of(parsed(call.request_body), n - (call.first or 0))
        if part is not None:
            after[call.route or ""] = part
    if not calls and kept is not None:
        after[""] = kept
    return {
        "run_id": run.run_id,
        "sync": run.sync,
        "started_at": utc(run.started_at),
        "trigger": run.trigger,
        "status": run.status,
        **{name: row[name] for name in ("key", "change", "outcome", "reason", "attempts", "call_id")},
        "before": None,
        "after": after or None,
        "differences": [],
        "calls": [_call(call) for call in calls],
    }


def _kept_payloads(state_dir: Path, rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, int], Any]:
    """The values of those rows that no request carried, by run and number."""
    unsent = [row for row in rows if row["call_id"] is None and row["outcome"] != "succeeded"]
    if not unsent:
        return {}
    paths = [str(rows_path(state_dir, run_id)) for run_id in dict.fromkeys(row["run_id"] for row in unsent)]
    with row_files() as connection:
        # By name, and all columns: a file that an older connector wrote has no payloads.
        sql = "SELECT * FROM read_parquet(?, filename = true, union_by_name = true) WHERE key IN (SELECT unnest(?))"
        found = connection.execute(sql, [paths, list({row["key"] for row in unsent})])
        names = [column[0] for column in found.description or ()]
        named = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    return {(Path(row["filename"]).stem, row["n"]): parsed(row.get("payload")) for row in named}


def _call(call: Call) -> dict[str, Any]:
    reply = call.response_body
    return {
        "id": call.id,
        "started_at": utc(call.started_at, precision="milliseconds"),
        "ms": call.ms,
        "attempt": call.attempt,
        "route": call.route,
        "method": call.method,
        "url": call.url,
        "rows": call.rows,
        "status": call.status,
        "verdict": call.verdict,
        "reason": call.reason,
        "error": call.error,
        "parent_id": call.parent_id,
        "reply": None if reply is None else reply[:REPLY_CHARACTERS],
        "reply_cut": reply is not None and len(reply) > REPLY_CHARACTERS,
    }


def _differences(before: Any, after: Any) -> Iterator[dict[str, Any]]:
    """Each value that is another one afterwards, as `{"field", "before", "after"}`; a missing one is None."""
    old, new = dict(_leaves(before, "")), dict(_leaves(after, ""))
    kept: defaultdict[str, list[Any]] = defaultdict(lambda: [None, None])
    for at, values in enumerate((old, new)):
        for name, value in values.items():
            kept[name][at] = value
    for name, (was, is_now) in kept.items():
        if was != is_now or type(was) is not type(is_now):
            yield {"field": name, "before": was, "after": is_now}


def _leaves(value: Any, at: str) -> Iterator[tuple[str, Any]]:
    """Every value that is no object, with the names that lead to it."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{at}.{name}" if at else name)
    elif at:
        yield at, value
