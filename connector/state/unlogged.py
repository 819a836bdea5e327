"""The runs that the warehouse logs do not have yet: noted before a run begins, forgotten when it is written there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from connector.state.runs import RUNNING, Run
from connector.state.tables import runs, unlogged

if TYPE_CHECKING:
    from connector.ports import Clock
    from connector.state.database import Database


class Unlogged:
    """The durable list of one state directory."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def note(self, run_id: str) -> None:
        """Nothing, after noting that this run is to be logged once it has ended, whoever ends it."""
        with self._database.write() as connection:
            connection.execute(insert(unlogged).values(run_id=run_id, noted_at=self._clock.now()))

    def ended(self) -> tuple[Run, ...]:
        """The runs to log that have ended, the one that ended first before all others."""
        query = (
            select(runs)
            .join(unlogged, unlogged.c.run_id == runs.c.run_id)
            .where(runs.c.status != RUNNING)
            .order_by(runs.c.finished_at, runs.c.run_id)
        )
        with self._database.read() as connection:
            return tuple(Run.of(row) for row in connection.execute(query).mappings())

    def names(self) -> frozenset[str]:
        """The runs to log, whether they have ended or not."""
        with self._database.read() as connection:
            return frozenset(connection.execute(select(unlogged.c.run_id)).scalars())

    def forget(self, run_id: str) -> None:
        """Nothing, after noting that this run is logged."""
        with self._database.write() as connection:
            connection.execute(delete(unlogged).where(unlogged.c.run_id == run_id))
