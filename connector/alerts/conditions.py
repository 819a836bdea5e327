"""What can be wrong with a sync, and how bad it is: from its rules, its runs and its due times, and nothing else.

A condition about which a run says nothing is left out: a cancelled run, for one, says nothing at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from connector.alerts.rules import Rules
    from connector.errors import Problem
    from connector.project.alert_settings import Limits
    from connector.state.alerts import AlertState, Level
    from connector.state.runs import Run

Condition = Literal["failed", "held", "rejected", "row_count", "slow", "missed"]
CONDITIONS: tuple[Condition, ...] = get_args(Condition)

DELIVERED = ("success", "warning")
FAILED = ("failed", "interrupted")
LEAST_RUNS = 3
"""A mean of fewer runs says nothing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about one condition. `what` is a sentence without the sync's name.

    `reason`, `slug` and `hint` are those of an error, where there is one; `next` is the command to type next. `count`
    is how often in a row it was found. `limit` names the rule that decided.
    """

    condition: Condition
    level: Level
    what: str
    run_id: str | None = None
    reason: str | None = None
    slug: str | None = None
    hint: str | None = None
    limit: str | None = None
    next: str | None = None
    count: int = 1


def level_of(limits: Limits, value: float) -> Level:
    """How bad a value is that is bad from its limit on: a number of runs, a lateness."""
    if limits.critical is not None and value >= limits.critical:
        return "critical"
    return "warning" if limits.warning is not None and value >= limits.warning else "ok"


def level_above(limits: Limits, value: float) -> Level:
    """How bad a value is that is bad above its limit: a share, a time."""
    if limits.critical is not None and value > limits.critical:
        return "critical"
    return "warning" if limits.warning is not None and value > limits.warning else "ok"


def is_whole(run: Run) -> bool:
    """Whether the run was about all rows of its model."""
    return not run.options.keys() & {"row", "limit"}


# --- after a run -----------------------------------------------------------------------------------------------------


def judge_run(
    rules: Rules, run: Run, earlier: Sequence[Run], before: Mapping[str, AlertState], reason: str | None = None
) -> tuple[Finding, ...]:
    """What a finished run says. `earlier` are the runs before it, the newest first; `reason` is why rows were rejected.

    A run that failed or was held says nothing about the rows; one of a few rows says nothing about all.
    """
    if run.status in FAILED:
        return (_failed(rules, run, _in_a_row(earlier, before.get("failed"), FAILED)),)
    if run.status == "held":
        return (_held(rules, run, _in_a_row(earlier, before.get("held"), ("held",))),)
    if run.status not in DELIVERED:
        return ()
    found = [
        Finding("failed", "ok", "a run came to its end again", run.run_id, count=0),
        Finding("held", "ok", "a run was let through again", run.run_id, count=0),
    ]
    if is_whole(run):
        comparable = [one for one in earlier if one.status in DELIVERED and is_whole(one)][: rules.mean_of]
        found += [_rejected(rules, run, reason), *_row_count(rules, run, comparable), *_slow(rules, run, comparable)]
    return tuple(found)


def judge_refusal(
    rules: Rules, error: Problem, earlier: Sequence[Run], before: AlertState | None, begun: Run | None = None
) -> Finding:
    """What it says that a run could not even begin, or broke off, because of this error."""
    count = _in_a_row(earlier, before, FAILED) + 1
    return Finding(
        "failed",
        level_of(rules.failed, count),
        f"a run {'could not begin' if begun is None else 'broke off'}{_times(count)}",
        None if begun is None else begun.run_id,
        reason=error.message if error.at is None else f"{error.at}: {error.message}",
        slug=error.slug,
        hint=error.hint,
        limit=_limit("failed", rules.failed),
        next="connector check --online",
        count=count,
    )


def _failed(rules: Rules, run: Run, before: int) -> Finding:
    words = f"the run {'failed' if run.status == 'failed' else 'was interrupted'}"
    return _ended_badly("failed", rules.failed, run, before + 1, words, f"connector log {run.run_id}")


def _held(rules: Rules, run: Run, before: int) -> Finding:
    words = "a guardrail held the run, nothing was sent"
    return _ended_badly("held", rules.held, run, before + 1, words, f"connector plan {run.sync}")


def _ended_badly(condition: Condition, limits: Limits, run: Run, count: int, words: str, next_command: str) -> Finding:
    error = run.error or {}
    return Finding(
        condition,
        level_of(limits, count),
        f"{words}{_times(count)}",
        run.run_id,
        reason=error.get("message"),
        slug=error.get("slug"),
        hint=error.get("hint"),
        limit=_limit(condition, limits),
        next=next_command,
        count=count,
    )


def _rejected(rules: Rules, run: Run, reason: str | None) -> Finding:
    outcomes = {name: sum(counts.values()) for name, counts in (run.outcomes or {}).items()}
    refused = outcomes.get("rejected", 0) + outcomes.get("quarantined", 0)
    offered = sum(outcomes.values()) - outcomes.get("not_attempted", 0)
    percent = 100 * refused / offered if offered else 0.0
    most = "rejected" if outcomes.get("rejected", 0) >= outcomes.get("quarantined", 0) else "quarantined"
    return Finding(
        "rejected",
        level_above(rules.rejected_percent, percent),
        f"{refused:,} of {offered:,} rows were rejected ({percent:.1f} %)",
        run.run_id,
        reason=reason,
        limit=_limit("rejected_percent", rules.rejected_percent),
        next=f"connector log {run.run_id} --rows --outcome {most}",
    )


def _row_count(rules: Rules, run: Run, comparable: Sequence[Run]) -> Iterator[Finding]:
    counts = [one.rows["queried"] for one in comparable if one.rows]
    if len(counts) < LEAST_RUNS or run.rows is None:
        return
    mean, now = sum(counts) / len(counts), run.rows["queried"]
    # A model that was always empty is off by everything as soon as it has a row.
    percent = 100 * abs(now - mean) / mean if mean else (100.0 if now else 0.0)
    limits = rules.row_count_percent
    direction = "more" if now >= mean else "fewer"
    yield Finding(
        "row_count",
        level_above(limits, percent),
        f"the model returned {now:,} rows, {percent:.0f} % {direction} than the mean of {mean:,.0f} "
        f"of the last {len(counts)} runs",
        run.run_id,
        limit=_limit("row_count_percent", limits),
        next=f"connector runs {run.sync}",
    )


def _slow(rules: Rules, run: Run, comparable: Sequence[Run]) -> Iterator[Finding]:
    if run.finished_at is not None:
        yield slow(rules, run, run.finished_at - run.started_at, comparable)


def slow(rules: Rules, run: Run, seconds: float, comparable: Sequence[Run]) -> Finding:
    """Whether the run takes, or took, too long: in seconds, or beside the mean of comparable runs."""
    times = [one.finished_at - one.started_at for one in comparable if one.finished_at is not None][: rules.mean_of]
    mean = sum(times) / len(times) if len(times) >= LEAST_RUNS else None
    by_mean: Level = level_above(rules.slow_factor, seconds / mean) if mean else "ok"
    by_time = level_above(rules.slow_after, seconds)
    beside = "" if mean is None else f"; the mean of the last {len(times)} runs is {lasting(mean)}"
    going = run.finished_at is None
    name, limits = ("slow_factor", rules.slow_factor) if worse(by_mean, by_time) else ("slow_after", rules.slow_after)
    return Finding(
        "slow",
        by_mean if worse(by_mean, by_time) else by_time,
        f"the run {'has been going on for' if going else 'took'} {lasting(seconds)}{beside}",
        run.run_id,
        limit=_limit(name, limits),
        next=f"connector log {run.run_id} {'--follow' if going else '--calls'}",
    )


# --- while nothing happens -------------------------------------------------------------------------------------------


def missed(rules: Rules, sync: str, due_at: float | None, now: float, why: str | None = None) -> Finding:
    """Whether a run is overdue. `due_at` is the earliest time at which one was due and none has started since."""
    late = 0.0 if due_at is None else max(0.0, now - due_at)
    if due_at is None:
        return Finding("missed", "ok", "a run has started again", count=0)
    return Finding(
        "missed",
        level_of(rules.missed, late),
        f"no run has started that was due {lasting(late)} ago",
        reason=why,
        limit=_limit("missed", rules.missed, "s"),
        next=f"connector runs {sync}",
    )


# --- words -----------------------------------------------------------------------------------------------------------

_ORDER: tuple[Level, ...] = ("ok", "warning", "critical")
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400


def worse(one: Level, other: Level) -> bool:
    """Whether the first level is worse than the second."""
    return _ORDER.index(one) > _ORDER.index(other)


def lasting(seconds: float) -> str:
    """A length of time in words: `0.4 s`, `12 s`, `5 min`, `2 h 10 min`, `3 d 4 h`."""
    if seconds < _MINUTE_S:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004
    if seconds < _HOUR_S:
        return f"{seconds // _MINUTE_S:.0f} min"
    if seconds < _DAY_S:
        return f"{seconds // _HOUR_S:.0f} h {seconds % _HOUR_S // _MINUTE_S:.0f} min"
    return f"{seconds // _DAY_S:.0f} d {seconds % _DAY_S // _HOUR_S:.0f} h"


def _times(count: int) -> str:
    return "" if count == 1 else f", {count} times in a row"


def _limit(name: str, limits: Limits, unit: str = "") -> str | None:
    parts: dict[str, Any] = {"warning": limits.warning, "critical": limits.critical}
    said = ", ".join(f"{level} {value:g}{unit}" for level, value in parts.items() if value is not None)
    return f"{name}: {said}" if said else None


def _in_a_row(earlier: Sequence[Run], before: AlertState | None, statuses: tuple[str, ...]) -> int:
    """How often in a row it went so before now: by the runs, or by what was counted; a refusal leaves no run.

    A cancelled run says nothing, and neither does another kind of trouble.
    """
    by_runs = 0
    for run in earlier:
        if run.status in statuses:
            by_runs += 1
        elif run.status in DELIVERED:
            break
    return max(by_runs, before.count if before is not None else 0)
