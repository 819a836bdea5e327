"""The API call log as a page needs it: some lines out of very many, points of a time line, families of calls.

Bodies stay unread here, and nothing is read twice: a page that watches a run asks for what is new.
"""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, or_, select

from connector.state.tables import calls, settled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement, RowMapping

    from connector.state.calls import CallFilter
    from connector.state.database import Database

AT_ONCE = 500  # values that one statement names
POINTS = 8_000

_POINT = ("id", "started_at", "ms", "status", "attempt", "parent_id", "first", "verdict", "error")
_OK, _REDIRECT = 200, 300


@dataclass(frozen=True, slots=True)
class Line:
    """A call without headers and bodies; the fields are those of `Call`."""

    id: int
    run_id: str
    route: str | None
    purpose: str
    parent_id: int | None
    attempt: int
    first: int | None
    stop: int | None
    started_at: float
    ms: float | None
    method: str
    url: str
    request_bytes: int
    status: int | None
    response_bytes: int | None
    error: str | None
    verdict: str | None
    reason: str | None

    @property
    def rows(self) -> int:
        """How many rows the request carried."""
        return 0 if self.first is None or self.stop is None else self.stop - self.first

    @property
    def is_part(self) -> bool:
        """Whether it carried a part of the rows of a refused call, and does not just repeat its parent."""
        return self.parent_id is not None and self.attempt == 1 and self.first is not None

    @property
    def answered(self) -> bool:
        """Whether it is known what came of the request."""
        return self.status is not None or self.error is not None


@dataclass(frozen=True, slots=True)
class Point:
    """A call on the time line; `kind` is ok, limited (429), failed or open. `split`: a part of a refused batch."""

    id: int
    at: float
    ms: float | None
    kind: str
    split: bool


@dataclass(frozen=True, slots=True)
class Going:
    """How far a run is: its calls by kind ("split": parts of refused batches that went well), its settled rows.

    `settled` counts rows by route and outcome; those that were settled twice count twice until the run ends. `done`
    are the calls up to `last`, `last_settled` is where the journal was left: what is new comes behind them.
    """

    kinds: Mapping[str, int]
    settled: Mapping[tuple[str, str], int]
    done: Mapping[str, int]
    last: int = 0
    last_settled: int = 0


NOTHING_YET = Going({}, {}, {})


