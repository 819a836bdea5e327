"""Real projects in small: a DuckDB warehouse, sync files, and a sandbox that is served over a real port."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import duckdb
from ruamel.yaml import YAML

from connector import Project, load_project
from connector.plan import Counts
from connector.plan.elsewhere import bring, fetch
from connector.ports import Change, Outcome
from connector.run.keeping import warehouse_snapshot
from connector.sandbox import INTEGRATION_KEY, TRACK_EVENT_SECRET, Sandbox, running
from connector.sandbox.switches import SWITCHES
from connector.state.clock import SystemClock
from connector.state.snapshot import view_snapshot
from tests.e2e.warehouses import Warehouse, warehouse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from connector.ports import Clock
    from connector.project.definition import Definition
    from connector.run.ending import RunResult
    from connector.state.snapshot import Snapshot

REPOSITORY = Path(__file__).parents[2]
CONNECTOR = (sys.executable, "-m", "connector.cli")

# Every test of this folder that does not choose for itself runs with this one.
CHOSEN_WAREHOUSE = os.environ.get("CONNECTOR_TEST_WAREHOUSE") or "duckdb"
CHOSEN_PLANNER = os.environ.get("CONNECTOR_TEST_PLANNER") or "local"

ACCOUNTS = "accounts"
EVENTS = "events"
MODELS = {ACCOUNTS: "account_id", EVENTS: "event_id"}
OBJECT_SYNC: dict[str, Any] = {
    "model": ACCOUNTS,
    "destination": "pendo",
    "object": "account",
    "match": "account_id",
    "fields": {"custom": {"health": {"column": "health", "create": True}, "plan": {"column": "plan", "create": True}}},
    "guardrails": {"max_removed": None, "max_removed_percent": None},
}
EVENT_SYNC: dict[str, Any] = {
    "model": EVENTS,
    "destination": "pendo",
    "object": "track_event",
    "event": {"value": "Plan Upgraded"},
    "visitor_id": "visitor_id",
    "account_id": "account_id",
    "timestamp": "occurred_at",
    "properties": {"number": "event_id", "plan": "plan"},
}


class FastClock:
    """Real time, thirty times faster: nobody waits long, and threads still wait for each other as they would."""

    def __init__(self, factor: float = 30.0) -> None:
        self._factor = factor
        self._began_s = time.time()
        self._ticked_s = time.monotonic()

    def now(self) -> float:
        """Seconds since 1970, and running ahead."""
        return self._began_s + self.monotonic()

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return (time.monotonic() - self._ticked_s) * self._factor

    def sleep(self, seconds: float) -> None:
        """Nothing, after a thirtieth of that time."""
        time.sleep(seconds / self._factor)


@dataclass
class Scene:
    """A project, the sandbox it writes to, and everything that a test changes or looks at."""

    root: Path
    sandbox: Sandbox
    url: str
    clock: Clock | None = None
    destination: dict[str, Any] = field(default_factory=dict)
    warehouse: Warehouse | None = None
    planner: str = "local"
    _definition: Definition | None = None
    random: Random = field(default_factory=lambda: Random(7))  # noqa: S311 - the same waits in every test

    # --- what a user would write ---

    def write(self, name: str, sync: Mapping[str, Any], **changes: Any) -> str:
        """The name of the sync, after writing its file."""
        self._yaml(self.root / "sync_configs" / f"{name}.yml", {**sync, **changes})
        return name

    def point_at(self, url: str | None = None, **settings: Any) -> None:
        """Nothing, after writing connector.yml with another address or other settings of the destination."""
        self.destination.update(settings)
        if url is not None:
            self.url = url
        destination = {
            "type": "pendo",
            "base_url": self.url,
            "integration_key": INTEGRATION_KEY,
            "track_event_secret": TRACK_EVENT_SECRET,
            **self.destination,
        }
        document = {
            "sources": {"warehouse": self.source},
            "destinations": {"pendo": destination},
        }
        self._yaml(self.root / "connector.yml", document)

    def sql(self, *statements: str) -> None:
        """Nothing, after running these statements in the DuckDB file that the warehouse has a copy of, or is."""
        with closing(duckdb.connect(str(self.root / "warehouse.duckdb"))) as connection:
            for statement in statements:
                connection.execute(statement)
            if self.warehouse is not None:
                self.warehouse.fill(connection)

    @property
    def source(self) -> dict[str, Any]:
        """The warehouse's entry under `sources:`."""
        entry = {"type": "duckdb", "path": "warehouse.duckdb"} if self.warehouse is None else self.warehouse.entry
        if entry["type"] == "sqlalchemy":
            return entry
        # The servers are shared: each project has a schema of its own.
        schema = f"{getattr(self.warehouse, 'schema', 'connector')}_state"
        return {**entry, "planner": self.planner, "state_schema": schema}

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query in that DuckDB file."""
        with closing(duckdb.connect(str(self.root / "warehouse.duckdb"), read_only=True)) as connection:
            return connection.execute(query).fetchall()

    def accounts(self, count: int, *, known: bool = False) -> None:
        """Nothing, after giving the warehouse that many accounts, and Pendo, unless it has them, their ids."""
        self.sql(
            f"""CREATE OR REPLACE TABLE accounts AS
            SELECT 'acct-' || i AS account_id, i * 1.5 AS health, 'plan-' || (i % 3) AS plan FROM range({count}) t(i)"""
        )
        if not known:
            self.sandbox.add_objects("account", [f"acct-{at}" for at in range(count)])

    def events(self, count: int) -> None:
        """Nothing, after giving the warehouse that many events, numbered from 0."""
        self.sql(
            f"""CREATE OR REPLACE TABLE events AS
            SELECT i AS event_id, 'user-' || (i % 100) AS visitor_id, 'acct-' || (i % 10) AS account_id,
                TIMESTAMP '2026-01-01' + to_seconds(i) AS occurred_at, 'plan-' || (i % 3) AS plan
            FROM range({count}) t(i)"""
        )

    # --- what a user would do ---

    @contextmanager
    def project(self) -> Iterator[Project]:
        """The project; its files are read again only after they were written."""
        clock = self.clock or SystemClock()
        if self._definition is None:
            self._definition = load_project(self.root, environ={}).definition
        with Project(self._definition, clock, self.random) as project:
            yield project

    def run(self, sync: str, **options: Any) -> RunResult:
        """A run in this process, whose counts are checked."""
        with self.project() as project:
            result = project.run(sync, **options)
        check_counts(result.json())
        return result

    def runs_until_quiet(self, sync: str, *, most: int = 5) -> list[RunResult]:
        """Further runs, up to the first one that leaves nothing to send."""
        results = []
        for _ in range(most):
            results.append(self.run(sync))
            if not left_over(results[-1]):
                return results
        raise AssertionError(f"after {most} runs: {results[-1].json()}")

    def start(self, *words: str, environ: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """The command line, started."""
        return subprocess.Popen(
            [*CONNECTOR, "--project", str(self.root), *words],
            cwd=REPOSITORY,
            env={**os.environ, "CONNECTOR_FAILPOINT": "", **(environ or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    # --- what can be seen from outside ---

    @property
    def state_dir(self) -> Path:
        """Where the project keeps its state."""
        return self.root / ".connector"

    def forget(self) -> None:
        """Nothing, after deleting the project's state."""
        shutil.rmtree(self.state_dir, ignore_errors=True)

    def delivered(self) -> Counter[int]:
        """How often the sandbox holds each event, by its number."""
        return Counter(event["properties"]["number"] for event in self.sandbox.events)

    def held(self, group: str = "custom") -> dict[str, dict[str, Any]]:
        """The values of every account that has some."""
        found = {key: values.get(group, {}) for key, values in self.sandbox.accounts.items()}
        return {key: values for key, values in found.items() if values}

    def wanted(self) -> dict[str, dict[str, Any]]:
        """The values that every account of the warehouse should have."""
        rows = self.ask("SELECT account_id, health::DOUBLE, plan FROM accounts")
        return {key: {"health": health, "plan": plan} for key, health, plan in rows}

    def snapshot(self, sync: str) -> set[str]:
        """The keys that count as accepted, with values that are known."""
        with view_snapshot(self.state_dir, sync) as snapshot:
            if self.planner == "warehouse":
                self._fetch_accepted(sync, snapshot)
            events = "fp IS NOT NULL OR " + str(snapshot.one("SELECT bool_and(fp IS NULL) FROM state.accepted") is True)
            rows = snapshot.connection.execute(f"SELECT key FROM state.accepted WHERE {events}").fetchall()
        return {key for (key,) in rows}

    def _fetch_accepted(self, sync: str, snapshot: Snapshot) -> None:
        """Nothing, after bringing the snapshot from the warehouse into this copy of the sync's file."""
        with self.project() as project, warehouse_snapshot(project.sync(sync), project.means()).accepted() as reader:
            fetch(snapshot, reader)
        bring(snapshot, seen=False)

    def logged(self, run: str = "last") -> Counter[tuple[str, str, str]]:
        """The calls of the API call log as method, path and body; of one run, or of all."""
        with self.project() as project:
            runs = [each.run_id for each in project.runs(limit=None)] if run == "all" else [run]
            calls = [call for name in runs for call in project.calls(name)]
        return Counter((call.method, urlsplit(call.url).path, call.request_body or "") for call in calls)

    def received(self) -> Counter[tuple[str, str, str]]:
        """The calls that reached the sandbox as method, path and body."""
        return Counter((each.method, each.path, (each.body or b"").decode()) for each in self.sandbox.requests)

    def undelivered(self, sync: str) -> dict[str, str]:
        """The outcome of each row that is listed as not delivered."""
        with self.project() as project:
            return {row.key: row.outcome for row in project.undelivered(sync)}

    def reload(self) -> None:
        """Nothing; the project's files are read again, because a test has written them itself."""
        self._definition = None

    def _yaml(self, path: Path, document: Mapping[str, Any]) -> None:
        self._definition = None
        path.parent.mkdir(exist_ok=True)
        with path.open("w", encoding="utf-8") as file:
            YAML(typ="safe").dump(dict(document), file)


