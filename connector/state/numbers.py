"""Whole numbers for what the connector itself knows by name, for interfaces whose ids are numbers.

A number is given once and never again: whoever kept it finds the same sync, or none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import and_, func, insert, select

from connector.state.runs import Run
from connector.state.tables import numbers, runs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import ColumnElement, Connection, RowMapping

    from connector.ports import Clock
    from connector.state.database import Database

Kind = Literal["source", "destination", "model", "sync", "run"]
RunOrder = Literal["number", "started_at", "finished_at"]

_MOST_NAMES = 500  # in one query: SQLite takes no more than 999 variables where it was built long ago
_HIGHEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Number:
    """A number, and since when it stands for that name (seconds since 1970)."""

    number: int
    name: str
    since: float


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs of a sync are wanted: those started after and before these moments, in which order."""

    sync: str
    after: float | None = None
    before: float | None = None
    order: RunOrder = "number"


class Numbers:
    """The numbers of one state directory."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def of(self, kind: Kind, names: Iterable[str]) -> dict[str, Number]:
        """The number of each name. Names that have none yet get the next ones, in the order in which they are given."""
        wanted = list(dict.fromkeys(names))
        with self._database.read() as connection:
            known = _known(connection, kind, wanted)
        missing = [name for name in wanted if name not in known]
        if missing:
            with self._database.write() as connection:
                known = _given(connection, kind, missing, self._clock.now()) | known
        return {name: known[name] for name in wanted}

    def one(self, kind: Kind, name: str) -> Number:
        """The number of a name, given now where it has none yet."""
        return self.of(kind, [name])[name]

    def has(self, kind: Kind, name: str) -> bool:
        """Whether the name has a number."""
        with self._database.read() as connection:
            return bool(_known(connection, kind, [name]))

    def find(self, kind: Kind, number: int) -> Number | None:
        """What has this number, or None."""
        if not 0 < number <= _HIGHEST:
            return None
        query = select(numbers).where(numbers.c.kind == kind, numbers.c.number == number)
        with self._database.read() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else _number(row)

    def number_begun(self, sync: str) -> None:
        """Nothing, after giving a number to each run of a sync that has begun and has none, the oldest first.

        Before a run that waits gets its number: it begins after these, and so has a larger one.
        """
        with self._database.read() as connection:
            nameless = _nameless(connection, sync)
        if nameless:
            with self._database.write() as connection:
                _given(connection, "run", nameless, self._clock.now())

    def runs(self, wanted: RunFilter, *, limit: int, offset: int = 0) -> list[tuple[Number, Run]]:
        """The runs of a sync with their numbers, the newest first, after numbering those that have none yet."""
        self.number_begun(wanted.sync)
        conditions: list[ColumnElement[bool]] = [runs.c.sync == wanted.sync]
        if wanted.after is not None:
            conditions.append(runs.c.started_at > wanted.after)
        if wanted.before is not None:
            conditions.append(runs.c.started_at < wanted.before)
        order = numbers.c.number if wanted.order == "number" else runs.c[wanted.order]
        query = (
            select(runs, numbers.c.number, numbers.c.since)
            .join(numbers, _is_of_run())
            .where(*conditions)
            # A run that goes on has no end yet: it is the newest in every order.
            .order_by(order.is_(None).desc(), order.desc(), numbers.c.number.desc())
        )
        with self._database.read() as connection:
            found = [dict(row) for row in connection.execute(query.limit(limit).offset(offset)).mappings()]
        return [(Number(row.pop("number"), row["run_id"], row.pop("since")), Run.of(row)) for row in found]


def _is_of_run() -> ColumnElement[bool]:
    return and_(numbers.c.kind == "run", numbers.c.name == runs.c.run_id)


def _nameless(connection: Connection, sync: str) -> list[str]:
    """The runs of a sync that have no number, the oldest first."""
    query = (
        select(runs.c.run_id).outerjoin(numbers, _is_of_run()).where(runs.c.sync == sync, numbers.c.number.is_(None))
    )
    return list(connection.execute(query.order_by(runs.c.started_at, runs.c.run_id)).scalars())


def _known(connection: Connection, kind: Kind, names: list[str]) -> dict[str, Number]:
    found: dict[str, Number] = {}
    for at in range(0, len(names), _MOST_NAMES):
        some = names[at : at + _MOST_NAMES]
        query = select(numbers).where(numbers.c.kind == kind, numbers.c.name.in_(some))
        found |= {row["name"]: _number(row) for row in connection.execute(query).mappings()}
    return found


def _given(connection: Connection, kind: Kind, names: list[str], now: float) -> dict[str, Number]:
    """The numbers of these names, after giving one to each that still has none: another process may have been first."""
    known = _known(connection, kind, names)
    highest = connection.execute(select(func.max(numbers.c.number)).where(numbers.c.kind == kind)).scalar()
    fresh = [name for name in names if name not in known]
    rows: list[dict[str, Any]] = [
        {"kind": kind, "number": number, "name": name, "since": now}
        for number, name in enumerate(fresh, (highest or 0) + 1)
    ]
    if rows:
        connection.execute(insert(numbers), rows)
    return known | {str(row["name"]): _number(row) for row in rows}


def _number(row: RowMapping | Mapping[str, Any]) -> Number:
    return Number(row["number"], row["name"], row["since"])
