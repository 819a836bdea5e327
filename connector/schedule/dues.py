"""What is due now: due times that have come, and runs that others follow; each becomes one run that is asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from connector.schedule.timing import next_time, signature
from connector.state.due import DueSync, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from connector.project.definition import Sync
    from connector.project.schedule_settings import Schedule
    from connector.schedule.files import Loaded
    from connector.state.history import History
    from connector.state.runs import Run
    from connector.state.triggers import Trigger

SCHEDULE = "schedule"
AFTER = "after"
GOOD = ("success", "warning")
"""How a run ends that others may follow: everything was sent, or all but some rows."""

DOUBT_S = 3600.0
"""A time that lies further ahead than this was taken from a clock that was wrong and has been set back since."""

_NEWEST = 10  # among so many runs of a sync, of which one may go on, is the one that ended last


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of one look: the runs that were asked for, and the syncs whose turn passed without one, with why."""

    triggers: tuple[Trigger, ...] = ()
    passed: tuple[tuple[str, str], ...] = ()


def note(loaded: Loaded, history: History, now: float) -> None:
    """Nothing, after noting when each new or changed schedule comes first, and forgetting those that are gone.

    A sync that is broken keeps its due time: the time is past when it is mended, and it runs then. What was worked out
    by a clock that was far ahead is worked out anew: the sync would stand still until then. Raises StateError.
    """
    known = history.due.entries()
    wanted = _scheduled(loaded.syncs.values())
    gone = [name for name in known if name not in wanted and name not in loaded.broken]
    new = [
        _first(name, schedule, history, now)
        for name, schedule in wanted.items()
        if name not in known
        or known[name].schedule != signature(schedule)
        or (known[name].seen_at or 0.0) > now + DOUBT_S
    ]
    if gone:
        history.due.forget(*gone)
    if new:
        history.due.put(*new)


def ask_for_due(loaded: Loaded, history: History, now: float) -> Asked:
    """The runs that were asked for because their time has come, one a sync, however many of its times have passed."""
    wanted, paused = _scheduled(loaded.syncs.values()), history.pauses.paused()
    steps, passed = [], []
    for name, entry in history.due.entries().items():
        if name not in wanted or entry.next_at is None or entry.next_at > now:
            continue
        after = replace(entry, next_at=next_time(wanted[name], now, sync=name), seen_at=now)
        steps.append(Step(entry, after, None if name in paused else SCHEDULE))
        if name in paused:
            passed.append((name, "it is paused"))
    return Asked(history.due.take(steps) if steps else (), tuple(passed))


def ask_for_followers(loaded: Loaded, history: History, now: float) -> Asked:
    """The runs that were asked for because a run that their sync follows has ended, in whatever process."""
    wanted = {name: schedule for name, schedule in _scheduled(loaded.syncs.values()).items() if schedule.after}
    if not wanted:
        return Asked()
    entries, paused = history.due.entries(), history.pauses.paused()
    follows = {name: entries[name] for name in wanted if name in entries}
    since = min((entry.seen_at or 0.0 for entry in follows.values()), default=0.0)
    followed = {schedule.after for schedule in wanted.values() if schedule.after}
    ended = [run for run in history.runs.ended_since(since, followed) if _ended_at(run) <= now + DOUBT_S]
    steps, passed = [], []
    for name, entry in follows.items():
        runs = [run for run in ended if run.sync == wanted[name].after and _ended_at(run) > (entry.seen_at or 0.0)]
        if not runs:
            continue
        goes = [run for run in runs if run.status in GOOD or wanted[name].if_failed == "go_on"]
        trigger = AFTER if goes and name not in paused else None
        steps.append(Step(entry, replace(entry, seen_at=max(map(_ended_at, runs))), trigger))
        if trigger is None:
            why = "it is paused" if goes else f"run {runs[-1].run_id} of {runs[-1].sync} ended as {runs[-1].status}"
            passed.append((name, why))
    return Asked(history.due.take(steps) if steps else (), tuple(passed))


def _scheduled(syncs: Iterable[Sync]) -> Mapping[str, Schedule]:
    return {sync.name: sync.settings.schedule for sync in syncs if sync.settings.schedule is not None}


def _first(name: str, schedule: Schedule, history: History, now: float) -> DueSync:
    if schedule.after is None:
        return DueSync(name, signature(schedule), next_time(schedule, now, sync=name), now)
    newest = history.runs.list(schedule.after, limit=_NEWEST)
    return DueSync(name, signature(schedule), None, min(now, max(map(_ended_at, newest), default=0.0)))


def _ended_at(run: Run) -> float:
    return run.finished_at or 0.0
