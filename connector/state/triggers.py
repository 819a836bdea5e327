"""Runs that were asked for: a queue that outlives every process, at most one waiting run a sync (and scope).

    waiting ──claim──► started ──settle──► done
       │  ▲               │
       │  └────requeue────┘   another run of the sync went on, or the process died before the run began
       └──withdraw──► withdrawn

The name of the run is given out when it is asked for, so that whoever asked can follow it from then on.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import delete, insert, select, update

from connector.errors import ConfigError, StateError
from connector.state.runs import new_run_id
from connector.state.tables import runs, triggers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, RowMapping

    from connector.errors import Problem
    from connector.ports import Clock
    from connector.state.database import Database

State = Literal["waiting", "started", "done", "withdrawn"]

SCOPE = ("row", "limit")
"""The options that say which rows a run is about: runs of different rows do not stand for each other."""

FLAGS = ("full_resync", "resend_events", "force")
OPTIONS = (*SCOPE, *FLAGS)


@dataclass(frozen=True, slots=True)
class Trigger:
    """A run that was asked for, as the queue holds it; times are seconds since 1970.

    `run_id` is the name the run has, or will have. `trigger` says who asked: "schedule", "after", "api", "web", ...
    `due_at` is the time of the schedule that it stands for, `last_due_at` the latest one, where several came while it
    waited. `options` are those of `Project.run`: full_resync, resend_events, row, limit, force. `attempts` counts how
    often a process was started for it. `error` is why there is no finished run: slug, message, at, hint.
    """

    id: int
    run_id: str
    sync: str
    trigger: str
    state: State
    asked_at: float
    due_at: float | None
    last_due_at: float | None
    options: dict[str, Any]
    attempts: int
    not_before: float | None
    owner: str | None
    started_at: float | None
    settled_at: float | None
    error: dict[str, Any] | None

    @classmethod
    def of(cls, row: RowMapping) -> Trigger:
        """The trigger of a row of the table."""
        found = dict(row)
        return cls(**found | {"options": found["options"] or {}})


class Triggers:
    """The runs asked for on one state directory. Every change is one transaction."""

    def __init__(self, database: Database, clock: Clock, random: Random | None = None) -> None:
        self._database = database
        self._clock = clock
        self._random = random or SystemRandom()

    # --- asking -----------------------------------------------------------------------------------------------------

    def ask(
        self, sync: str, *, trigger: str, due_at: float | None = None, options: Mapping[str, Any] | None = None
    ) -> Trigger:
        """The waiting trigger: a new one, or the one that waits already, which then stands for both.

        One that waits takes over the flags (full_resync, resend_events, force) that are asked for now. A run of other
        rows (row, limit) waits beside it. A run that goes on does not count as waiting.
        """
        with self._database.write() as connection:
            return self.ask_within(connection, sync, trigger=trigger, due_at=due_at, options=options)

    def ask_within(
        self,
        connection: Connection,
        sync: str,
        *,
        trigger: str,
        due_at: float | None = None,
        options: Mapping[str, Any] | None = None,
        attempts: int = 0,
    ) -> Trigger:
        """The waiting trigger, as `ask` gives it, as a part of a transaction that writes something else, too."""
        wanted = _options(options or {})
        waiting = _select(connection, triggers.c.sync == sync, triggers.c.state == "waiting")
        for found in waiting:
            if _scope(found.options) == _scope(wanted):
                return _joined(connection, found, due_at, wanted)
        values = {
            "run_id": self._new_run_id(connection),
            "sync": sync,
            "trigger": trigger,
            "state": "waiting",
            "asked_at": self._clock.now(),
            "due_at": due_at,
            "last_due_at": due_at,
            "options": wanted,
            "attempts": attempts,
        }
        connection.execute(insert(triggers).values(values))
        return _only(connection, triggers.c.run_id == values["run_id"])

    def withdraw(self, trigger_id: int) -> bool:
        """Whether the trigger still waited; then it never runs."""
        now = self._clock.now()
        return self._move(trigger_id, "waiting", {"state": "withdrawn", "settled_at": now})

    # --- looking ----------------------------------------------------------------------------------------------------

    def get(self, trigger_id: int) -> Trigger | None:
        """The trigger, or None."""
        return self._first(triggers.c.id == trigger_id)

    def by_run(self, run_id: str) -> Trigger | None:
        """The trigger of a run, or None where the run was not asked for through the queue."""
        return self._first(triggers.c.run_id == run_id)

    def waiting(self, sync: str | None = None) -> tuple[Trigger, ...]:
        """The triggers that wait, of one sync or of all, the oldest first."""
        return self._in_state("waiting", sync)

    def started(self, sync: str | None = None) -> tuple[Trigger, ...]:
        """The triggers whose process was started and that are not settled yet, the oldest first."""
        return self._in_state("started", sync)

    def list(self, sync: str | None = None, *, limit: int | None = None, offset: int = 0) -> tuple[Trigger, ...]:
        """The triggers of one sync or of all, the newest first."""
        query = select(triggers) if sync is None else select(triggers).where(triggers.c.sync == sync)
        with self._database.read() as connection:
            found = connection.execute(query.order_by(triggers.c.id.desc()).limit(limit).offset(offset))
            return tuple(Trigger.of(row) for row in found.mappings())

    # --- running ----------------------------------------------------------------------------------------------------

    def claim(self, owner: str, *, limit: int, syncs: frozenset[str] | set[str] | None = None) -> tuple[Trigger, ...]:
        """Up to `limit` triggers that are started now and belong to `owner`, the oldest first, one a sync.

        A sync with a started trigger is left out; so are all but `syncs`, where these are given.
        """
        if limit <= 0:
            return ()
        now = self._clock.now()
        with self._database.write() as connection:
            busy = {found.sync for found in _select(connection, triggers.c.state == "started")}
            claimed = []
            for found in _select(connection, triggers.c.state == "waiting"):
                later = found.not_before is not None and found.not_before > now
                if later or found.sync in busy or (syncs is not None and found.sync not in syncs):
                    continue
                busy.add(found.sync)
                changes = {"state": "started", "owner": owner, "started_at": now, "attempts": found.attempts + 1}
                connection.execute(update(triggers).where(triggers.c.id == found.id).values(changes))
                claimed.append(_only(connection, triggers.c.id == found.id))
                if len(claimed) == limit:
                    break
            return tuple(claimed)

    def settle(self, trigger_id: int, error: Problem | None = None) -> bool:
        """Whether it was started, and is done now: its run has ended, or could not begin because of `error`."""
        values = {"state": "done", "settled_at": self._clock.now(), "error": None if error is None else _error(error)}
        return self._move(trigger_id, "started", values)

    def refuse(self, trigger_id: int, error: Problem) -> bool:
        """Whether the trigger still waited; then it is done, and its run never begins because of `error`."""
        values = {"state": "done", "settled_at": self._clock.now(), "error": _error(error)}
        return self._move(trigger_id, "waiting", values)

    def settle_and_ask_again(self, trigger_id: int, error: Problem, *, trigger: str) -> Trigger | None:
        """The trigger of a further run of the same rows, after settling this one, whose process died.

        It keeps the count of attempts, and none of the flags. None where the trigger was settled before.
        """
        with self._database.write() as connection:
            found = _select(connection, triggers.c.id == trigger_id, triggers.c.state == "started")
            if not found:
                return None
            (dead,) = found
            values = {"state": "done", "settled_at": self._clock.now(), "error": _error(error)}
            connection.execute(update(triggers).where(triggers.c.id == dead.id).values(values))
            scope = {name: dead.options[name] for name in SCOPE if name in dead.options}
            return self.ask_within(connection, dead.sync, trigger=trigger, options=scope, attempts=dead.attempts)

    def requeue(
        self,
        trigger_id: int,
        *,
        not_before: float | None = None,
        counted: bool = True,
        of: tuple[str, int] | None = None,
    ) -> bool:
        """Whether the trigger was started, and waits again now, not to be started before that moment.

        With `counted=False` the attempt does not count: another run of the sync was in the way. `of`: only if it is
        started in the name of this owner, for this attempt.
        """
        attempts = triggers.c.attempts if counted else triggers.c.attempts - 1
        values = {"state": "waiting", "owner": None, "started_at": None, "not_before": not_before, "attempts": attempts}
        own = () if of is None else (triggers.c.owner == of[0], triggers.c.attempts == of[1])
        return self._move(trigger_id, "started", values, *own)

    def owned(self, trigger_id: int, owner: str, attempts: int) -> bool:
        """Whether the trigger is still started in the name of `owner`, for that attempt."""
        found = self.get(trigger_id)
        return found is not None and (found.state, found.owner, found.attempts) == ("started", owner, attempts)

    def prune(self, before: float) -> int:
        """How many triggers that were settled before that moment were forgotten."""
        with self._database.write() as connection:
            return connection.execute(delete(triggers).where(triggers.c.settled_at < before)).rowcount

    def _new_run_id(self, connection: Connection) -> str:
        """A name that no run has and that none was promised: dozens may be asked for in one second."""
        while True:
            run_id = new_run_id(self._clock, self._random)
            query = select(triggers.c.run_id).where(triggers.c.run_id == run_id)
            if connection.execute(query.union(select(runs.c.run_id).where(runs.c.run_id == run_id))).first() is None:
                return run_id

    def _move(self, trigger_id: int, state: State, values: Mapping[str, Any], *conditions: ColumnElement[bool]) -> bool:
        chosen = (triggers.c.id == trigger_id, triggers.c.state == state, *conditions)
        statement = update(triggers).where(*chosen).values(dict(values))
        with self._database.write() as connection:
            return connection.execute(statement).rowcount == 1

    def _first(self, *conditions: ColumnElement[bool]) -> Trigger | None:
        with self._database.read() as connection:
            found = _select(connection, *conditions)
            return found[0] if found else None

    def _in_state(self, state: State, sync: str | None) -> tuple[Trigger, ...]:
        conditions = [triggers.c.state == state, *([] if sync is None else [triggers.c.sync == sync])]
        with self._database.read() as connection:
            return tuple(_select(connection, *conditions))


def _select(connection: Connection, *conditions: ColumnElement[bool]) -> Sequence[Trigger]:
    query = select(triggers).where(*conditions).order_by(triggers.c.id)
    return [Trigger.of(row) for row in connection.execute(query).mappings()]


def _only(connection: Connection, condition: ColumnElement[bool]) -> Trigger:
    found = _select(connection, condition)
    if not found:
        raise StateError("a trigger that was just written is not there", slug="state-unusable")
    return found[0]


def _joined(connection: Connection, waiting: Trigger, due_at: float | None, asked: Mapping[str, Any]) -> Trigger:
    """The waiting trigger, after it has taken over the flags and the due time of another one of the same rows."""
    options = {**waiting.options, **{name: True for name in FLAGS if asked.get(name)}}
    values: dict[str, Any] = {"options": options, "not_before": None}
    if due_at is not None:
        first = due_at if waiting.due_at is None else waiting.due_at
        values |= {"due_at": first, "last_due_at": max(waiting.last_due_at or due_at, due_at)}
    connection.execute(update(triggers).where(triggers.c.id == waiting.id).values(values))
    return _only(connection, triggers.c.id == waiting.id)


def _options(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that say something. Raises ConfigError for one that there is not."""
    unknown = sorted(set(given) - set(OPTIONS))
    if unknown:
        raise ConfigError(f"a run has no option '{unknown[0]}'", slug="wrong-option", hint=", ".join(OPTIONS))
    return {name: value for name, value in given.items() if value not in (None, False)}


def _scope(options: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(options.get(name) for name in SCOPE)


def _error(problem: Problem) -> dict[str, Any]:
    return {"slug": problem.slug, "message": problem.message, "at": problem.at, "hint": problem.hint}
