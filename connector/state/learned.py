"""Facts that probes found out about a destination, kept for the next run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from connector.state.tables import learned

if TYPE_CHECKING:
    from connector.ports import Clock
    from connector.state.database import Database


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact: its value, why it is believed, and when that was found out (seconds since 1970)."""

    destination: str
    name: str
    value: str
    why: str
    learned_at: float


class Learned:
    """What is known about each destination."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def get(self, destination: str) -> dict[str, str]:
        """Each fact's value by its name."""
        return {fact.name: fact.value for fact in self.facts(destination)}

    def facts(self, destination: str | None = None) -> tuple[Fact, ...]:
        """The facts about one destination, or about all of them, with when and why."""
        query = select(learned).order_by(learned.c.destination, learned.c.name)
        if destination is not None:
            query = query.where(learned.c.destination == destination)
        with self._database.read() as connection:
            return tuple(Fact(**row) for row in connection.execute(query).mappings())

    def put(self, destination: str, name: str, value: str, why: str) -> None:
        """Nothing, after remembering the fact in the place of an older one of that name."""
        fact = {"destination": destination, "name": name, "value": value, "why": why, "learned_at": self._clock.now()}
        with self._database.write() as connection:
            connection.execute(delete(learned).where(learned.c.destination == destination, learned.c.name == name))
            connection.execute(insert(learned).values(fact))

    def forget(self, destination: str, name: str | None = None) -> int:
        """How many facts about the destination were forgotten: the one of that name, or all."""
        query = delete(learned).where(learned.c.destination == destination)
        if name is not None:
            query = query.where(learned.c.name == name)
        with self._database.write() as connection:
            return connection.execute(query).rowcount
