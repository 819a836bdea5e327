"""The loop that keeps the syncs going: what is due is asked for, what was asked for is started, what died is settled.

One scheduler works on a state directory at a time; a second one stands by and takes over when the first one ends, in
whatever way. All it has to remember lies in the history: the next due times, the queue, the pauses.
"""

from __future__ import annotations

import logging
import os
import socket
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from connector.errors import Problem, StateError
from connector.schedule.children import RECOVERY, Children
from connector.schedule.dues import AFTER, SCHEDULE, ask_for_due, ask_for_followers, note
from connector.state.locks import scheduler_lock
from connector.state.triggers import SCOPE

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Mapping
    from random import Random

    from connector.ports import Clock
    from connector.schedule.children import Child, Order
    from connector.schedule.dues import Asked
    from connector.schedule.files import Loaded, ProjectFiles
    from connector.state.history import History
    from connector.state.triggers import Trigger

LOOK_S = 0.2
"""The longest pause between two looks at the queue."""

BY_ITSELF = (SCHEDULE, AFTER, RECOVERY)
"""Who asks for runs that wait until their sync can be read again; nobody looks at these at the moment."""

_log = logging.getLogger("connector.schedule")


@dataclass(frozen=True, slots=True)
class Chore:
    """Something that is done once in a while, the first time after `every_s` seconds."""

    name: str
    every_s: float
    do: Callable[[Loaded], None]


@dataclass(frozen=True, slots=True)
class SchedulerState:
    """What a scheduler is doing; times are seconds since 1970.

    `active` is False while another scheduler works on this state directory, `stopping` once nothing new is started.
    `problems` is what is wrong with the project's files, `trouble` what the last look at the state met.
    """

    active: bool = False
    stopping: bool = False
    looked_at: float | None = None
    running: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    trouble: Problem | None = None


