"""What happened, judged and told: after a run, when one could not begin, and every minute while nothing happens."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Any

from connector.alerts import conditions
from connector.alerts.channels import secrets_of
from connector.alerts.conditions import Finding, judge_refusal, judge_run
from connector.alerts.messages import alert_content, run_content
from connector.alerts.overdue import Overdue, overdue
from connector.alerts.rules import Rules, rules_of, watches
from connector.alerts.sending import flush, not_sent
from connector.alerts.states import step, tell, unwatched
from connector.project.alert_settings import WebhookChannel
from connector.state.alerts import NewMessage
from connector.state.redaction import Redaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pydantic import BaseModel

    from connector.alerts.conditions import Condition
    from connector.alerts.states import Told
    from connector.errors import Problem
    from connector.ports import Clock
    from connector.project.definition import Definition, Sync
    from connector.state.alerts import AlertState, Decision
    from connector.state.history import History
    from connector.state.runs import Run

_LEAST_SECRET = 6


def run_started(definition: Definition, history: History, sync: str, run_id: str, clock: Clock) -> bool:
    """Whether anybody is to be told that a run has started; then a message for each of these waits to be sent."""
    watch = _Watch.of(definition, history, clock, sync)
    return watch is not None and watch.event("run.started", history.runs.get(run_id))


def after_run(
    definition: Definition, history: History, run: Run, clock: Clock, reason: str | None = None
) -> tuple[Problem, ...]:
    """What could not be sent, after judging a run that has ended and telling whom it concerns.

    `reason` is why most of its rejected rows were. Costs nothing in a project without alert channels.
    """
    watch = _Watch.of(definition, history, clock, run.sync)
    if watch is None:
        return ()
    earlier = watch.earlier(run)
    late = overdue(history, clock.now()).get(run.sync)
    watch.judge(
        lambda before: (*judge_run(watch.rules, run, earlier, before, reason), *watch.missed(late)),
        run,
    )
    for dead in reversed([*takewhile(lambda one: one.status == "interrupted", earlier)]):
        # Whoever was told that it started has not heard of its end: its process died, and this run settled it.
        watch.event_once("run.finished", dead)
    watch.event("run.finished", run)
    unsent = {problem.message: problem for problem in flush(definition, history, clock)}
    for message in history.alerts.waiting():
        # What was tried while the run went on is told with the run, too.
        if message.run_id == run.run_id and message.error is not None:
            problem = not_sent(message.channel, message.error)
            unsent[problem.message] = problem
    return tuple(unsent.values())


def not_started(
    definition: Definition, history: History, sync: str, error: Problem, clock: Clock, *, begun: Run | None = None
) -> tuple[Problem, ...]:
    """What could not be sent, after telling whom it concerns that a run could not begin because of this error.

    Or that it broke off: then `begun` is the run, which the next one will settle.
    """
    watch = _Watch.of(definition, history, clock, sync)
    if watch is None:
        return ()
    earlier = watch.earlier(begun)
    watch.judge(lambda before: (judge_refusal(watch.rules, error, earlier, before.get("failed"), begun),), begun)
    return flush(definition, history, clock)


def look(definition: Definition, history: History, clock: Clock) -> tuple[Problem, ...]:
    """What could not be sent, after looking for runs that are overdue or take too long, and for mutes that are over.

    Called every minute by whoever waits for the next run. Sends again what could not be sent before.
    """
    if not watches(definition):
        return ()
    late = overdue(history, clock.now())
    going = {run.sync: run for run in reversed(history.runs.unfinished())}
    states: dict[str, list[AlertState]] = {}
    for state in history.alerts.states():
        states.setdefault(state.sync, []).append(state)
    for name in states.keys() - definition.syncs.keys():
        # A sync whose file cannot be read now is not gone.
        if not any((definition.root / "sync_configs" / f"{name}{suffix}").exists() for suffix in (".yml", ".yaml")):
            history.alerts.forget(name)
    for name in definition.syncs:
        watch = _Watch.of(definition, history, clock, name)
        if watch is None:
            continue
        run = going.get(name)
        found = [*watch.missed(late.get(name)), *(watch.still_going(run) if run is not None else ())]
        known = states.get(name, ())
        # Each decision is a write: a quiet sync costs none.
        overdue_so_far = any(state.condition == "missed" and state.level != "ok" for state in known)
        untold = any(state.told != state.level for state in known)
        if overdue_so_far or untold or any(finding.level != "ok" for finding in found):
            watch.judge(lambda _, found=found: found, run)  # type: ignore[misc]
    return flush(definition, history, clock)


class _Watch:
    """One sync, watched by its rules."""

    def __init__(self, definition: Definition, history: History, clock: Clock, sync: Sync, rules: Rules) -> None:
        self.definition = definition
        self.history = history
        self.clock = clock
        self.sync = sync
        self.rules = rules
        self._redaction = Redaction(project_secrets(definition))

    @classmethod
    def of(cls, definition: Definition, history: History, clock: Clock, name: str) -> _Watch | None:
        """The watch over the sync of that name, or None where nobody wants to be told of it."""
        sync = definition.syncs.get(name)
        if sync is None or not watches(definition):
            return None
        rules = rules_of(definition, sync)
        return cls(definition, history, clock, sync, rules) if rules.to else None

    def earlier(self, run: Run | None) -> Sequence[Run]:
        """The runs before this one, or all of them, as many as a mean may need, the newest first."""
        found = self.history.runs.list(self.sync.name, limit=3 * self.rules.mean_of + 20)
        if run is None:
            return found
        return [one for one in found if (one.started_at, one.run_id) < (run.started_at, run.run_id)]

    def missed(self, late: Overdue | None) -> tuple[Finding, ...]:
        """Whether a run is overdue."""
        due_at, why = (None, None) if late is None else (late.due_at, late.why)
        return (conditions.missed(self.rules, self.sync.name, due_at, self.clock.now(), why),)

    def still_going(self, run: Run) -> Iterable[Finding]:
        """That the run takes too long, as soon as it does."""
        comparable = [
            one for one in self.earlier(run) if one.status in conditions.DELIVERED and conditions.is_whole(one)
        ]
        found = conditions.slow(self.rules, run, self.clock.now() - run.started_at, comparable)
        if found.level != "ok":
            yield found

    def judge(self, found: Callable[[Mapping[str, AlertState]], Iterable[Finding]], run: Run | None) -> None:
        """Nothing, after writing down what was found, and what is to be said about it to whom."""
        now, sync = self.clock.now(), self.sync.name

        def decision(before: Mapping[str, AlertState], muted: bool) -> Decision:
            findings = {finding.condition: finding for finding in found(before)}
            findings |= {finding.condition: finding for finding in unwatched(before, watched(self.rules))}
            states: list[AlertState] = []
            told: list[Told] = []
            for condition in conditions.CONDITIONS:
                finding, state = findings.get(condition), before.get(condition)
                after, news = None, None
                if finding is not None:
                    after, news = step(sync, state, finding, muted=muted, now=now)
                elif state is not None:
                    after, news = tell(state, muted=muted)
                states += [after] if after is not None and after != state else []
                told += [news] if news is not None else []
            return states, [message for news in told for message in self._messages(news, run)]

        self.history.alerts.decide(sync, decision)

    def event(self, event: str, run: Run) -> bool:
        """Whether a webhook wants to be told of this event; then a message for each of these waits to be sent."""
        content = run_content(event, run, self.clock.now(), self._redaction)
        messages = [
            NewMessage(name, "event", run.sync, event, content, run.run_id)
            for name, channel in self._channels()
            if isinstance(channel, WebhookChannel) and event in channel.events
        ]
        self.history.alerts.queue(messages)
        return bool(messages)

    def event_once(self, event: str, run: Run) -> None:
        """Nothing, after `event`, unless it was told before."""
        if not any(message.condition == event for message in self.history.alerts.messages(run_id=run.run_id)):
            self.event(event, run)

    def _messages(self, told: Told, run: Run | None) -> Iterable[NewMessage]:
        about = run if run is not None and told.finding.run_id == run.run_id else None
        content = alert_content(told, self.sync, about, self.clock.now(), self._redaction)
        for name, channel in self._channels():
            if not isinstance(channel, WebhookChannel) or "alert" in channel.events:
                finding = told.finding
                yield NewMessage(name, "alert", self.sync.name, finding.condition, content, finding.run_id)

    def _channels(self) -> Iterable[tuple[str, Any]]:
        alerts = self.definition.alerts
        channels = alerts.channels if alerts is not None else {}
        return [(name, channels[name].settings) for name in self.rules.to if name in channels]


def watched(rules: Rules) -> tuple[Condition, ...]:
    """The conditions that the rules set any limit to."""
    limits = {
        "failed": (rules.failed,),
        "held": (rules.held,),
        "rejected": (rules.rejected_percent,),
        "row_count": (rules.row_count_percent,),
        "slow": (rules.slow_factor, rules.slow_after),
        "missed": (rules.missed,),
    }
    return tuple(
        condition
        for condition in conditions.CONDITIONS
        if any(one.warning is not None or one.critical is not None for one in limits[condition])
    )


def project_secrets(definition: Definition) -> set[str]:
    """Every secret that the project's files hold: none may get into a message, whoever wrote the text."""
    found: set[str] = set()
    settings = [source.settings for source in definition.sources.values()]
    settings += [destination.settings for destination in definition.destinations.values()]
    for each in settings:
        found |= set(_secrets(each))
    for channel in definition.alerts.channels.values() if definition.alerts is not None else ():
        found |= set(secrets_of(channel.settings))
    return {secret for secret in found if len(secret) >= _LEAST_SECRET}


def _secrets(settings: BaseModel) -> Iterable[str]:
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if hasattr(value, "get_secret_value"):
            yield str(value.get_secret_value())
