"""Both planners over whole runs: the same requests, and a snapshot that survives whatever happens to either side."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from connector.api import Project
from connector.errors import SourceError, StateError
from connector.failpoints import KEEPING, NAMES
from connector.systems import SOURCES
from tests.e2e.nursery import Nursery, nursery
from tests.e2e.project import ACCOUNTS, EVENT_SYNC, EVENTS, OBJECT_SYNC, REPOSITORY, Scene, outcomes, scene
from tests.e2e.warehouses import PostgresSchema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from connector.ports import Compared, Source, SourceSystem, Wanted, WarehouseSnapshot

# What fakesnow asks of DuckDB.
pytestmark = pytest.mark.filterwarnings("ignore:Arrow output on a DB-API result")
WAREHOUSES = ("duckdb", "postgres", pytest.param("snowflake", marks=pytest.mark.slow))
CLEARING = {**OBJECT_SYNC, "on_removed": "clear", "match": "match_id"}
SYNCS = (ACCOUNTS, EVENTS)


@pytest.fixture(params=WAREHOUSES)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    """A project whose snapshots are kept in its warehouse, with a few rows."""
    with scene(tmp_path / "p", source=request.param, planner="warehouse") as made:
        made.write(ACCOUNTS, OBJECT_SYNC)
        made.write(EVENTS, EVENT_SYNC)
        made.accounts(40)
        made.events(40)
        yield made


def rows(result: Any) -> dict[str, int]:
    return {name: count for name, count in result.json()["rows"].items() if count}


def arranged(body: Any) -> str:
    """A request's body with its rows sorted: for a warehouse that keeps no order."""
    rows = json.loads(body) if isinstance(body, str) and body.startswith("[") else body
    return json.dumps(sorted(rows, key=json.dumps) if isinstance(rows, list) else rows)


def sent(place: Scene, *, ordered: bool) -> Counter[tuple[str, str, str]]:
    """The calls of the last run."""
    if ordered:
        return place.logged()
    return Counter({(method, path, arranged(body)): times for (method, path, body), times in place.logged().items()})


def switch(place: Scene, planner: str) -> None:
    """Nothing, after writing the planner into connector.yml."""
    place.planner = planner
    place.point_at()


# --- the same requests -----------------------------------------------------------------------------------------------


def story(place: Scene) -> Iterator[None]:
    """A life of both syncs: every kind of change, bad keys, refused rows, a full resync, one row, a limit."""
    place.write(ACCOUNTS, CLEARING)
    place.write(EVENTS, EVENT_SYNC)
    place.sandbox.add_objects("account", [f"acct-{at}" for at in range(60) if at not in (7, 8)])
    place.sql(
        """CREATE OR REPLACE TABLE accounts AS SELECT i AS account_id, 'acct-' || i AS match_id, i * 1.5 AS health,
        CASE WHEN i % 4 > 0 THEN 'plan-' || (i % 3) END AS plan, i AS loaded FROM range(50) t(i)"""
    )
    place.events(30)
    yield
    place.sql("UPDATE accounts SET loaded = loaded + 1", "UPDATE accounts SET plan = '' WHERE account_id = 4")
    yield
    place.sql(
        "UPDATE accounts SET health = 0.1 WHERE account_id IN (1, 2)",
        "UPDATE accounts SET match_id = 'acct-55' WHERE account_id = 3",
        "UPDATE accounts SET match_id = 'acct-10' WHERE account_id = 11",
        "DELETE FROM accounts WHERE account_id IN (20, 21)",
        "INSERT INTO accounts SELECT 50 + i, 'acct-' || (50 + i), 1, 'x', 0 FROM range(4) t(i)",
        "INSERT INTO accounts VALUES (NULL, 'acct-1', 1, 'x', 0), (30, 'acct-30', 1, 'twin', 0)",
        "INSERT INTO events SELECT 100 + i, 'user-1', 'acct-1', TIMESTAMP '2026-02-01', NULL FROM range(3) t(i)",
        "DELETE FROM events WHERE event_id < 5",
    )
    yield
    place.sql("DELETE FROM accounts WHERE plan = 'twin'", "INSERT INTO events SELECT * FROM events WHERE event_id = 9")
    yield