class Scheduler:
    """The scheduler of one project. `look` does one round; `run` does one after the other until it is stopped."""

    def __init__(
        self,
        files: ProjectFiles,
        history: History,
        clock: Clock,
        random: Random,
        launch: Callable[[Order], Child],
        *,
        chores: tuple[Chore, ...] = (),
    ) -> None:
        self._files = files
        self._history = history
        self._clock = clock
        self._chores = {chore: clock.monotonic() + chore.every_s for chore in chores}
        self._lock = scheduler_lock(history.state_dir)
        owner = f"{socket.gethostname()}:{os.getpid()}:{random.getrandbits(32):08x}"
        self._children = Children(history, clock, owner, launch)
        self._said: object = None
        self.state = SchedulerState()

    def run(self, stop: threading.Event, *, grace_s: float | None = None) -> None:
        """Nothing, after `stop` was set and the runs have ended: by themselves, or cancelled after `grace_s` seconds.

        `grace_s` is the project's own setting by default. Trouble with the state is met again with every look.
        """
        try:
            while not stop.is_set():
                self._or_say_why_not(self.look)
                stop.wait(LOOK_S)
            self.drain(self._grace_s() if grace_s is None else grace_s)
        finally:
            self._lock.release()

    def look(self) -> None:
        """Nothing, after one round. Raises StateError."""
        now, loaded = self._clock.now(), self._files.read()
        self._say_problems(loaded)
        if not self._leads():
            self.state = replace(self.state, active=False, looked_at=now, problems=loaded.problems)
            return
        note(loaded, self._history, now)
        _say(ask_for_due(loaded, self._history, now))
        self._children.reap()
        _say(ask_for_followers(loaded, self._history, now))
        self._start(loaded, self._runnable(loaded))
        running = {sync: trigger.run_id for sync, trigger in self._children.going.items()}
        self.state = SchedulerState(active=True, looked_at=now, running=running, problems=loaded.problems)
        self._do_chores(loaded)

    def drain(self, grace_s: float) -> None:
        """Nothing, after the runs that go on have ended; nothing new is started.

        Those that have not after `grace_s` seconds are cancelled as by Ctrl-C, and asked for again for the next time.
        """
        deadline = self._clock.monotonic() + grace_s
        cancelled: dict[str, Trigger] = {}

        def wait_for_them() -> None:
            self._children.reap()
            if self._clock.monotonic() >= deadline:
                self._cancel(cancelled)

        self._or_say_why_not(wait_for_them)
        while self._children.going:
            self.state = replace(self.state, stopping=True, looked_at=self._clock.now())
            self._clock.sleep(LOOK_S / 2)
            self._or_say_why_not(wait_for_them)
        self._or_say_why_not(lambda: self._ask_again(cancelled.values()))
        self.state = replace(self.state, stopping=True, running={})

    def _cancel(self, cancelled: dict[str, Trigger]) -> None:
        for trigger in self._children.going.values():
            if trigger.run_id not in cancelled:
                self._history.cancels.ask(trigger.run_id)
                cancelled[trigger.run_id] = trigger
                _log.info("run %s of %s is cancelled", trigger.run_id, trigger.sync)

    def _ask_again(self, cancelled: Iterable[Trigger]) -> None:
        for trigger in cancelled:
            run = self._history.runs.find(trigger.run_id)
            if run is not None and run.status == "cancelled":
                options = {name: trigger.options[name] for name in SCOPE if name in trigger.options}
                self._history.triggers.ask(trigger.sync, trigger=RECOVERY, options=options)

    # --- one round --------------------------------------------------------------------------------------------------

    def _leads(self) -> bool:
        """Whether this scheduler is the one that works here; it takes over as soon as no other one does."""
        if self._lock.held:
            return True
        if not self._lock.acquire():
            self._say_once("standing by", f"process {self._lock.holder() or 'unknown'} runs the syncs; standing by")
            return False
        self._children.adopt()
        _log.info("the scheduler has started")
        return True

    def _start(self, loaded: Loaded, runnable: set[str]) -> None:
        # To claim is to write: a quiet server leaves the database alone.
        if loaded.definition is not None and runnable:
            room = loaded.definition.serve.runs_at_once - len(self._children.going)
            self._children.start(loaded.definition, room, runnable)

    def _runnable(self, loaded: Loaded) -> set[str]:
        """The syncs of which a run waits that can begin, after settling what cannot: whoever asked is told why.

        What the schedule asked for waits until the sync is mended, unless its file is gone.
        """
        runnable = set()
        for trigger in self._history.triggers.waiting():
            if trigger.sync in loaded.syncs:
                runnable.add(trigger.sync)
                continue
            problem = loaded.broken.get(trigger.sync)
            if trigger.trigger in BY_ITSELF and problem is not None:
                continue
            if problem is None:
                problem = Problem(f"there is no sync '{trigger.sync}'", "unknown-sync", hint="its file is gone")
            if self._history.triggers.refuse(trigger.id, problem):
                _log.warning("run %s of %s is refused: %s", trigger.run_id, trigger.sync, problem)
        return runnable

    def _do_chores(self, loaded: Loaded) -> None:
        now = self._clock.monotonic()  # a clock that is set neither holds them up nor brings them all at once
        for chore, due_at in self._chores.items():
            if now >= due_at:
                self._chores[chore] = now + chore.every_s
                chore.do(loaded)

    def _or_say_why_not(self, do: Callable[[], None]) -> None:
        try:
            do()
        except StateError as error:
            # The next look meets it again; the runs that go on meet it themselves.
            self.state = replace(self.state, looked_at=self._clock.now(), trouble=error.problem)
            self._say_once(error.problem, str(error), logging.ERROR)

    # --- pauses and words -------------------------------------------------------------------------------------------

    def _grace_s(self) -> float:
        definition = self._files.read().definition
        return 0.0 if definition is None else definition.serve.grace_seconds

    def _say_problems(self, loaded: Loaded) -> None:
        if loaded.problems:
            broken = ", ".join(sorted(loaded.broken)) or "none"
            words = "; ".join(map(str, loaded.problems))
            self._say_once(loaded.problems, f"the project has problems (syncs that wait: {broken}): {words}")

    def _say_once(self, about: object, words: str, level: int = logging.WARNING) -> None:
        if about != self._said:
            self._said = about
            _log.log(level, "%s", words)


def _say(asked: Asked) -> None:
    for trigger in asked.triggers:
        _log.info("run %s of %s is due", trigger.run_id, trigger.sync, extra={"fields": {"sync": trigger.sync}})
    for sync, why in asked.passed:
        _log.info("the turn of %s passes: %s", sync, why, extra={"fields": {"sync": sync, "why": why}})
