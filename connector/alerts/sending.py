"""The messages that wait, sent: each until its channel has taken it, and none of them twice at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.alerts.channels import send
from connector.errors import ConfigError, Problem

if TYPE_CHECKING:
    from connector.ports import Clock
    from connector.project.definition import ChannelEntry, Definition
    from connector.state.alerts import AlertMessage
    from connector.state.history import History

LEASE_S = 120.0
"""Longer than any channel takes to answer: after this time whoever claimed the message is dead."""

BUDGET_S = 20.0
"""How long a run stays to send; what is left then is sent by the next run, or by the scheduler within a minute."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 30.0, 1800.0
GIVE_UP_S = 86_400.0
"""An alert of yesterday is no alert any more."""


def flush(definition: Definition, history: History, clock: Clock) -> tuple[Problem, ...]:
    """What could not be sent just now, a problem a message; it is tried again later.

    After one failure a channel is left alone for the rest of this call: it is down, and each attempt waits.
    """
    failed: dict[str, Problem] = {}
    began = clock.monotonic()
    while clock.monotonic() - began < BUDGET_S:
        message = history.alerts.claim(LEASE_S, without=failed)
        if message is None:
            break
        entry = definition.alerts.channels.get(message.channel) if definition.alerts is not None else None
        problem = _deliver(entry, message, history, clock)
        if problem is not None:
            failed[message.channel] = problem
        history.alerts.prune()
    return tuple(failed.values())


def _deliver(entry: ChannelEntry | None, message: AlertMessage, history: History, clock: Clock) -> Problem | None:
    if entry is None:
        history.alerts.give_up(message.channel, clock.now() + 1, "connector.yml has no such channel any more")
        return None
    hint = None
    try:
        reason = send(entry, message.content, message.delivery, clock.now())
    except ConfigError as error:
        reason, hint = error.problem.message, error.problem.hint
    if reason is None:
        history.alerts.sent(message.id)
        return None
    now = clock.now()
    history.alerts.failed(message.id, reason, again_at=now + pause(message.attempts))
    history.alerts.give_up(message.channel, now - GIVE_UP_S, reason)
    return not_sent(message.channel, reason, hint)


def not_sent(channel: str, reason: str, hint: str | None = None) -> Problem:
    """What is said about a message that its channel did not take."""
    advice = hint or "it is tried again by the next run and by `connector serve`; `connector alert list` shows it"
    return Problem(f"alert channel '{channel}': {reason}", "alert-not-sent", hint=advice)


def pause(attempts: int) -> float:
    """Seconds until the next attempt, after so many."""
    return float(min(FIRST_PAUSE_S * 2 ** min(attempts - 1, 10), LONGEST_PAUSE_S))
