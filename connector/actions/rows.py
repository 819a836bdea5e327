"""The row outcomes of finished runs, read from their Parquet files; the rows' values come from the API call log."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb

from connector.run.recover import rows_path

if TYPE_CHECKING:
    from pathlib import Path

    from connector.state.history import History

_COLUMNS = "n, key, change, outcome, reason, call_id, attempts"


def read_rows(
    state_dir: Path,
    history: History,
    run_id: str,
    *,
    key: str | None = None,
    outcome: str | None = None,
    limit: int | None = None,
    payloads: bool = True,
) -> list[dict[str, Any]]:
    """The rows of a run as `connector log --rows --json` prints them, in the order of their keys.

    Empty for a run that has not been settled, or that planned nothing. `payload` is the row's part of the request
    that decided its outcome; None where no request carried it or its body is not kept.
    """
    path = rows_path(state_dir, run_id)
    if not path.exists():
        return []
    wheres, values = ["true"], [str(path)]
    for column, value in (("key", key), ("outcome", outcome)):
        if value is not None:
            wheres.append(f"{column} = ?")
            values.append(value)
    most = "" if limit is None else f" LIMIT {int(limit)}"
    sql = f"SELECT {_COLUMNS} FROM read_parquet(?) WHERE {' AND '.join(wheres)} ORDER BY key{most}"
    with duckdb.connect(":memory:") as connection:
        found = connection.execute(sql, values).fetchall()
    bodies = _Bodies(history if payloads else None)
    return [
        {
            "key": row_key,
            "change": change,
            "outcome": row_outcome,
            "reason": reason,
            "call_id": call_id,
            "attempts": attempts,
            "payload": bodies.part(call_id, n),
        }
        for n, row_key, change, row_outcome, reason, call_id, attempts in found
    ]


def last_accepted(state_dir: Path, history: History, sync: str, key: str, *, runs: int = 50) -> Any:
    """What the destination last accepted for this row, as far as the newest `runs` runs go; None when unknown."""
    for run in history.runs.list(sync, limit=runs):
        for row in read_rows(state_dir, history, run.run_id, key=key, outcome="succeeded"):
            return row["payload"]
    return None


@dataclass(frozen=True, slots=True)
class Reason:
    """Rows of a run that share an outcome and a kind of reason. `reason` is that of one of them, `keys` are a few."""

    outcome: str
    reason: str | None
    rows: int
    keys: tuple[str, ...]


def read_reasons(state_dir: Path, run_id: str, *, keys: int = 3) -> list[Reason]:
    """Why rows of a run did not succeed, the most frequent first.

    Reasons that differ in quoted values and numbers only are one kind. Nothing is read row by row.
    """
    path = rows_path(state_dir, run_id)
    if not path.exists():
        return []
    # A quote opens a value after a space, an equals sign or a bracket: the one in "isn't" does not.
    signature = r"""regexp_replace(coalesce(reason, ''), '(^|[\s=(\[:])(''[^'']*''|"[^"]*")|\d+', '\1…', 'g')"""
    sql = f"""
        SELECT outcome, min_by(reason, n), count(*), list(key ORDER BY n)[:{int(keys)}] FROM read_parquet(?)
        WHERE outcome <> 'succeeded' GROUP BY outcome, {signature} ORDER BY count(*) DESC, min(n)"""
    with duckdb.connect(":memory:") as connection:
        found = connection.execute(sql, [str(path)]).fetchall()
    return [Reason(outcome, reason, rows, tuple(some)) for outcome, reason, rows, some in found]


def read_numbers(state_dir: Path, run_id: str, key: str) -> list[int]:
    """The plan's numbers of the rows with this key in a run: what its calls say they carried."""
    path = rows_path(state_dir, run_id)
    if not path.exists():
        return []
    with duckdb.connect(":memory:") as connection:
        found = connection.execute("SELECT n FROM read_parquet(?) WHERE key = ? ORDER BY n", [str(path), key])
        return [n for (n,) in found.fetchall()]


class _Bodies:
    """The request bodies of calls, each parsed once. Rows arrive in the order of keys, so a few are kept."""

    def __init__(self, history: History | None) -> None:
        self._history = history
        self._parsed: dict[int, tuple[int, Any]] = {}

    def part(self, call_id: int | None, n: int) -> Any:
        """The part of the plan's row `n` in that call's body."""
        if call_id is None or self._history is None:
            return None
        if call_id not in self._parsed:
            call = self._history.calls.get(call_id)
            self._parsed[call_id] = (call.first or 0, _json(call.request_body))
        first, body = self._parsed[call_id]
        if isinstance(body, dict) and len(body) == 1:
            body = next(iter(body.values()))
        if isinstance(body, list):
            return body[n - first] if 0 <= n - first < len(body) else None
        return body


def _json(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return None
