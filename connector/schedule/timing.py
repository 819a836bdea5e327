"""When a schedule comes next, and how to say it. No clock, no I/O.

Intervals count from 1970 in UTC, so that they fall on the same times whoever works them out, and whenever: `every: 15m`
is a quarter past, half past, and so on. Cron lines follow Debian's cron, by cronsim, at the two edges of a year:

    a time that is skipped in spring        runs as soon as the clock has jumped: 02:30 at 03:00
    a time that comes twice in autumn       runs the first time only
    lines with `*` as minute or hour        run at every such time that there really is
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, tzinfo
from itertools import islice
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim

from connector.errors import ConfigError
from connector.project.schedule import MACROS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connector.project.schedule_settings import Schedule

UNITS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def times(schedule: Schedule, after: float, *, sync: str, seed: str = "") -> Iterator[float]:
    """The times that come strictly after that moment, one after the other, in seconds since 1970; none for `after:`.

    With jitter each comes later by the same part of it, which follows from `sync` and `seed` alone. Raises ConfigError
    where this machine does not know the time zone.
    """
    later_s = offset_s(schedule.jitter_s, sync, seed)
    plain = _intervals(schedule, after - later_s) if schedule.every is not None else _cron(schedule, after - later_s)
    return (at + later_s for at in plain)


def next_time(schedule: Schedule, after: float, *, sync: str, seed: str = "") -> float | None:
    """The first time that comes strictly after that moment; None where there is none."""
    return next(times(schedule, after, sync=sync, seed=seed), None)


def next_times(schedule: Schedule, after: float, count: int, *, sync: str, seed: str = "") -> tuple[float, ...]:
    """Up to `count` times that come strictly after that moment."""
    return tuple(islice(times(schedule, after, sync=sync, seed=seed), count))


def offset_s(jitter_s: int, sync: str, seed: str = "") -> int:
    """How much later than its plain times a sync is due, in whole seconds below `jitter_s`: always the same."""
    digest = hashlib.sha256(f"{seed}\0{sync}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % jitter_s if jitter_s else 0


def zone_of(schedule: Schedule) -> tzinfo:
    """The time zone of the schedule. Raises ConfigError where this machine does not know it; each knows UTC."""
    if schedule.timezone == "UTC":
        return UTC
    try:
        return ZoneInfo(schedule.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(
            f"'{schedule.timezone}' is not a time zone that this machine knows",
            slug="bad-schedule",
            hint="a name of the IANA database, such as Europe/Berlin; without a database: pip install tzdata",
        ) from None


def signature(schedule: Schedule) -> str:
    """The schedule as one line: a due time that was worked out from another line counts no more."""
    given: dict[str, Any] = schedule.model_dump(exclude_defaults=True)
    return " ".join(f"{key}={value}" for key, value in given.items())


def in_words(schedule: Schedule, *, sync: str, seed: str = "") -> str:
    """The schedule as a person would say it."""
    if schedule.after is not None:
        however = ", however it ended" if schedule.if_failed == "go_on" else " that succeeded"
        return f"after each run of {schedule.after}{however}"
    if schedule.every is not None:
        said = f"every {_length(schedule.every_s)}"
    else:
        said = _sentence(_expression(schedule)) + f", {schedule.timezone} time"
    later_s = offset_s(schedule.jitter_s, sync, seed)
    return f"{said}, {_length(later_s)} later (jitter)" if later_s else said


def _intervals(schedule: Schedule, after: float) -> Iterator[float]:
    every_s = schedule.every_s
    at = (after // every_s + 1) * every_s
    while True:
        yield at
        at += every_s


def _cron(schedule: Schedule, after: float) -> Iterator[float]:
    if schedule.cron is None:
        return
    passed = after
    for found in CronSim(_expression(schedule), datetime.fromtimestamp(after, UTC).astimezone(zone_of(schedule))):
        at = found.timestamp()
        # cronsim counts on the wall clock, which shows an hour twice in autumn, and in spring jumps from one of two
        # times to the other: a time that has passed already comes up again.
        if at > passed:
            passed = at
            yield at


def _expression(schedule: Schedule) -> str:
    cron = schedule.cron or ""
    return MACROS.get(cron, cron)


def _sentence(expression: str) -> str:
    said = CronSim(expression, datetime(2000, 1, 1, tzinfo=UTC)).explain()
    return said[:1].lower() + said[1:]


def _length(seconds: int) -> str:
    """Such as "1 day", "90 minutes" or "day"."""
    parts = []
    for size, unit in UNITS:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}{'' if count == 1 else 's'}")
    return " ".join(parts)
