"""The row outcomes of finished runs, read from their Parquet files; the rows' values come from the API call log."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from connector.plan.rows_file import row_files
from connector.run.recover import rows_path
from connector.state.hiding import key_forms

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from connector.state.history import History

_COLUMNS = ("n", "key", "change", "outcome", "reason", "call_id", "attempts")
# A quote opens a value after a space, an equals sign or a bracket: the one in "isn't" does not.
_SIGNATURE = r"""regexp_replace(coalesce({}, ''), '(^|[\s=(\[:])(''[^'']*''|"[^"]*")|\d+', '\1…', 'g')"""


@dataclass(frozen=True, slots=True)
class RowFilter:
    """Which rows of a run. `key` is a whole key, `part` a piece of one, whatever its case.

    `reason` takes the rows whose reason is of the same kind as this one (see `Reason`) or holds this text.
    """

    key: str | None = None
    outcome: str | None = None
    change: str | None = None
    reason: str | None = None
    part: str | None = None
    call_id: int | None = None

    def sql(self, state_dir: Path) -> tuple[str, list[Any]]:
        """The condition and its values."""
        wheres: list[str] = ["true"]
        values: list[Any] = []
        if self.key is not None:
            wheres.append("key IN (SELECT unnest(?::VARCHAR[]))")
            values.append(key_forms(state_dir, self.key))
        for column, value in (("outcome", self.outcome), ("change", self.change), ("call_id", self.call_id)):
            if value is not None:
                wheres.append(f"{column} = ?")
                values.append(value)
        if self.part is not None:
            wheres.append("contains(lower(key), lower(?))")
            values.append(self.part)
        if self.reason is not None:
            kind = f"{_SIGNATURE.format('reason')} = {_SIGNATURE.format('?::VARCHAR')}"
            wheres.append(f"({kind} OR contains(lower(reason), lower(?)))")
            values += [self.reason, self.reason]
        return " AND ".join(wheres), values


EVERY_ROW = RowFilter()


def read_rows(  # noqa: PLR0913 - each narrows down what is read
    state_dir: Path,
    history: History,
    run_id: str,
    which: RowFilter = EVERY_ROW,
    *,
    key: str | None = None,
    outcome: str | None = None,
    limit: int | None = None,
    offset: int = 0,
    payloads: bool = True,
) -> list[dict[str, Any]]:
    """The rows of a run as `connector log --rows --json` prints them, in the order of their keys.

    Empty for a run that has not been settled, or that planned nothing. `payload` is the row's part of the request
    that decided its outcome, or the values of a row that none carried; None where they are not kept. `key` and
    `outcome` are short for a filter of these.
    """
    which = replace(which, key=key or which.key, outcome=outcome or which.outcome)
    condition, values = which.sql(state_dir)
    most = "" if limit is None else f" LIMIT {int(limit)}"
    found = _rows(state_dir, run_id, f"WHERE {condition} ORDER BY key{most} OFFSET {int(offset)}", values)
    bodies = Bodies(history if payloads else None)
    return [
        {
            **{name: row[name] for name in _COLUMNS if name != "n"},
            "payload": _payload(row, bodies) if payloads else None,
        }
        for row in found
    ]


def count_rows(state_dir: Path, run_id: str, which: RowFilter = EVERY_ROW) -> int:
    """How many rows of a run the filter takes."""
    condition, values = which.sql(state_dir)
    path = rows_path(state_dir, run_id)
    if not path.exists():
        return 0
    with row_files() as connection:
        sql = f"SELECT count(*) FROM read_parquet(?) WHERE {condition}"
        (count,) = connection.execute(sql, [str(path), *values]).fetchone() or (0,)
    return int(count)


def _rows(state_dir: Path, run_id: str, clauses: str, values: list[Any]) -> list[dict[str, Any]]:
    path = rows_path(state_dir, run_id)
    if not path.exists():
        return []
    with row_files() as connection:
        # Every column: a file that an older connector wrote has no payloads.
        found = connection.execute(f"SELECT * FROM read_parquet(?) {clauses}", [str(path), *values])
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _payload(row: dict[str, Any], bodies: Bodies) -> Any:
    sent = bodies.part(row["call_id"], row["n"])
    return sent if sent is not None else parsed(row.get("payload"))


def last_accepted(
    state_dir: Path, history: History, sync: str, keys: Iterable[str], *, runs: int = 50
) -> dict[str, Any]:
    """What the destination last accepted for each of these rows, as far as the newest `runs` runs know it.

    A run's file is opened once for all of them, and not at all where no row of the run succeeded.
    """
    sought = {form: key for key in keys for form in key_forms(state_dir, key)}
    bodies = Bodies(history)
    found: dict[str, Any] = {}
    for run in history.runs.list(sync, limit=runs):
        open_ = [form for form, key in sought.items() if key not in found]
        if not open_:
            break
        if run.outcomes is not None and not any(run.outcomes.get("succeeded", {}).values()):
            continue
        clauses = "WHERE outcome = 'succeeded' AND key IN (SELECT unnest(?::VARCHAR[]))"
        for row in _rows(state_dir, run.run_id, clauses, [open_]):
            found[sought[row["key"]]] = _payload(row, bodies)
    return found


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
    sql = f"""
        SELECT outcome, min_by(reason, n), count(*), list(key ORDER BY n)[:{int(keys)}] FROM read_parquet(?)
        WHERE outcome <> 'succeeded' GROUP BY outcome, {_SIGNATURE.format("reason")}
        ORDER BY count(*) DESC, min(n)"""
    with row_files() as connection:
        found = connection.execute(sql, [str(path)]).fetchall()
    return [Reason(outcome, reason, rows, tuple(some)) for outcome, reason, rows, some in found]


def read_numbers(state_dir: Path, run_id: str, key: str) -> list[int]:
    """The plan's numbers of the rows with this key in a run: what its calls say they carried."""
    condition, values = RowFilter(key=key).sql(state_dir)
    return [row["n"] for row in _rows(state_dir, run_id, f"WHERE {condition} ORDER BY n", values)]


def read_keys(state_dir: Path, run_id: str, first: int, stop: int) -> dict[int, dict[str, Any]]:
    """Key, change, outcome and reason of the plan's rows `first` up to `stop`, by number: the rows of a call."""
    found = _rows(state_dir, run_id, "WHERE n >= ? AND n < ? ORDER BY n", [first, stop])
    return {row["n"]: {name: row[name] for name in _COLUMNS} for row in found}


class Bodies:
    """The request bodies of calls, each parsed once; none without a history."""

    def __init__(self, history: History | None) -> None:
        self._history = history
        self._parsed: dict[int, tuple[int, Any]] = {}

    def part(self, call_id: int | None, n: int) -> Any:
        """The part of the plan's row `n` in that call's body."""
        if call_id is None or self._history is None:
            return None
        if call_id not in self._parsed:
            call = self._history.calls.find(call_id)
            self._parsed[call_id] = (0, None) if call is None else (call.first or 0, parsed(call.request_body))
        first, body = self._parsed[call_id]
        return part_of(body, n - first)


def part_of(body: Any, offset: int) -> Any:
    """The row at `offset` of a parsed request body; of a body that is one row, that row."""
    if isinstance(body, dict) and len(body) == 1:
        body = next(iter(body.values()))
    if isinstance(body, list):
        return body[offset] if 0 <= offset < len(body) else None
    return body


def parsed(text: str | None) -> Any:
    """The JSON value of a text; None where there is none, or where it is not JSON."""
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return None
