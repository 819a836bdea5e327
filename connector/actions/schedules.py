"""When each sync runs by itself, in words and as its next times."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from connector.schedule.timing import in_words, next_times, zone_of
from connector.state.clock import utc

if TYPE_CHECKING:
    from connector.project.definition import Definition
    from connector.project.schedule_settings import Schedule
    from connector.state.history import History

SHOWN = 5


@dataclass(frozen=True, slots=True)
class Explained:
    """One sync's schedule. `next` are its next times, in seconds since 1970; none for one that follows another.

    `waiting` is the run that has been asked for and waits to be started.
    """

    sync: str
    schedule: Schedule
    words: str
    next: tuple[float, ...]
    paused: bool
    waiting: str | None

    def local(self) -> list[str]:
        """The next times on the wall clock of the schedule's zone, each with its offset from UTC."""
        zone = zone_of(self.schedule)
        return [datetime.fromtimestamp(at, zone).isoformat(sep=" ", timespec="seconds") for at in self.next]

    def json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "sync": self.sync,
            "schedule": self.schedule.model_dump(mode="json", exclude_unset=True),
            "words": self.words,
            "next": [utc(at) for at in self.next],
            "paused": self.paused,
            "waiting": self.waiting,
        }


def explain(definition: Definition, history: History, now: float, *, count: int = SHOWN) -> list[Explained]:
    """The schedule of every sync that has one, by name, with its next times after `now`.

    Raises ConfigError where this machine does not know a time zone, and StateError.
    """
    paused = history.pauses.paused()
    waiting = {trigger.sync: trigger.run_id for trigger in reversed(history.triggers.waiting())}
    found = []
    for name, sync in sorted(definition.syncs.items()):
        schedule = sync.settings.schedule
        if schedule is not None:
            coming = next_times(schedule, now, count, sync=name)
            words = in_words(schedule, sync=name)
            found.append(Explained(name, schedule, words, coming, name in paused, waiting.get(name)))
    return found