class Windows:
    """The calls of a state directory, as pages look at them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ids(self, run_id: str, which: CallFilter) -> array[int]:
        """The ids of a run's calls that the filter takes (its `text` is left out), in the order they were made."""
        query = select(calls.c.id).where(calls.c.run_id == run_id, *which.conditions()).order_by(calls.c.id)
        with self._database.read() as connection:
            return array("q", connection.execute(query).scalars())

    def lines(self, ids: Sequence[int]) -> list[Line]:
        """The calls of these ids, in their order; `AT_ONCE` at most."""
        return self._lines(calls.c.id.in_(list(ids)[:AT_ONCE]))

    def endpoints(self, run_id: str, *, most: int = 40) -> list[tuple[str, str]]:
        """Method and address of the first few kinds of calls a run made, sorted."""
        query = select(calls.c.method, calls.c.url).where(calls.c.run_id == run_id).distinct().limit(most)
        with self._database.read() as connection:
            return sorted((method, url) for method, url in connection.execute(query))

    def family(self, call_id: int) -> list[Line]:
        """The call, what it repeats or was split from up to the first one, and everything that came of that one."""
        root = call_id
        for _ in range(AT_ONCE):
            (one,) = self._lines(calls.c.id == root) or (None,)
            if one is None or one.parent_id is None:
                break
            root = one.parent_id
        found = self._lines(calls.c.id == root)
        generation = [root]
        run_id = found[0].run_id if found else ""
        while generation:
            children: list[Line] = []
            for at in range(0, len(generation), AT_ONCE):
                parents = generation[at : at + AT_ONCE]
                children += self._lines((calls.c.run_id == run_id) & calls.c.parent_id.in_(parents))
            found += children
            generation = [child.id for child in children]
        return sorted(found, key=lambda line: line.id)

    def points(self, run_id: str, *, after: int = 0, most: int = POINTS) -> list[Point]:
        """The calls behind `after` as points.

        Of more than `most`, calls that went well are thinned out evenly, and no others.
        """
        chosen = (calls.c.run_id == run_id, calls.c.id > after)
        query = select(*(calls.c[name] for name in _POINT)).where(*chosen)
        with self._database.read() as connection:
            count = connection.execute(select(func.count()).select_from(calls).where(*chosen)).scalar_one()
            if count > most:
                every = count // most + 1
                bad = or_(calls.c.status.is_(None), calls.c.status >= _REDIRECT, calls.c.parent_id.is_not(None))
                query = query.where(or_(bad, calls.c.id % every == 0))
            return [_point(row) for row in connection.execute(query.order_by(calls.c.id)).mappings()]

    def kinds(self, run_id: str, after: int = 0, last: int | None = None) -> dict[str, int]:
        """How many calls of a run are of each kind, those behind `after` and up to `last`; nothing is read one by one.

        "split" are parts of refused batches that went well.
        """
        chosen = [calls.c.run_id == run_id, calls.c.id > after, *([] if last is None else [calls.c.id <= last])]
        part = calls.c.parent_id.is_not(None) & (calls.c.attempt == 1) & calls.c.first.is_not(None)
        columns = (calls.c.status, calls.c.verdict, calls.c.error.is_not(None), part)
        query = select(*columns, func.count()).where(*chosen).group_by(*columns)
        found: Counter[str] = Counter()
        with self._database.read() as connection:
            for status, verdict, failed, is_part, count in connection.execute(query):
                kind = _kind({"status": status, "verdict": verdict, "error": failed or None})
                found["split" if kind == "ok" and is_part else kind] += count
        return dict(found)

    def going(self, run_id: str, before: Going = NOTHING_YET) -> tuple[Going, list[Point]]:
        """How far the run is, and points of what is new since `before`; of very many, few of those that went well.

        What stands still is not looked at again: calls with an answer, up to the first one that has none.
        """
        mine = (calls.c.run_id == run_id, calls.c.id > before.last)
        unanswered = calls.c.status.is_(None) & calls.c.error.is_(None)
        with self._database.read() as connection:
            newest = connection.execute(select(func.max(calls.c.id)).where(*mine)).scalar_one() or before.last
            first_open = connection.execute(select(func.min(calls.c.id)).where(*mine, unanswered)).scalar_one()
        last = newest if first_open is None else first_open - 1
        points = self.points(run_id, after=before.last, most=AT_ONCE)
        rows, last_settled = self._settled(run_id, before)
        done = Counter(before.done) + Counter(self.kinds(run_id, before.last, last))
        kinds = done + Counter(self.kinds(run_id, last, newest))
        return Going(dict(kinds), rows, dict(done), last, last_settled), points

    def _settled(self, run_id: str, before: Going) -> tuple[Counter[tuple[str, str]], int]:
        sizes = func.sum(settled.c.stop - settled.c.first)
        query = (
            select(settled.c.route, settled.c.outcome, sizes, func.max(settled.c.id))
            .where(settled.c.run_id == run_id, settled.c.id > before.last_settled)
            .group_by(settled.c.route, settled.c.outcome)
        )
        rows, last = Counter(before.settled), before.last_settled
        with self._database.read() as connection:
            for route, outcome, count, newest in connection.execute(query):
                rows[route, outcome] += count
                last = max(last, newest)
        return rows, last

    def _lines(self, condition: ColumnElement[bool]) -> list[Line]:
        query = select(*(calls.c[name] for name in Line.__slots__)).where(condition).order_by(calls.c.id)
        with self._database.read() as connection:
            return [Line(**row) for row in connection.execute(query).mappings()]


def _point(row: RowMapping) -> Point:
    return Point(row["id"], row["started_at"], row["ms"], _kind(row), _is_part(row))


def _is_part(row: RowMapping) -> bool:
    return row["parent_id"] is not None and row["attempt"] == 1 and row["first"] is not None


def _kind(row: RowMapping | Mapping[str, Any]) -> str:
    status = row["status"]
    if status is None and row["error"] is None:
        return "open"
    if status == 429:  # noqa: PLR2004 - HTTP's "too many requests"
        return "limited"
    if status is None or not _OK <= status < _REDIRECT or row["verdict"] in ("refused", "fault"):
        return "failed"
    return "ok"
