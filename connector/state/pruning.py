"""Old runs taken out of the history database, a little at a time, and the room they took given back to the disk.

Nothing here holds the database's lock for long: a run that wants to write waits for one small transaction at most. Only
a database that an older connector made has to be written anew once (`rewrite`), which happens while no run goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select

from connector.state.runs import RUNNING
from connector.state.tables import calls, intents, request_bodies, runs, settled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connector.ports import Clock
    from connector.state.database import Database

CALLS_AT_ONCE = 100
PAGES_AT_ONCE = 500
PAUSE_S = 0.02  # between two transactions: whoever waits for the lock gets it
WORTH_REWRITING = 0.25


@dataclass(frozen=True, slots=True)
class Kept:
    """A run that has ended, and about how many bytes the database keeps of it."""

    run_id: str
    sync: str
    ended_at: float
    accepted: bool
    size_bytes: int


class Pruning:
    """Takes runs out of one history database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def ended(self) -> list[Kept]:
        """Every run that has ended, the oldest first."""
        body = func.coalesce(func.length(request_bodies.c.body), 0) + func.coalesce(
            func.length(calls.c.response_body), 0
        )
        sizes = (
            select(calls.c.run_id, func.sum(body), func.count())
            .join_from(calls, request_bodies, calls.c.id == request_bodies.c.call_id, isouter=True)
            .group_by(calls.c.run_id)
        )
        query = select(runs.c.run_id, runs.c.sync, runs.c.started_at, runs.c.finished_at, runs.c.outcomes)
        with self._database.read() as connection:
            known = {run_id: int(size) + _CALL_BYTES * count for run_id, size, count in connection.execute(sizes)}
            found = connection.execute(query.where(runs.c.status != RUNNING).order_by(runs.c.started_at, runs.c.run_id))
            return [
                Kept(
                    run_id,
                    sync,
                    started_at if finished_at is None else finished_at,
                    any((outcomes or {}).get("succeeded", {}).values()),
                    known.get(run_id, 0) + _RUN_BYTES,
                )
                for run_id, sync, started_at, finished_at, outcomes in found
            ]

    def is_idle(self) -> bool:
        """Whether no run goes on."""
        with self._database.read() as connection:
            return connection.execute(select(func.count()).where(runs.c.status == RUNNING)).scalar_one() == 0

    def forget(self, run_id: str) -> int:
        """How many calls the run had, after deleting it with all of them."""
        count = 0
        while True:
            with self._database.write() as connection:
                chosen = select(calls.c.id).where(calls.c.run_id == run_id).limit(CALLS_AT_ONCE)
                ids = list(connection.execute(chosen).scalars())
                if ids:
                    connection.execute(delete(request_bodies).where(request_bodies.c.call_id.in_(ids)))
                    connection.execute(delete(calls).where(calls.c.id.in_(ids)))
                else:
                    # Last: until then the run is there, and whoever is interrupted begins again with it.
                    for table in (intents, settled, runs):
                        connection.execute(delete(table).where(table.c.run_id == run_id))
                    return count
            count += len(ids)
            self._clock.sleep(PAUSE_S)

    def free_bytes(self) -> int:
        """How much of the file holds nothing."""
        return self._pragma("freelist_count") * self._pragma("page_size")

    def give_back(self) -> int:
        """How many bytes the file became shorter, after giving back what holds nothing."""
        before = self._pragma("page_count")
        if self._pragma("auto_vacuum") == _INCREMENTAL:
            for _ in self._steps():
                self._clock.sleep(PAUSE_S)
        elif self.free_bytes() > WORTH_REWRITING * before * self._pragma("page_size") and self.is_idle():
            self._database.script("PRAGMA auto_vacuum=INCREMENTAL; VACUUM;")
        # Not one that waits for readers: nobody could write meanwhile.
        self._database.script("PRAGMA wal_checkpoint(PASSIVE);")
        return (before - self._pragma("page_count")) * self._pragma("page_size")

    def _steps(self) -> Iterator[int]:
        left = self._pragma("freelist_count")
        while left:
            self._database.script(f"PRAGMA incremental_vacuum({PAGES_AT_ONCE});")
            now = self._pragma("freelist_count")
            if now >= left:
                return
            left = now
            yield left

    def _pragma(self, name: str) -> int:
        with self._database.read() as connection:
            return int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())


_INCREMENTAL = 2
_CALL_BYTES, _RUN_BYTES = 700, 2_000  # about what a row takes beside its bodies
