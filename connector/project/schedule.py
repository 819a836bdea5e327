"""Whether the time at which a sync runs by itself ever comes, and whether one sync can follow another."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError

from connector.errors import Problem
from connector.project.names import hint, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from connector.project.definition import Sync
    from connector.project.findings import Findings
    from connector.project.schedule_settings import Schedule

MACROS = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *"}
"""The short names of cron, and the five fields that they stand for."""

LONGEST_S = 366 * 86_400
LAST_DAY = 31
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, LAST_DAY, ()),
    ("month", 1, 12, MONTHS),
    ("day of the week", 0, 7, DAYS),
)

PART = re.compile(r"(?:\*|(\w+)(?:-(\w+))?)(?:/(\d{1,2}))?", re.ASCII)

FORM = "five fields: minute hour day-of-month month day-of-week, such as 0 6 * * 1-5"


@dataclass(frozen=True, slots=True)
class ScheduleProblem:
    """What is wrong with the value of one key of a schedule; the message goes behind the value."""

    key: str
    message: str
    hint: str


def schedule_problem(schedule: Schedule) -> ScheduleProblem | None:
    """The first reason why the schedule never comes, or names a time zone that there is not."""
    if schedule.every is not None and not 0 < schedule.every_s <= LONGEST_S:
        words = "is no interval" if schedule.every_s == 0 else "is longer than a year"
        return ScheduleProblem("every", words, "30s, 15m, 1h, 1d")
    if schedule.jitter_s >= (schedule.every_s or 86_400):
        longest = "the interval itself" if schedule.every is not None else "a day"
        return ScheduleProblem("jitter", f"is not shorter than {longest}", "a part of the time between two runs")
    if schedule.cron is not None and (problem := _cron_problem(schedule.cron)) is not None:
        return ScheduleProblem("cron", *problem)
    try:
        ZoneInfo(schedule.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        known = available_timezones()
        if known:  # a machine without a time zone database says nothing about the name
            meant = nearest(schedule.timezone, known)
            advice = f"did you mean '{meant}'?" if meant else "a name of the IANA database, such as Europe/Berlin"
            return ScheduleProblem("timezone", "is not a time zone", advice)
    return None


def _cron_problem(cron: str) -> tuple[str, str] | None:
    if cron.startswith("@"):
        return None if cron in MACROS else ("is not a schedule", f"one of: {', '.join(MACROS)}")
    fields = cron.split()
    if len(fields) != len(FIELDS):
        return f"has {len(fields)} fields", FORM
    for text, (name, low, high, names) in zip(fields, FIELDS, strict=True):
        if not all(_fits(part, low, high, names) for part in text.split(",")):
            return f"cannot have '{text}' as its {name}", f"{low} to {high}, *, lists, ranges and steps such as */5"
    return _never_comes(cron)


def _never_comes(cron: str) -> tuple[str, str] | None:
    """What is wrong with a line whose fields are fine each: no month has its day, or two forms do not go together."""
    fields = cron.split()
    try:
        next(CronSim(cron, datetime(2000, 1, 1, tzinfo=UTC)))
    except StopIteration:
        return "never comes", "no day fits both the day of the month and the day of the week"
    except CronSimError:
        if _fits_alone(fields[4]):
            return "never comes", f"no month of '{fields[3]}' has a day '{fields[2]}'"
        return f"cannot have '{fields[4]}' as its day of the week", "L and #1 to #5 go behind a single day, such as 5L"
    return None


def _fits_alone(day_of_week: str) -> bool:
    try:
        next(CronSim(f"0 0 * * {day_of_week}", datetime(2000, 1, 1, tzinfo=UTC)))
    except CronSimError:
        return False
    return True


def _fits(part: str, low: int, high: int, names: tuple[str, ...]) -> bool:
    if part in ("L", "LW"):  # the last day, the last weekday of the month
        return high == LAST_DAY
    match = PART.fullmatch(re.sub(r"(#[1-5]|L)$", "", part) if names is DAYS else part)
    if match is None or (match[3] is not None and int(match[3]) == 0):
        return False
    ends = [_number(end, low, names) for end in match.group(1, 2) if end is not None]
    fitting = [end for end in ends if end is not None and low <= end <= high]
    return len(fitting) == len(ends) and fitting == sorted(fitting)


def _number(text: str, low: int, names: tuple[str, ...]) -> int | None:
    if text.lower() in names:
        return names.index(text.lower()) + low
    return int(text) if re.fullmatch(r"[0-9]{1,2}", text) else None


# --- one sync after another ------------------------------------------------------------------------------------------


def check_followed(syncs: Sequence[Sync], known: Iterable[str], findings: Findings) -> set[str]:
    """The syncs whose `after:` cannot be: it names no sync, or they wait for each other in a ring. Both are noted.

    `known` are the names of all files of sync_configs/, also of those that could not be read.
    """
    names = sorted(known)
    followed = {sync.name: after for sync in syncs if (after := _after(sync)) is not None}
    astray = set()
    for sync in syncs:
        ring, before = _ring(sync.name, followed), followed.get(sync.name)
        if before is None or (before in names and not ring):
            continue
        astray.add(sync.name)
        at = sync.places.at("schedule", "after")
        if ring:
            said = f"the sync would wait for itself: {' after '.join(ring)}"
            problem = Problem(said, "sync-ring", at, "one of them needs every or cron")
        else:
            advice = hint(before, names, "syncs") or "a sync is a file: sync_configs/NAME.yml"
            problem = Problem(f"there is no sync '{before}'", "unknown-sync", at, advice)
        # A name may come from the environment, which is not shown.
        findings.foreign("error", problem, at)
    return astray


def _after(sync: Sync) -> str | None:
    return sync.settings.schedule.after if sync.settings.schedule is not None else None


def _ring(name: str, followed: dict[str, str]) -> list[str]:
    """The syncs from this one back to itself, or nothing where they come to a beginning, or to a ring of others."""
    path = [name]
    while (before := followed.get(path[-1])) is not None:
        if before in path:
            return [*path, before] if before == name else []
        path.append(before)
    return []