@pytest.mark.parametrize("source", WAREHOUSES)
def test_both_planners_send_the_same_requests(tmp_path: Path, source: str) -> None:
    """Each step of the story with both: the plan, the counts, the outcomes and every byte that is sent."""
    ordered = source != "snowflake"
    with (
        scene(tmp_path / "a", source=source, planner="local") as here,
        scene(tmp_path / "b", source=source, planner="warehouse") as there,
    ):
        seen: list[list[Any]] = []
        for place in (here, there):
            told: list[Any] = []
            for _ in story(place):
                for sync in SYNCS:
                    with place.project() as project:
                        plan = project.plan(sync, show=100).json()
                        bodies = [each["body"] for each in plan["sample"]]
                        told.append(
                            (plan["rows"], plan["requests"], bodies if ordered else sorted(map(arranged, bodies)))
                        )
                    told.append((rows(place.run(sync, force=True)), sent(place, ordered=ordered)))
                told.append(rows(place.run(ACCOUNTS, row="12", full_resync=True)))
                told.append(outcomes(place.run(ACCOUNTS, full_resync=True, limit=5)))
                told.append(place.logged() if ordered else None)  # without an order, any five rows
                told.append((outcomes(place.run(ACCOUNTS)), place.undelivered(ACCOUNTS)))
                told.append((place.snapshot(ACCOUNTS), place.snapshot(EVENTS)))
            seen.append(told)

        assert seen[1] == seen[0]
        assert there.held() == here.held()
        assert there.delivered() == here.delivered()


@dataclass
class Counting:
    """A kind of warehouse that counts the rows which leave it."""

    system: SourceSystem
    moved: int = 0

    def settings(self) -> Any:
        return self.system.settings()

    def open(self, settings: Any, root: Path) -> Source:
        source = self.system.open(settings, root)
        counting = self

        class Counted(type(source)):  # type: ignore[misc]  # of whatever kind it is
            @contextmanager
            def read(self, query: Any) -> Iterator[pa.RecordBatchReader]:
                with super().read(query) as reader:
                    yield counting.counted(reader)

        source.__class__ = Counted
        return source

    def loader(self, settings: Any, root: Path, schema: str) -> Any:
        return self.system.loader(settings, root, schema)

    def snapshot(self, settings: Any, root: Path, sync: str) -> WarehouseSnapshot:
        remote: Any = self.system.snapshot(settings, root, sync)
        compare = remote.compare

        @contextmanager
        def counted(wanted: Wanted) -> Iterator[Compared]:
            with compare(wanted) as found:
                for name in ("rows", "accepted"):
                    setattr(found, name, self.counting(getattr(found, name)))
                yield found

        remote.compare = counted
        return remote  # type: ignore[no-any-return]

    def counting(self, read: Any) -> Any:
        @contextmanager
        def counted() -> Iterator[pa.RecordBatchReader]:
            with read() as reader:
                yield self.counted(reader)

        return counted

    def counted(self, reader: pa.RecordBatchReader) -> pa.RecordBatchReader:
        import pyarrow as pa  # noqa: PLC0415 - here only

        def batches() -> Iterator[pa.RecordBatch]:
            for batch in reader:
                self.moved += batch.num_rows
                yield batch

        return pa.RecordBatchReader.from_batches(reader.schema, batches())


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("source", ["duckdb", "postgres"])
def test_of_a_million_rows_only_the_changed_ones_leave_the_warehouse(tmp_path: Path, source: str) -> None:
    """1 % changed: as many rows leave as the local planner sends, and the requests are the same to the byte."""
    million, changed = 1_000_000, 10_000
    sent, moved = [], []
    for planner in ("local", "warehouse"):
        with scene(tmp_path / planner, source=source, planner=planner) as place:
            place.write(ACCOUNTS, OBJECT_SYNC, batch={"rows": 500})
            place.accounts(million, known=True)
            place.sandbox.seed({"accounts": [f"acct-{at * 100}" for at in range(changed)]})
            with place.project() as project:
                project.reset(ACCOUNTS, baseline=True)
            place.sql("UPDATE accounts SET plan = 'gold' WHERE health % 150 = 0")
            system = Counting(SOURCES[source])
            with place.project() as project:
                result = _run_with(project, ACCOUNTS, system)
            assert rows(result) == {"queried": million, "unchanged": million - 10_000, "changed": 10_000}
            sent.append(place.logged())
            moved.append(system.moved)

    assert sent[0] == sent[1]
    assert moved == [million, 2 * changed]  # the changed rows, and what is known of each


def _run_with(project: Project, sync: str, system: SourceSystem) -> Any:
    from connector.run.means import Options  # noqa: PLC0415
    from connector.run.steps import run_sync  # noqa: PLC0415

    found = project.sync(sync)
    means = replace(project.means(), sources={found.source.type: system})
    return run_sync(found, Options(), means)


# --- moved, adopted, lost --------------------------------------------------------------------------------------------


