"""What a message says: what is wrong with which sync since when, how many rows, why, and the command to type next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connector.alerts.conditions import lasting
from connector.state.clock import utc

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connector.alerts.states import Told
    from connector.project.definition import Sync
    from connector.state.redaction import Redaction
    from connector.state.runs import Run

TITLES = {
    "failed": "runs fail",
    "held": "held by a guardrail",
    "rejected": "rows are rejected",
    "row_count": "unusual number of rows",
    "slow": "slow run",
    "missed": "no run when one was due",
}
BRIEF = 300
"""The most characters of a text message to a phone."""


def alert_content(told: Told, sync: Sync, run: Run | None, now: float, redaction: Redaction) -> dict[str, Any]:
    """The message as JSON values: `title`, `text` (lines), `brief` (a few words), and each fact by its name."""
    finding, state = told.finding, told.state
    since = utc(state.since)
    facts: dict[str, Any] = {
        "event": f"alert.{told.change}",
        "sync": sync.name,
        "model": sync.model.name,
        "destination": sync.destination.name,
        "condition": finding.condition,
        "level": state.level,
        "level_before": told.before,
        "since": since,
        "at": utc(now),
        "what": finding.what,
        "reason": finding.reason,
        "error": finding.slug,
        "hint": finding.hint,
        "limit": finding.limit,
        "run_id": finding.run_id,
        "rows": run.rows if run is not None else None,
        "outcomes": run.outcomes if run is not None else None,
        "next": finding.next,
    }
    title = f"[{told.change}] {sync.name}: {TITLES[finding.condition]}"
    named = f" [{finding.slug}]" if finding.slug else ""
    lines = [
        f"sync {sync.name}: {finding.what}",
        _since(told, now),
        *([f"reason: {finding.reason}{named}"] if finding.reason else []),
        *([f"hint: {finding.hint}"] if finding.hint else []),
        *_counts(run),
        *([f"limit: {finding.limit}"] if finding.limit and state.level != "ok" else []),
        f"model {sync.model.name}, destination {sync.destination.name}" + (f", run {run.run_id}" if run else ""),
        *([f"next: {finding.next}"] if finding.next and state.level != "ok" else []),
    ]
    brief = f"{title}: {finding.what}" + (f" ({finding.slug})" if finding.slug else "")
    facts |= {"title": title, "text": "\n".join(lines), "brief": brief[:BRIEF]}
    return redacted(facts, redaction)


def run_content(event: str, run: Run, now: float, redaction: Redaction) -> dict[str, Any]:
    """What a webhook is told of a run: `event`, when, and the run as `connector run --json` shows it."""
    return redacted({"event": event, "at": utc(now), "sync": run.sync, "run": run.json()}, redaction)


def trial_content(channel: str, project: str, now: float) -> dict[str, Any]:
    """What `connector alert test` says."""
    title = f"[test] {channel}: this is a test"
    text = (
        f"the alert channel {channel} of the project {project} works\nsent at: {utc(now)}\nnext: connector alert list"
    )
    return {
        "event": "test",
        "at": utc(now),
        "level": "ok",
        "sync": "",
        "condition": "test",
        "title": title,
        "text": text,
        "brief": f"{title}. Sent at {utc(now)}",
    }


def redacted(content: Mapping[str, Any], redaction: Redaction) -> dict[str, Any]:
    """The same without any secret of the project, wherever one got into it."""
    return {key: _redacted(value, redaction) for key, value in content.items()}


def _redacted(value: Any, redaction: Redaction) -> Any:
    if isinstance(value, str):
        return redaction.text(value)
    if isinstance(value, dict):
        return redacted(value, redaction)
    return [_redacted(one, redaction) for one in value] if isinstance(value, list) else value


def _since(told: Told, now: float) -> str:
    state = told.state
    if state.level == "ok":
        return f"recovered: was {told.before} since {utc(state.since)} ({lasting(now - state.since)})"
    return f"since: {utc(state.since)}" + (f" ({lasting(now - state.since)})" if now > state.since else "")


def _counts(run: Run | None) -> list[str]:
    if run is None or run.rows is None:
        return []
    found = [f"{run.rows['queried']:,} queried"]
    found += [f"{run.rows[name]:,} {name}" for name in ("added", "changed", "removed") if run.rows.get(name)]
    outcomes = {name: sum(counts.values()) for name, counts in (run.outcomes or {}).items()}
    ended = [f"{count:,} {name.replace('_', ' ')}" for name, count in outcomes.items() if count]
    return [f"rows: {', '.join(found)}" + (f"; {', '.join(ended)}" if ended else "")]
