"""The runs that have ended, a few columns of each, in the order in which they did: for whoever adds them up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from connector.state.tables import runs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connector.state.database import Database

_PART = 1000


@dataclass(frozen=True, slots=True)
class EndedRun:
    """What counts of a run that has ended. Times are seconds since 1970."""

    run_id: str
    sync: str
    trigger: str
    status: str
    started_at: float
    finished_at: float
    rows: dict[str, int] | None
    outcomes: dict[str, dict[str, int]] | None
    requests: dict[str, int] | None


class EndedRuns:
    """The runs of one state directory that have ended."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def since(self, moment: float) -> Iterator[EndedRun]:
        """The runs that ended at that moment or later, however many there are."""
        columns = [runs.c[name] for name in EndedRun.__slots__]
        query = select(*columns).where(runs.c.finished_at >= moment).order_by(runs.c.finished_at)
        with self._database.read() as connection:
            for row in connection.execution_options(yield_per=_PART).execute(query).mappings():
                yield EndedRun(**row)