def test_a_snapshot_is_moved_in_both_directions_and_nothing_is_sent_again(kept: Scene) -> None:
    for sync in SYNCS:
        assert kept.run(sync).status == "success"
    kept.sandbox.add_objects("account", ["acct-99"])
    before = kept.received()
    for planner in ("local", "warehouse", "local", "warehouse"):
        switch(kept, planner)
        for sync in SYNCS:
            with kept.project() as project, pytest.raises(StateError) as refused:
                project.run(sync)
            assert refused.value.problem.slug == "snapshot-elsewhere"
            assert refused.value.problem.hint == f"connector state move {sync} --to {planner}"
            with kept.project() as project:
                assert project.kept(sync).move(planner) == 40
                assert project.kept(sync).move(planner) == 40
            assert rows(kept.run(sync)) == {"queried": 40, "unchanged": 40}
            assert len(kept.snapshot(sync)) == 40
    assert kept.received() == before
    kept.sql("UPDATE accounts SET health = 7 WHERE account_id = 'acct-3'", "DELETE FROM accounts WHERE health = 0")

    assert rows(kept.run(ACCOUNTS)) == {"queried": 39, "unchanged": 38, "changed": 1, "removed": 1}


def test_a_lost_file_of_the_same_state_directory_takes_its_snapshot_up_again(kept: Scene) -> None:
    for sync in SYNCS:
        kept.run(sync)
    kept.forget()
    with kept.project() as project:
        assert project.plan(EVENTS).counts.unchanged == 40

    for sync in SYNCS:
        assert rows(kept.run(sync)) == {"queried": 40, "unchanged": 40}
    assert set(kept.delivered().values()) == {1}


def test_another_state_directory_is_refused_until_it_takes_the_snapshot_over(kept: Scene) -> None:
    kept.run(EVENTS)
    other = kept.root.parent / "other"
    with Project(replace(_definition(kept), state_dir=other), kept.clock or _clock(), kept.random) as project:
        for act in (project.run, project.plan, project.reset):
            with pytest.raises(StateError) as refused:
                act(EVENTS)
            assert refused.value.problem.slug == "snapshot-foreign"
            assert str(kept.state_dir) in refused.value.problem.message
        assert project.kept(EVENTS).adopt() == 40
        assert rows(project.run(EVENTS)) == {"queried": 40, "unchanged": 40}
    with pytest.raises(StateError) as refused:
        kept.run(EVENTS)

    assert refused.value.problem.slug == "snapshot-foreign"


def test_a_snapshot_that_somebody_dropped_is_not_begun_anew(kept: Scene) -> None:
    kept.run(EVENTS)
    assert kept.warehouse is not None
    table = f"{kept.source['state_schema']}.syncs"
    kept.warehouse.tell(f"delete from {table} where sync = 'events'")
    with pytest.raises(StateError) as refused:
        kept.run(EVENTS)
    with kept.project() as project:
        assert refused.value.problem.slug == "snapshot-changed"
        assert project.reset(EVENTS, baseline=True) == 40

    assert rows(kept.run(EVENTS)) == {"queried": 40, "unchanged": 40}


def test_rejected_rows_are_listed_retried_and_dropped_as_with_the_local_planner(kept: Scene) -> None:
    kept.write(EVENTS, EVENT_SYNC, max_attempts=1)
    kept.sql("UPDATE events SET visitor_id = '' WHERE event_id IN (3, 4)")
    kept.run(EVENTS)
    assert kept.undelivered(EVENTS) == {"3": "quarantined", "4": "quarantined"}
    with kept.project() as project:
        assert project.release(EVENTS, key="3", drop=True) == 1
        assert project.retry(EVENTS) == 1
    kept.sql("UPDATE events SET visitor_id = 'user-1' WHERE event_id IN (3, 4)")

    assert rows(kept.run(EVENTS)) == {"queried": 40, "unchanged": 39, "added": 1}
    assert set(kept.delivered()) == set(range(40)) - {3}


# --- grants ----------------------------------------------------------------------------------------------------------


def test_a_login_that_may_only_read_is_told_which_grant_is_missing(tmp_path: Path) -> None:
    with scene(tmp_path / "p", source="postgres") as place:
        place.write(ACCOUNTS, OBJECT_SYNC)
        place.accounts(5)
        warehouse = place.warehouse
        assert isinstance(warehouse, PostgresSchema)
        schema, role = warehouse.schema, f"reader_{warehouse.schema}"
        warehouse.tell(f"create role {role} login password 'geheim'")
        warehouse.tell(f"alter role {role} set default_transaction_read_only = on")
        warehouse.tell(f"grant usage on schema {schema} to {role}; grant select on {schema}.accounts to {role}")
        warehouse.entry = warehouse.entry_of(role, "geheim")
        switch(place, "local")
        assert place.run(ACCOUNTS).status == "success"
        with place.project() as project:
            project.reset(ACCOUNTS)
        switch(place, "warehouse")
        before = place.received()
        grant = f"create schema {schema}_state authorization {role}"
        with place.project() as project:
            for act in (project.plan, project.run, project.reset, lambda _: project.check_models()):
                with pytest.raises(SourceError) as refused:
                    act(ACCOUNTS)
                assert refused.value.problem.slug == "planner-denied"
                assert refused.value.problem.hint == f"{grant}; or use planner: local, which only reads"
        assert place.received() == before
        warehouse.tell(grant)

        assert rows(place.run(ACCOUNTS)) == {"queried": 5, "added": 5}
        assert rows(place.run(ACCOUNTS)) == {"queried": 5, "unchanged": 5}


