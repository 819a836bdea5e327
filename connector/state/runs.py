"""The run history: one row a run, written when it starts, moves on and ends."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Text, cast, insert, or_, select, update

from connector.errors import ConfigError, StateError
from connector.state.clock import utc
from connector.state.tables import runs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from random import Random

    from sqlalchemy import ColumnElement, RowMapping, Select, Update

    from connector.errors import Problem
    from connector.ports import Clock
    from connector.state.database import Database

Stage = Literal["querying", "processing", "reporting"]
RUNNING = "running"
_NAMED = 5  # how many runs an ambiguous-run error names


def new_run_id(clock: Clock, random: Random) -> str:
    """A run's name, such as `20260101T000000Z-ab12cd`: sorts by time, and its tail is enough to type."""
    return f"{datetime.fromtimestamp(clock.now(), UTC):%Y%m%dT%H%M%SZ}-{random.getrandbits(24):06x}"


@dataclass(frozen=True, slots=True)
class NewRun:
    """What is known when a run starts. `config` is the sync's settings as JSON, `options` what was asked of the run."""

    run_id: str
    sync: str
    trigger: str
    model: str
    destination: str
    object: str
    config: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    pid: int = field(default_factory=os.getpid)
    host: str = field(default_factory=socket.gethostname)


@dataclass(frozen=True, slots=True)
class Finish:
    """How a run ended. `timings` is seconds by the name of the step."""

    status: str
    error: Problem | None = None
    rows: Mapping[str, int] | None = None
    outcomes: Mapping[str, Mapping[str, int]] | None = None
    requests: Mapping[str, int] | None = None
    warnings: Sequence[Problem] = ()
    timings: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """A run as the history holds it. `status` is "running" and `finished_at` None until `Runs.finish`."""

    run_id: str
    sync: str
    trigger: str
    status: str
    stage: str | None
    pid: int
    host: str
    model: str
    destination: str
    object: str
    config: dict[str, Any]
    started_at: float
    finished_at: float | None
    error: dict[str, Any] | None
    rows: dict[str, int] | None
    outcomes: dict[str, dict[str, int]] | None
    requests: dict[str, int] | None
    warnings: list[dict[str, Any]]
    timings: dict[str, float]
    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, row: RowMapping | Mapping[str, Any]) -> Run:
        """The run of a row of the table."""
        found: dict[str, Any] = {**row}
        for name, empty in (("config", {}), ("warnings", []), ("timings", {}), ("options", {})):
            found[name] = empty if found[name] is None else found[name]
        return cls(**found)

    def json(self) -> dict[str, Any]:
        """The result of the run, with the keys of `connector run --json` and no others."""
        return {
            "run_id": self.run_id,
            "sync": self.sync,
            "status": self.status,
            "started_at": utc(self.started_at),
            "finished_at": None if self.finished_at is None else utc(self.finished_at),
            "trigger": self.trigger,
            "error": self.error,
            "rows": self.rows,
            "outcomes": self.outcomes,
            "requests": self.requests,
        }


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs. Times are seconds since 1970; `text` is looked for in the error, whatever its case."""

    status: Sequence[str] = ()
    trigger: str | None = None
    since: float | None = None
    until: float | None = None
    min_s: float | None = None
    text: str | None = None

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        """The filter as SQL."""
        if self.status:
            yield runs.c.status.in_(self.status)
        if self.trigger is not None:
            yield runs.c.trigger == self.trigger
        if self.since is not None:
            yield runs.c.started_at >= self.since
        if self.until is not None:
            yield runs.c.started_at <= self.until
        if self.min_s is not None:
            yield runs.c.finished_at - runs.c.started_at >= self.min_s
        if self.text is not None:
            yield cast(runs.c.error, Text).icontains(self.text, autoescape=True)


class Runs:
    """The runs of every sync on this state directory."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def start(self, run: NewRun) -> None:
        """Nothing, after writing down that the run has started now."""
        begun = {part.name: getattr(run, part.name) for part in fields(run)}
        begun |= {
            "config": dict(run.config),
            "options": dict(run.options),
            "status": RUNNING,
            "started_at": self._clock.now(),
        }
        with self._database.write() as connection:
            connection.execute(insert(runs).values(begun))

    def stage(self, run_id: str, stage: Stage) -> None:
        """Nothing, after writing down what the run is doing now."""
        self._update(run_id, update(runs).values(stage=stage))

    def plan(self, run_id: str, rows: Mapping[str, int]) -> None:
        """Nothing, after writing down how many rows the run found and what it means to do with them."""
        self._update(run_id, update(runs).values(rows=dict(rows)))

    def finish(self, run_id: str, end: Finish) -> None:
        """Nothing, after writing down that the run has ended now, and how."""
        values = {
            "status": end.status,
            "finished_at": self._clock.now(),
            "error": None if end.error is None else _error(end.error),
            "rows": None if end.rows is None else dict(end.rows),
            "outcomes": None if end.outcomes is None else {name: dict(counts) for name, counts in end.outcomes.items()},
            "requests": None if end.requests is None else dict(end.requests),
            "warnings": [_error(warning) for warning in end.warnings],
            "timings": dict(end.timings),
        }
        self._update(run_id, update(runs).values(values))

    def warn(self, run_id: str, warning: Problem) -> Run:
        """The run, after adding a warning to it, which came up when it had ended."""
        warnings = [*self.get(run_id).warnings, _error(warning)]
        self._update(run_id, update(runs).values(warnings=warnings))
        return self.get(run_id)

    def get(self, run_id: str) -> Run:
        """The run of exactly that name. Raises ConfigError `unknown-run`."""
        found = self.find(run_id)
        if found is None:
            raise _unknown(run_id)
        return found

    def find(self, run_id: str) -> Run | None:
        """The run of exactly that name, or None."""
        found = self._select(select(runs).where(runs.c.run_id == run_id))
        return found[0] if found else None

    def list(
        self, sync: str | None = None, *, limit: int | None = None, offset: int = 0, **filters: Any
    ) -> tuple[Run, ...]:
        """The runs of one sync or of all, the newest first; `filters` are those of `RunFilter`."""
        query = _of_sync(sync).where(*RunFilter(**filters).conditions())
        return self._select(query.order_by(*_NEWEST_FIRST).limit(limit).offset(offset))

    def latest(self, sync: str | None = None) -> Run | None:
        """The newest run of one sync or of all, whether it has ended or not."""
        found = self.list(sync, limit=1)
        return found[0] if found else None

    def unfinished(self, sync: str | None = None) -> tuple[Run, ...]:
        """The runs that have not ended, the newest first: they go on elsewhere (`pid`, `host`), or they died."""
        return self._select(_of_sync(sync).where(runs.c.status == RUNNING).order_by(*_NEWEST_FIRST))

    def ended_since(self, moment: float, syncs: Collection[str]) -> tuple[Run, ...]:
        """The runs of these syncs that ended after that moment, in the order in which they ended."""
        query = select(runs).where(runs.c.finished_at > moment, runs.c.sync.in_(syncs))
        return self._select(query.order_by(runs.c.finished_at))

    def resolve(self, name: str, sync: str | None = None) -> str:
        """The id of the run that `name` means: an id, the beginning of one, its last six characters, or "last".

        Raises ConfigError `unknown-run`, `ambiguous-run`, or `no-runs` where there is none yet.
        """
        if name == "last":
            latest = self.latest(sync)
            if latest is None:
                of = "" if sync is None else f" of sync '{sync}'"
                raise ConfigError(f"there is no run{of} yet", slug="no-runs", hint="`connector run` makes one")
            return latest.run_id
        meant = or_(
            runs.c.run_id.startswith(name, autoescape=True), runs.c.run_id.endswith(f"-{name}", autoescape=True)
        )
        found = self._select(_of_sync(sync).where(meant).order_by(*_NEWEST_FIRST).limit(_NAMED + 1)) if name else ()
        if not found:
            raise _unknown(name)
        if len(found) > 1 and name not in {run.run_id for run in found}:
            named = ", ".join(run.run_id for run in found[:_NAMED]) + (", ..." if len(found) > _NAMED else "")
            raise ConfigError(f"several runs are called '{name}'", slug="ambiguous-run", hint=f"one of: {named}")
        return name if len(found) > 1 else found[0].run_id

    def _select(self, query: Select[Any]) -> tuple[Run, ...]:
        with self._database.read() as connection:
            return tuple(Run.of(row) for row in connection.execute(query).mappings())

    def _update(self, run_id: str, statement: Update) -> None:
        with self._database.write() as connection:
            if connection.execute(statement.where(runs.c.run_id == run_id)).rowcount == 1:
                return
        raise StateError(
            f"run {run_id} is not in the run history any more",
            slug="run-gone",
            hint="somebody deleted history.db or its rows while the run was going on; run again",
        )


_NEWEST_FIRST = (runs.c.started_at.desc(), runs.c.run_id.desc())


def _of_sync(sync: str | None) -> Select[Any]:
    return select(runs) if sync is None else select(runs).where(runs.c.sync == sync)


def _unknown(name: str) -> ConfigError:
    return ConfigError(f"no run is called '{name}'", slug="unknown-run", hint="`connector runs` lists them")


def _error(problem: Problem) -> dict[str, Any]:
    error: dict[str, Any] = {"slug": problem.slug, "message": problem.message, "hint": problem.hint}
    return error if problem.at is None else error | {"at": problem.at}
