"""The runs that go on: started in processes of their own, watched, and settled when their process has died."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from connector.errors import Problem
from connector.state.locks import held, run_lock
from connector.state.runs import RUNNING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from connector.ports import Clock
    from connector.project.definition import Definition
    from connector.state.history import History
    from connector.state.triggers import Trigger

RECOVERY = "recovery"
"""Who asks for a run that settles what a dead one has left behind, and goes on with it."""

ATTEMPTS = 3
"""How often a process is started for what was asked for once, when one after the other dies."""

PAUSE_S = 5.0

_log = logging.getLogger("connector.schedule")


class Child(Protocol):
    """A process that runs what was asked for."""

    @property
    def pid(self) -> int | None:
        """Its number."""

    def exit_code(self) -> int | None:
        """How it ended; None as long as it goes on."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a process is started for. It works only as long as the trigger belongs to `owner`, for that attempt."""

    definition: Definition
    trigger_id: int
    sync: str
    owner: str
    attempts: int


class Children:
    """The processes of one scheduler, and those that an earlier one left behind.

    A process settles its trigger itself. What is done here is for those that die first.
    """

    def __init__(self, history: History, clock: Clock, owner: str, launch: Callable[[Order], Child]) -> None:
        self._history = history
        self._clock = clock
        self._owner = owner
        self._launch = launch
        self._own: dict[int, tuple[Trigger, Child]] = {}
        self._left: dict[int, Trigger] = {}

    @property
    def going(self) -> Mapping[str, Trigger]:
        """What goes on now, by sync."""
        own = (trigger for trigger, _ in self._own.values())
        return {trigger.sync: trigger for trigger in (*self._left.values(), *own)}

    def adopt(self) -> None:
        """Nothing, after taking over what an earlier scheduler has started and did not see the end of."""
        for trigger in self._history.triggers.started():
            if trigger.id not in self._own:
                self._left[trigger.id] = trigger
                _say("taken over", trigger)

    def start(self, definition: Definition, room: int, syncs: set[str]) -> int:
        """How many runs were started: the oldest ones that wait, one a sync, and `room` at most."""
        claimed = self._history.triggers.claim(self._owner, limit=room, syncs=syncs - set(self.going))
        for trigger in claimed:
            order = Order(definition, trigger.id, trigger.sync, self._owner, trigger.attempts)
            try:
                self._own[trigger.id] = (trigger, self._launch(order))
            except OSError as error:  # no memory or no room for a further process, or the server of processes is gone
                self._history.triggers.requeue(trigger.id, not_before=self._clock.now() + PAUSE_S, counted=False)
                _say("put back", trigger, f"no process could be started: {error}")
            else:
                _say("started", trigger)
        return len(claimed)

    def reap(self) -> int:
        """How many runs have ended since the last look, and are settled."""
        ended = 0
        for trigger, child in list(self._own.values()):
            code = child.exit_code()
            if code is None:
                continue
            del self._own[trigger.id]
            if self._is_over(trigger, f"its process {child.pid} ended with {code}"):
                ended += 1
            else:
                self._left[trigger.id] = trigger  # only whoever told us of its end has died
        for trigger in list(self._left.values()):
            # That a scheduler dies is not held against what it was about to start.
            if self._is_over(trigger, "its process died with the scheduler that had started it", counted=False):
                del self._left[trigger.id]
                ended += 1
        return ended

    def _is_over(self, trigger: Trigger, why: str, *, counted: bool = True) -> bool:
        """Whether nobody works on the trigger any more; then it is settled, or waits again."""
        now = self._history.triggers.get(trigger.id)
        if now is None or now.state != "started" or now.attempts != trigger.attempts:
            _say("ended" if now is None or now.state != "waiting" else "put back", trigger)
            return True
        # A process that holds no lock has not begun yet, or has died. While the lock is held here, it cannot begin;
        # and afterwards it sees that the trigger is not its own any more.
        with held(run_lock(self._history.state_dir, trigger.sync).path) as free:
            if free:
                words = f"the run of '{trigger.sync}' died: {why}"
                problem = Problem(words, "run-died", hint="the next run goes on from there")
                bury(self._history, now, problem, counted=counted)
            return free


def bury(history: History, trigger: Trigger, problem: Problem, *, counted: bool = True) -> None:
    """Nothing, after settling a trigger whose process died; what is left to do is asked for, `ATTEMPTS` times in all.

    A run that had not begun waits again, as often as the attempts are not `counted`. One that had begun is settled by
    the next run of its sync, which is asked for now.
    """
    run = history.runs.find(trigger.run_id)
    if run is not None and run.status != RUNNING:
        history.triggers.settle(trigger.id)
        _say("ended", trigger)
    elif run is None and not counted:
        history.triggers.requeue(trigger.id, counted=False)
        _say("put back", trigger, str(problem))
    elif trigger.attempts >= ATTEMPTS:
        history.triggers.settle(trigger.id, problem)
        _say("given up", trigger, str(problem))
    elif run is None:
        history.triggers.requeue(trigger.id)
        _say("put back", trigger, str(problem))
    else:
        history.triggers.settle_and_ask_again(trigger.id, problem, trigger=RECOVERY)
        _say("died, and is gone on with", trigger, str(problem))


def _say(what: str, trigger: Trigger, why: str | None = None) -> None:
    fields = {"sync": trigger.sync, "run_id": trigger.run_id, "trigger": trigger.trigger, "why": why}
    behind = f": {why}" if why else ""
    level = logging.WARNING if why else logging.INFO
    _log.log(level, "run %s of %s %s%s", trigger.run_id, trigger.sync, what, behind, extra={"fields": fields})
