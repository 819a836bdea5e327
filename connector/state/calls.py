"""The API call log, as it is read: filtered, page by page, or followed while a run goes on."""

from __future__ import annotations

import json
import time
from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from connector.errors import ConfigError
from connector.state.bodies import unpack
from connector.state.clock import utc
from connector.state.tables import calls, request_bodies, runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import ColumnElement, RowMapping, Select

    from connector.state.database import Database

_PAGE = 50  # calls read at once: with bodies of 270 KB some 14 MB
_IDS = 5_000


@dataclass(frozen=True, slots=True)
class Call:
    """One request and what came back. Secrets are `***`; without an answer `status` is None.

    `first`, `stop` are the plan rows it carried (None: it carried none); `parent_id` is the call it was split from or
    repeats. `started_at` is seconds since 1970. Bodies are None where there were none or where they were not asked for.
    `auth` names the secret it was sent with. `bodies` is None where they are kept as they were, "redacted" where the
    sync redacts values, "off" where it keeps none.
    """

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
    request_headers: dict[str, str]
    request_bytes: int
    request_body: str | None
    status: int | None
    response_headers: dict[str, str] | None
    response_bytes: int | None
    response_body: str | None
    error: str | None
    verdict: str | None
    reason: str | None
    auth: str | None = None
    bodies: str | None = None

    @property
    def rows(self) -> int:
        """How many rows the request carried."""
        return 0 if self.first is None or self.stop is None else self.stop - self.first

    @property
    def answered(self) -> bool:
        """Whether it is known what came of the request: a reply, or that none came."""
        return self.status is not None or self.error is not None

    def json(self) -> dict[str, Any]:
        """The entry of `connector log --calls --json`, and what the journal knows beyond it."""
        return {
            "id": self.id,
            "run_id": self.run_id,
            "started_at": utc(self.started_at, precision="milliseconds"),
            "ms": None if self.ms is None else round(self.ms, 3),
            "attempt": self.attempt,
            "method": self.method,
            "url": self.url,
            "request_headers": self.request_headers,
            "request_body": self.request_body,
            "status": self.status,
            "response_headers": self.response_headers,
            "response_body": self.response_body,
            "error": self.error,
            "rows": self.rows,
            "reason": self.reason,
            "route": self.route,
            "purpose": self.purpose,
            "parent_id": self.parent_id,
            "verdict": self.verdict,
            "first": self.first,
            "stop": self.stop,
            "request_bytes": self.request_bytes,
            "response_bytes": self.response_bytes,
            "bodies": self.bodies,
        }


@dataclass(frozen=True, slots=True)
class CallFilter:
    """Which calls. `status` is a number ("429"), a class ("4xx") or "none" (no answer).

    `rows` takes calls that carried any plan row from the first up to the second; `text` is looked for in the address,
    both bodies, the error and the reason, whatever its case, `url` and `reason` (which may stand in the error) there
    alone; `since` and `until` are seconds since 1970; `sync` is for calls of all runs; `after` takes later ids only.
    """

    status: str | None = None
    route: str | None = None
    purpose: str | None = None
    verdict: str | None = None
    rows: tuple[int, int] | None = None
    text: str | None = None
    min_ms: float | None = None
    max_ms: float | None = None
    url: str | None = None
    reason: str | None = None
    since: float | None = None
    until: float | None = None
    sync: str | None = None
    after: int = 0

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        """The filter as SQL, but for `text`: bodies are packed. Raises ConfigError `bad-status-filter`."""
        yield calls.c.id > self.after
        if self.status is not None:
            yield _status(self.status)
        named = ((calls.c.route, self.route), (calls.c.purpose, self.purpose), (calls.c.verdict, self.verdict))
        yield from (column == value for column, value in named if value is not None)
        if self.url is not None:
            yield calls.c.url.icontains(self.url, autoescape=True)
        if self.reason is not None:
            said = func.coalesce(calls.c.reason, calls.c.error)
            yield said.icontains(self.reason, autoescape=True)
        if self.sync is not None:
            yield calls.c.run_id.in_(select(runs.c.run_id).where(runs.c.sync == self.sync))
        if self.rows is not None:
            yield calls.c.first < self.rows[1]
            yield calls.c.stop > self.rows[0]
        between = ((calls.c.ms, self.min_ms, self.max_ms), (calls.c.started_at, self.since, self.until))
        for column, least, most in between:
            if least is not None:
                yield column >= least
            if most is not None:
                yield column <= most


EVERYTHING = CallFilter()


