"""Whether the time at which a sync runs by itself ever comes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from connector.project.names import nearest

if TYPE_CHECKING:
    from connector.project.settings import Schedule

MACROS = ("@hourly", "@daily", "@weekly", "@monthly")
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
    if schedule.every is not None and int(re.split(r"\D", schedule.every, maxsplit=1)[0]) == 0:
        return ScheduleProblem("every", "is no interval", "30s, 15m, 1h, 1d")
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
    return None


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
