"""When each sync is due next, kept so that a time that passed while nobody was there is still seen afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, update

from connector.state.tables import due

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import RowMapping

    from connector.state.database import Database
    from connector.state.triggers import Trigger, Triggers


@dataclass(frozen=True, slots=True)
class DueSync:
    """A scheduled sync. `schedule` is what its due time was worked out from, so that a change of it is noticed.

    `next_at` is its next due time, worked out at `seen_at`; None where it follows another sync: then `seen_at` is when
    the last run of that one ended that was taken account of. Seconds since 1970.
    """

    sync: str
    schedule: str
    next_at: float | None = None
    seen_at: float | None = None

    @classmethod
    def of(cls, row: RowMapping) -> DueSync:
        """The due time of a row of the table."""
        return cls(**row)


@dataclass(frozen=True, slots=True)
class Step:
    """From one due time, or one run that was followed, to the next. With `trigger` a run is asked for on the way."""

    before: DueSync
    after: DueSync
    trigger: str | None = None


class Due:
    """The due times of one state directory."""

    def __init__(self, database: Database, triggers: Triggers) -> None:
        self._database = database
        self._triggers = triggers

    def all(self) -> dict[str, float]:
        """The next due time of each sync that has one, in seconds since 1970."""
        return {found.sync: found.next_at for found in self.entries().values() if found.next_at is not None}

    def entries(self) -> Mapping[str, DueSync]:
        """Every scheduled sync by its name."""
        with self._database.read() as connection:
            found = [DueSync.of(row) for row in connection.execute(select(due)).mappings()]
        return {entry.sync: entry for entry in found}

    def put(self, *entries: DueSync) -> None:
        """Nothing, after noting these in the place of what was known of their syncs."""
        with self._database.write() as connection:
            for entry in entries:
                connection.execute(delete(due).where(due.c.sync == entry.sync))
                connection.execute(insert(due).values(_values(entry)))

    def forget(self, *syncs: str) -> None:
        """Nothing, after forgetting these: they have no schedule any more."""
        with self._database.write() as connection:
            connection.execute(delete(due).where(due.c.sync.in_(syncs)))

    def take(self, steps: Sequence[Step]) -> tuple[Trigger, ...]:
        """The runs that were asked for. A step that somebody else has taken is left out: each is taken once.

        A due time is passed and its run asked for together, or neither is.
        """
        taken = []
        with self._database.write() as connection:
            for step in steps:
                condition = (
                    due.c.sync == step.before.sync,
                    due.c.schedule == step.before.schedule,
                    due.c.next_at.is_not_distinct_from(step.before.next_at),
                    due.c.seen_at.is_not_distinct_from(step.before.seen_at),
                )
                moved = connection.execute(update(due).where(*condition).values(_values(step.after)))
                if moved.rowcount == 1 and step.trigger is not None:
                    sync, at = step.before.sync, step.before.next_at
                    taken.append(self._triggers.ask_within(connection, sync, trigger=step.trigger, due_at=at))
        return tuple(taken)


def _values(entry: DueSync) -> dict[str, str | float | None]:
    return {"sync": entry.sync, "schedule": entry.schedule, "next_at": entry.next_at, "seen_at": entry.seen_at}