def test_a_file_that_may_only_be_read_says_so(tmp_path: Path) -> None:
    with scene(tmp_path / "p", source="duckdb", planner="local") as place:
        place.write(ACCOUNTS, OBJECT_SYNC)
        place.accounts(5)
        file = place.root / "warehouse.duckdb"
        with somebody_else(tmp_path):
            file.chmod(0o444)
            assert place.run(ACCOUNTS).status == "success"
            with place.project() as project:
                project.reset(ACCOUNTS)
        switch(place, "warehouse")
        before = place.received()
        with somebody_else(tmp_path), place.project() as project:
            for act in (project.plan, project.run, project.reset, lambda _: project.check_models()):
                with pytest.raises(SourceError) as refused:
                    act(ACCOUNTS)
                assert refused.value.problem.slug == "planner-denied"
                assert refused.value.problem.hint == f"chmod u+w {file}; or use planner: local, which only reads"

        assert place.received() == before


@contextmanager
def somebody_else(folder: Path) -> Iterator[None]:
    """Nothing; inside the block this is no user who may write everywhere, and the folder is theirs."""
    if os.geteuid() != 0:
        yield
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 65534, 65534)
    for parent in folder.parents[:-2]:  # up to /tmp, however deep the test's folder lies
        parent.chmod(0o711)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


# --- killed ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def children() -> Iterator[Nursery]:
    with nursery(str(REPOSITORY)) as made:
        yield made


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("source", ["duckdb", "postgres"])
@pytest.mark.parametrize("sync", SYNCS)
def test_after_a_kill_at_any_named_moment_one_more_run_is_enough(
    tmp_path: Path, children: Nursery, source: str, sync: str
) -> None:
    count = 600
    with scene(tmp_path / "p", source=source, planner="warehouse", concurrency=2) as place:
        place.write(ACCOUNTS, OBJECT_SYNC, batch={"rows": 50})
        place.write(EVENTS, EVENT_SYNC, batch={"rows": 50})
        place.accounts(count)
        place.events(0)
        for at, name in enumerate((*NAMES, *KEEPING)):
            # Each kill comes on top of all earlier ones: half of the rows are new to it, or changed.
            place.sql(
                f"UPDATE accounts SET health = health + 1 WHERE hash(account_id) % 2 = {at % 2}",
                f"INSERT INTO events SELECT {at * 100} + i, 'user-1', 'acct-1', TIMESTAMP '2026-01-01', 'x' "
                "FROM range(100) t(i)",
            )
            children.start(place, "run", sync, failpoint=name)
            assert children.wait() == -signal.SIGKILL, name
            assert place.run(sync).status == "success", name
        quiet = rows(place.run(sync))
        assert quiet == {"queried": quiet["queried"], "unchanged": quiet["queried"]}
        if sync == ACCOUNTS:
            assert place.held() == place.wanted()
        else:
            delivered = place.delivered()
            assert set(delivered) == set(range(100 * len((*NAMES, *KEEPING))))
            # At each kill, the batches in flight are in doubt, and are sent again.
            assert max(delivered.values()) <= 2


def test_a_run_that_dies_before_it_tells_the_warehouse_is_known_to_plan_and_told_by_the_next(
    tmp_path: Path, children: Nursery
) -> None:
    with scene(tmp_path / "p", source="duckdb", planner="warehouse") as place:
        place.write(EVENTS, EVENT_SYNC)
        for at, name in enumerate(KEEPING):
            place.events(20 * (at + 1))
            children.start(place, "run", EVENTS, failpoint=name)
            assert children.wait() == -signal.SIGKILL
            with place.project() as project:
                assert project.plan(EVENTS).counts.unchanged == 20 * (at + 1)
            assert rows(place.run(EVENTS)) == {"queried": 20 * (at + 1), "unchanged": 20 * (at + 1)}

        assert set(place.delivered().values()) == {1}


def _definition(place: Scene) -> Any:
    with place.project() as project:
        return project.definition


def _clock() -> Any:
    from connector.state.clock import SystemClock  # noqa: PLC0415

    return SystemClock()
