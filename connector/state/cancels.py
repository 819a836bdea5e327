"""Runs that somebody wants to end, wherever they go on: a flag that the run looks at about twice a second."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from connector.state.tables import cancels

if TYPE_CHECKING:
    from connector.ports import Clock
    from connector.state.database import Database


class Cancels:
    """The runs of one state directory that were asked to stop."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def ask(self, run_id: str) -> None:
        """Nothing; the run stops within about a second as Ctrl-C stops it, and one that begins later stops at once."""
        with self._database.write() as connection:
            if connection.execute(select(cancels.c.run_id).where(cancels.c.run_id == run_id)).first() is None:
                connection.execute(insert(cancels).values(run_id=run_id, asked_at=self._clock.now()))

    def asked(self, run_id: str) -> bool:
        """Whether the run is to stop."""
        with self._database.read() as connection:
            return connection.execute(select(cancels.c.run_id).where(cancels.c.run_id == run_id)).first() is not None

    def forget(self, run_id: str) -> None:
        """Nothing, after taking the flag down: the run has ended."""
        with self._database.write() as connection:
            connection.execute(delete(cancels).where(cancels.c.run_id == run_id))

    def prune(self, before: float) -> int:
        """How many flags from before that moment were taken down: their runs had ended already, or never began."""
        with self._database.write() as connection:
            return connection.execute(delete(cancels).where(cancels.c.asked_at < before)).rowcount