@dataclass(frozen=True, slots=True)
class Found:
    """Ids of calls that a filter takes. `looked` is the last call that was looked at; `complete`: there are no more."""

    ids: tuple[int, ...]
    looked: int
    complete: bool


class Calls:
    """The API call log of every run on this state directory."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def iterate(self, run_id: str | None, which: CallFilter = EVERYTHING, *, bodies: bool = True) -> Iterator[Call]:
        """The calls of a run (None: of all runs) by id, a page in memory at a time."""
        if which.text is not None:
            for found in self._search(run_id, which, which.text):
                yield from self._page(select(calls).where(calls.c.id.in_(found)), bodies=bodies)
            return
        last = which.after
        while True:
            page = self._page(_of(run_id, which).where(calls.c.id > last), bodies=bodies)
            yield from page
            if len(page) < _PAGE:
                return
            last = page[-1].id

    def search(self, run_id: str | None, which: CallFilter, *, limit: int, budget_s: float | None = None) -> Found:
        """The ids of the first calls that the filter takes, and how far was looked.

        Looking into bodies takes time: after `budget_s` seconds it stops, and `CallFilter.after` goes on from there.
        """
        began_s = time.monotonic()
        ids: list[int] = []
        looked = which.after
        text = which.text
        pages = self._ids(run_id, which) if text is None else self._search_pages(run_id, which, text)
        for last, found in pages:
            ids += found
            looked = last
            if len(ids) >= limit:
                return Found(tuple(ids[:limit]), ids[limit - 1], complete=False)
            if budget_s is not None and time.monotonic() - began_s > budget_s:
                return Found(tuple(ids), looked, complete=False)
        return Found(tuple(ids), looked, complete=True)

    def _ids(self, run_id: str | None, which: CallFilter) -> Iterator[tuple[int, list[int]]]:
        last = which.after
        while True:
            query = _of(run_id, which).with_only_columns(calls.c.id).where(calls.c.id > last)
            with self._database.read() as connection:
                found = list(connection.execute(query.order_by(calls.c.id).limit(_IDS)).scalars())
            if not found:
                return
            last = found[-1]
            yield last, found

    def _search(self, run_id: str | None, which: CallFilter, text: str) -> Iterator[list[int]]:
        return (found for _, found in self._search_pages(run_id, which, text) if found)

    def _search_pages(self, run_id: str | None, which: CallFilter, text: str) -> Iterator[tuple[int, list[int]]]:
        """Page by page the last id that was looked at, and those whose texts hold the text."""
        holds = _looking_for(text)
        columns = (calls.c.id, calls.c.url, calls.c.error, calls.c.reason, calls.c.response_body, request_bodies.c.body)
        query = _of(run_id, which).with_only_columns(*columns)
        query = query.join_from(calls, request_bodies, calls.c.id == request_bodies.c.call_id, isouter=True)
        last = which.after
        while True:
            with self._database.read() as connection:
                page = connection.execute(query.where(calls.c.id > last).order_by(calls.c.id).limit(_PAGE)).all()
            if not page:
                return
            last = page[-1].id
            yield last, [row.id for row in page if any(holds(value) for value in row[1:] if value is not None)]

    def list(
        self,
        run_id: str | None,
        which: CallFilter = EVERYTHING,
        *,
        limit: int | None = None,
        offset: int = 0,
        bodies: bool = True,
    ) -> tuple[Call, ...]:
        """The calls of a run (None: of all runs) by id."""
        stop = None if limit is None else offset + limit
        return tuple(islice(self.iterate(run_id, which, bodies=bodies), offset, stop))

    def count(self, run_id: str | None, which: CallFilter = EVERYTHING) -> int:
        """How many calls the filter takes."""
        if which.text is not None:
            return sum(len(found) for found in self._search(run_id, which, which.text))
        with self._database.read() as connection:
            query = _of(run_id, which).with_only_columns(func.count())
            return connection.execute(query).scalar_one()

    def get(self, call_id: int) -> Call:
        """The call of that id. Raises ConfigError `unknown-call`."""
        found = self.find(call_id)
        if found is None:
            raise ConfigError(
                f"there is no call {call_id}",
                slug="unknown-call",
                hint="`connector log --calls` shows the ids of a run",
            )
        return found

    def find(self, call_id: int) -> Call | None:
        """The call of that id, or None: it never was, or it is not kept any more."""
        found = self._page(select(calls).where(calls.c.id == call_id), bodies=True)
        return found[0] if found else None

    def roots(self, run_id: str, *, limit: int = 100) -> tuple[int, ...]:
        """The ids of the first calls of a run from which others came: retries, or the parts of a refused batch."""
        parents = select(calls.c.parent_id).where(calls.c.run_id == run_id, calls.c.parent_id.is_not(None))
        query = select(calls.c.id).where(calls.c.id.in_(parents), calls.c.parent_id.is_(None))
        with self._database.read() as connection:
            return tuple(connection.execute(query.order_by(calls.c.id).limit(limit)).scalars())

    def newest_judged(self, sync: str, *, runs_back: int = 20) -> int | None:
        """The highest id of a call with rows that was judged in the sync's newest runs; None where there is none.

        What was judged is settled at the same moment, which cannot be said of a call that was refused or put off.
        """
        latest = select(runs.c.run_id).where(runs.c.sync == sync).order_by(runs.c.started_at.desc()).limit(runs_back)
        newest = latest.subquery()
        judged = (calls.c.verdict == "judged", calls.c.first.is_not(None))
        chosen = select(calls.c.id).where(calls.c.run_id == newest.c.run_id, *judged)
        # One look into the index a run, however many calls it made.
        of_run = chosen.order_by(calls.c.id.desc()).limit(1).correlate(newest).scalar_subquery()
        with self._database.read() as connection:
            found: int | None = connection.execute(select(func.max(of_run)).select_from(newest)).scalar_one()
            return found

    def follow(self, run_id: str, after: int = 0) -> Follow:
        """A reader that gives each call once, as soon as it is answered."""
        return Follow(self, run_id, after)

    def _page(self, query: Select[Any], *, bodies: bool) -> tuple[Call, ...]:
        query = query.order_by(calls.c.id).limit(_PAGE)
        if bodies:
            query = query.join_from(calls, request_bodies, calls.c.id == request_bodies.c.call_id, isouter=True)
            query = query.add_columns(request_bodies.c.body.label("request_body"))
        else:
            query = query.with_only_columns(*(column for column in calls.c if column.name != "response_body"))
        with self._database.read() as connection:
            return tuple(_call(row) for row in connection.execute(query).mappings())


class Follow:
    """The calls of a run while it goes on: each one once, when its answer is known, the first asked first."""

    def __init__(self, calls: Calls, run_id: str, after: int) -> None:
        self._calls = calls
        self._run_id = run_id
        self._after = after
        self._open: deque[int] = deque()

    def poll(self, *, final: bool = False) -> list[Call]:
        """The calls that were answered since the last poll; `final` (the run is over) adds those that never were."""
        came = [self._calls.get(call_id) for call_id in self._open]
        came += self._calls.list(self._run_id, CallFilter(after=self._after))
        self._after = max([self._after, *(call.id for call in came)])
        self._open = deque(call.id for call in came if not (call.answered or final))
        return [call for call in came if call.answered or final]


def _of(run_id: str | None, which: CallFilter) -> Select[Any]:
    query = select(calls).where(*which.conditions())
    return query if run_id is None else query.where(calls.c.run_id == run_id)


def _status(wanted: str) -> ColumnElement[bool]:
    if wanted == "none":
        return calls.c.status.is_(None)
    if wanted.isdecimal():
        return calls.c.status == int(wanted)
    if wanted[:1].isdecimal() and wanted[1:].lower() == "xx":
        return calls.c.status.between(int(wanted[0]) * 100, int(wanted[0]) * 100 + 99)
    raise ConfigError(
        f"'{wanted}' is no status", slug="bad-status-filter", hint="a number (429), a class (4xx), or none (no answer)"
    )


def _looking_for(text: str) -> Callable[[str | bytes], bool]:
    """What tells whether a text, or a packed body, holds this one, whatever its case."""
    wanted = text.casefold()
    plain = wanted.encode() if wanted.isascii() else None

    def holds(value: str | bytes) -> bool:
        if isinstance(value, str):
            return wanted in value.casefold()
        body = unpack(value)
        # Most searches are for a key or a word: bytes are looked through four times as fast as texts.
        return plain in body.lower() if plain is not None else wanted in body.decode(errors="replace").casefold()

    return holds


def _call(row: RowMapping) -> Call:
    found = dict(row)
    for name in ("request_body", "response_body"):
        packed = found.get(name)
        # Whatever came over the wire can be shown: bytes that are no UTF-8 become the replacement character.
        found[name] = None if packed is None else unpack(packed).decode(errors="replace")
    for name in ("request_headers", "response_headers"):
        found[name] = None if found[name] is None else json.loads(found[name])
    return Call(**found)