@contextmanager
def scene(
    root: Path,
    *,
    clock: Clock | None = None,
    switches: Mapping[str, Any] | None = None,
    source: str | None = None,
    planner: str | None = None,
    **destination: Any,
) -> Iterator[Scene]:
    """A project in an empty folder whose sandbox runs until the end of the block. `source` is a kind of warehouse."""
    sandbox = Sandbox(switches={**chosen_switches(), **(switches or {})}, now=time.time if clock is None else clock.now)
    with running(sandbox) as server:
        made = Scene(root, sandbox, server.url, clock, planner=planner or CHOSEN_PLANNER)
        root.mkdir(parents=True, exist_ok=True)
        made.warehouse = warehouse(source or CHOSEN_WAREHOUSE, root)
        (root / "models").mkdir(parents=True)
        for model, key in MODELS.items():
            text = f"/*\nsource: warehouse\nprimary_key: {key}\n*/\nselect * from {model}\n"
            (root / "models" / f"{model}.sql").write_text(text, encoding="utf-8")
        made.point_at(**{"max_requests_per_second": 100_000, **destination})
        made.accounts(0)
        made.events(0)
        yield made


def chosen_switches() -> dict[str, Any]:
    """The switches under which all of these tests run: CONNECTOR_TEST_SWITCHES=NAME=VALUE,NAME=VALUE, or none."""
    found = {}
    for part in filter(None, os.environ.get("CONNECTOR_TEST_SWITCHES", "").split(",")):
        name, _, text = part.partition("=")
        values = [value for switch in SWITCHES if switch.name == name for value in switch.values if str(value) == text]
        assert values, f"no switch has this value: {part}"
        assert name not in found, f"two values of one switch: {name}"
        found[name] = values[0]
    return found


def check_counts(result: Mapping[str, Any]) -> None:
    """Nothing, when both identities hold for the result of a run."""
    rows, outcomes = result["rows"], result["outcomes"]
    assert set(rows) == set(Counts.__slots__)
    assert rows["queried"] == sum(rows[name] for name in ("null_key", "duplicate_key", "unchanged", "added", "changed"))
    for change in Change:
        assert rows[change] == sum(outcomes[outcome][change] for outcome in Outcome)


def outcomes(result: RunResult) -> dict[str, int]:
    """The number of rows with each outcome that some row has."""
    found = {name: sum(counts.values()) for name, counts in result.json()["outcomes"].items()}
    return {name: count for name, count in found.items() if count}


def left_over(result: RunResult) -> dict[str, int]:
    """The rows of a run that did not arrive, by outcome."""
    return {name: count for name, count in outcomes(result).items() if name != "succeeded"}
