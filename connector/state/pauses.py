"""Syncs whose schedule is paused: nothing starts them by itself; whoever asks for a run still gets it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from connector.state.tables import pauses

if TYPE_CHECKING:
    from connector.ports import Clock
    from connector.state.database import Database


class Pauses:
    """The pauses of one state directory."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def pause(self, sync: str) -> bool:
        """Whether that changed anything: from now on the sync's schedule starts nothing."""
        with self._database.write() as connection:
            if connection.execute(select(pauses.c.sync).where(pauses.c.sync == sync)).first() is not None:
                return False
            connection.execute(insert(pauses).values(sync=sync, paused_at=self._clock.now()))
            return True

    def resume(self, sync: str) -> bool:
        """Whether that changed anything: the sync runs again from its next due time on; those in between are past."""
        with self._database.write() as connection:
            return connection.execute(delete(pauses).where(pauses.c.sync == sync)).rowcount == 1

    def paused(self) -> set[str]:
        """The syncs that are paused."""
        return set(self.since())

    def since(self) -> dict[str, float]:
        """When each paused sync was paused, in seconds since 1970."""
        with self._database.read() as connection:
            return {row.sync: row.paused_at for row in connection.execute(select(pauses))}
