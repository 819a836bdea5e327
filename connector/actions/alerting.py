"""Alerts as people look after them: what is in trouble, who could not be told, quiet for a while, and a test."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from connector.alerts import look
from connector.alerts.channels import send
from connector.alerts.messages import trial_content
from connector.alerts.rules import rules_of, watches
from connector.errors import ConfigError
from connector.project.lengths import seconds_of
from connector.project.names import hint
from connector.state.clock import utc

if TYPE_CHECKING:
    from connector.errors import Problem
    from connector.ports import Clock
    from connector.project.definition import ChannelEntry, Definition
    from connector.state.alerts import AlertMessage, AlertState
    from connector.state.history import History


class Alerting:
    """The alerts of one project."""

    def __init__(self, definition: Definition, history: History, clock: Clock) -> None:
        self._definition = definition
        self._history = history
        self._clock = clock

    @property
    def channels(self) -> tuple[ChannelEntry, ...]:
        """The channels of connector.yml."""
        return () if self._definition.alerts is None else tuple(self._definition.alerts.channels.values())

    def states(self) -> tuple[AlertState, ...]:
        """What is in trouble, and what was and has recovered, of the syncs that somebody wants to hear of."""
        told = {
            name
            for name, sync in self._definition.syncs.items()
            if watches(self._definition) and rules_of(self._definition, sync).to
        }
        return tuple(
            state
            for state in self._history.alerts.states()
            if state.sync in told and state.finding.get("count") is not None
        )

    def waiting(self) -> tuple[AlertMessage, ...]:
        """The messages that have not been sent yet."""
        return self._history.alerts.waiting()

    def mutes(self) -> dict[str, float]:
        """Until when each muted sync is muted, in seconds since 1970."""
        return self._history.alerts.mutes()

    def mute(self, sync: str, duration: str) -> float:
        """Until when nobody is told anything of the sync, in seconds since 1970. Raises ConfigError `bad-duration`."""
        try:
            until = self._clock.now() + seconds_of(duration)
        except ValueError as error:
            raise ConfigError(f"'{duration}' {error}", slug="bad-duration", hint="such as --for 2h") from None
        self._history.alerts.mute(sync, until)
        return until

    def unmute(self, sync: str) -> bool:
        """Whether the sync was muted. What it is in now is told with the next look."""
        return self._history.alerts.unmute(sync)

    def test(self, channel: str) -> None:
        """Nothing, after the channel has taken a test message. Raises ConfigError `alert-not-sent`."""
        known = {entry.name: entry for entry in self.channels}
        if channel not in known:
            advice = hint(channel, known, "channels") or "connector.yml names none under alerts: channels:"
            raise ConfigError(f"there is no alert channel '{channel}'", slug="unknown-channel", hint=advice)
        now = self._clock.now()
        content = trial_content(channel, self._definition.root.name, now)
        reason = send(known[channel], content, f"msg_test_{now:.0f}", now)
        if reason is not None:
            message = f"the alert channel '{channel}' did not take the test: {reason}"
            where = "check its settings, and whether this machine may reach the service"
            raise ConfigError(message, slug="alert-not-sent", at=known[channel].at, hint=where)

    def look(self) -> tuple[Problem, ...]:
        """What could not be sent, after looking for runs that are overdue or take too long; see `alerts.look`."""
        return look(self._definition, self._history, self._clock)

    def json(self) -> dict[str, Any]:
        """Everything as `connector alert list --json` prints it."""
        return {
            "channels": [{"name": entry.name, "type": entry.type} for entry in self.channels],
            "alerts": [_state_json(state) for state in self.states()],
            "mutes": {sync: utc(until) for sync, until in self.mutes().items()},
            "waiting": [_message_json(message) for message in self.waiting()],
        }


def _state_json(state: AlertState) -> dict[str, Any]:
    times = {"since": utc(state.since), "changed_at": utc(state.changed_at)}
    return {**asdict(state), **times}


def _message_json(message: AlertMessage) -> dict[str, Any]:
    return {
        "id": message.delivery,
        "channel": message.channel,
        "kind": message.kind,
        "sync": message.sync,
        "title": message.content.get("title", message.condition),
        "created_at": utc(message.created_at),
        "next_at": utc(message.next_at),
        "attempts": message.attempts,
        "error": message.error,
    }
