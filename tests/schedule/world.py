"""A project with schedules, a clock that is set by hand, and processes that do what the test says."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from connector.schedule.files import ProjectFiles
from connector.schedule.loop import Scheduler
from connector.state import open_history
from connector.state.locks import run_lock
from connector.state.runs import RUNNING, Finish, NewRun
from tests.e2e.project import OBJECT_SYNC
from tests.state.fake_clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from connector.schedule.children import Order
    from connector.schedule.loop import Chore
    from connector.state.history import History
    from connector.state.locks import FileLock
    from connector.state.runs import Run
    from connector.state.triggers import Trigger

OUTCOMES = {"succeeded": {"added": 1, "changed": 0, "removed": 0}}


@dataclass
class MadeUpChild:
    """A process that ends when the test says so. It keeps its sync's lock, as a real one does."""

    pid: int
    order: Order
    lock: FileLock
    code: int | None = None

    def exit_code(self) -> int | None:
        """How it ended."""
        return self.code


@dataclass
class World:
    """A folder with a project, its history, and whatever runs there."""

    root: Path
    clock: FakeClock
    history: History
    children: dict[str, MadeUpChild] = field(default_factory=dict)
    files: ProjectFiles | None = None
    random: Random = field(default_factory=lambda: Random(7))  # noqa: S311 - the same names in every test
    _pid: int = 100
    _by_hand: int = 0

    # --- what a user writes ---

    def write(self, name: str, schedule: Mapping[str, Any] | None = None, **changes: Any) -> None:
        """Nothing, after writing the sync with this schedule."""
        document = {**OBJECT_SYNC, **({} if schedule is None else {"schedule": dict(schedule)}), **changes}
        self._yaml(self.root / "sync_configs" / f"{name}.yml", document)

    def serve(self, **settings: Any) -> None:
        """Nothing, after writing connector.yml with these settings under `serve:`."""
        source = {"type": "duckdb", "path": "warehouse.duckdb"}
        keys = {"integration_key": "key-of-a-test", "track_event_secret": "secret-of-a-test"}
        document: dict[str, Any] = {
            "sources": {"warehouse": source},
            "destinations": {"pendo": {"type": "pendo", "base_url": "http://127.0.0.1:1", **keys}},
            "serve": settings,
        }
        self._yaml(self.root / "connector.yml", document)

    # --- what happens ---

    def scheduler(self, *chores: Chore) -> Scheduler:
        """A scheduler that has not looked yet."""
        if self.files is None:
            self.files = ProjectFiles(self.root, self.root / ".connector", {})
        return Scheduler(self.files, self.history, self.clock, self.random, self.launch, chores=chores)

    def launch(self, order: Order) -> MadeUpChild:
        """A process that has begun."""
        self._pid += 1
        lock = run_lock(self.root / ".connector", order.sync)
        assert lock.acquire(), f"two processes work on {order.sync}"
        child = self.children[order.sync] = MadeUpChild(self._pid, order, lock)
        return child

    def begin(self, sync: str) -> str:
        """The run that the process of this sync has begun."""
        trigger = self.trigger_of(sync)
        self.start_run(sync, trigger.run_id, trigger.trigger)
        return trigger.run_id

    def start_run(self, sync: str, run_id: str, trigger: str = "cli") -> None:
        """Nothing, after writing down that a run has started."""
        assert not self.history.runs.unfinished(sync), f"two runs of {sync} at once"
        self.history.runs.start(NewRun(run_id, sync, trigger, "accounts", "pendo", "account"))

    def finish(self, sync: str, status: str = "success") -> None:
        """Nothing, after the process of this sync has ended in good order."""
        trigger = self.trigger_of(sync)
        run = self.history.runs.find(trigger.run_id)
        if run is None:
            self.recover(sync)
            self.begin(sync)
        self.history.runs.finish(trigger.run_id, Finish(status, outcomes=OUTCOMES))
        self.history.triggers.settle(trigger.id)
        self.end(sync, 0)

    def recover(self, sync: str) -> None:
        """Nothing, after settling a dead run of this sync, as each run does first."""
        for run in self.history.runs.unfinished(sync):
            self.history.runs.finish(run.run_id, Finish("interrupted", outcomes=OUTCOMES))

    def end(self, sync: str, code: int) -> None:
        """Nothing, after the process has ended like this, whatever it has done before."""
        child = self.children.pop(sync)
        child.lock.release()
        child.code = code

    def by_hand(self, sync: str, status: str = "success") -> str:
        """A run that somebody else has made."""
        self._by_hand += 1
        run_id = f"by-hand-{self._by_hand}"
        self.start_run(sync, run_id)
        self.history.runs.finish(run_id, Finish(status, outcomes=OUTCOMES))
        return run_id

    def trigger_of(self, sync: str) -> Trigger:
        """What the process of this sync was started for."""
        found = self.history.triggers.get(self.children[sync].order.trigger_id)
        assert found is not None
        return found

    # --- what can be seen ---

    def runs(self, sync: str) -> list[Run]:
        """The runs of a sync, the oldest first."""
        return [*reversed(self.history.runs.list(sync))]

    def asked(self, sync: str) -> list[tuple[str, str]]:
        """Who asked for each run of this sync, and what became of that, the oldest first."""
        return [(each.trigger, each.state) for each in reversed(self.history.triggers.list(sync))]

    @property
    def going(self) -> list[str]:
        """The syncs whose processes go on."""
        return sorted(self.children)

    def _yaml(self, path: Path, document: Mapping[str, Any]) -> None:
        path.parent.mkdir(exist_ok=True)
        with path.open("w", encoding="utf-8") as file:
            YAML(typ="safe").dump(dict(document), file)


@contextmanager
def world(root: Path, **serve: Any) -> Iterator[World]:
    """An empty project at New Year 2026."""
    (root / "models").mkdir(parents=True)
    model = "/*\nsource: warehouse\nprimary_key: account_id\n*/\nselect * from accounts\n"
    (root / "models/accounts.sql").write_text(model, encoding="utf-8")
    clock = FakeClock()
    with open_history(root / ".connector", clock=clock, busy_timeout_s=0.2) as history:
        made = World(root, clock, history)
        made.serve(**serve)
        yield made
        for child in made.children.values():
            child.lock.release()


def crash(scheduler: Scheduler) -> None:
    """Nothing, after a scheduler is gone as by `kill -9`: the system takes back its lock, and nothing else is done."""
    scheduler._lock.release()  # noqa: SLF001 - what the system does


__all__ = ["OUTCOMES", "RUNNING", "MadeUpChild", "World", "crash", "world"]
