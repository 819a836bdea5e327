"""Each warehouse as the source of a real project: plan, run, run again; the sandbox holds what the warehouse says."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from ruamel.yaml import YAML

from connector import load_project
from connector.sandbox import INTEGRATION_KEY, TRACK_EVENT_SECRET, Sandbox, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from connector import Project
    from connector.run.ending import RunResult

pytestmark = pytest.mark.filterwarnings("ignore:Arrow output on a DB-API result")

COUNT = 1_000
OBJECTS = {
    "destination": "pendo",
    "object": "account",
    "match": "account_id",
    "fields": {
        "custom": {
            "health": {"column": "health", "create": True},
            "arr": {"column": "arr", "create": True},
            "plan": {"column": "plan", "create": True},
            "renews_at": {"column": "renews_at", "type": "time", "create": True},
            "big": {"sql": "case when arr > 5000 then 'yes' else 'no' end", "create": True},
        }
    },
    "on_removed": "clear",
}
EVENTS = {
    "destination": "pendo",
    "object": "track_event",
    "event": {"value": "Plan Upgraded"},
    "visitor_id": "user_id",
    "account_id": "account_id",
    "timestamp": "occurred_at",
    "properties": {"number": "event_id", "plan": "plan"},
}


@dataclass
class Warehouse:
    """A warehouse with accounts and events: its entry in connector.yml, and how to change it."""

    settings: dict[str, Any]
    run: Callable[[str], object]


def duckdb_warehouse(root: Path, _: pytest.FixtureRequest) -> Warehouse:
    def run(statement: str) -> None:
        with closing(duckdb.connect(str(root / "warehouse.duckdb"))) as con:
            con.execute(statement)

    run(
        f"""create table accounts as select 'acct-' || i as account_id, i * 1.5 as health, i * 10 as arr,
        case when i % 7 > 0 then 'plan-' || (i % 3) end as plan, ['a', 'b'] as labels,
        timestamptz '2026-01-01 00:00:00+00' + to_hours(i::int) as renews_at from range({COUNT}) t(i)"""
    )
    run(
        f"""create table events as select i as event_id, 'user-' || (i % 10) as user_id, 'acct-1' as account_id,
        'pro' as plan, timestamp '2026-01-01' + to_seconds(i) as occurred_at from range({COUNT}) t(i)"""
    )
    return Warehouse({"type": "duckdb", "path": "warehouse.duckdb"}, run)


def postgres_warehouse(_: Path, request: pytest.FixtureRequest) -> Warehouse:
    server = request.getfixturevalue("postgres_server")
    server.run(
        "drop schema if exists e2e cascade",
        "create schema e2e",
        "drop role if exists runner",
        "create role runner login password 'geheim'",
        "alter role runner set search_path = e2e",
        f"""create table e2e.accounts as select 'acct-' || i as account_id, i * 1.5 as health, i * 10 as arr,
        case when i % 7 > 0 then 'plan-' || (i % 3) end as plan, array['a', 'b'] as labels,
        timestamptz '2026-01-01 00:00:00+00' + i * interval '1 hour' as renews_at
        from generate_series(0, {COUNT - 1}) i""",
        f"""create table e2e.events as select i as event_id, 'user-' || (i % 10) as user_id, 'acct-1' as account_id,
        'pro' as plan, timestamp '2026-01-01' + i * interval '1 s' as occurred_at
        from generate_series(0, {COUNT - 1}) i""",
        "grant usage on schema e2e to runner",
        "grant select on all tables in schema e2e to runner",
    )
    settings = {"type": "postgres", "url": server.url("runner", "geheim")}
    return Warehouse(settings, lambda statement: server.run("set search_path = e2e; " + statement))


def snowflake_warehouse(_: Path, request: pytest.FixtureRequest) -> Warehouse:
    server = request.getfixturevalue("snowflake_server")
    server.run(
        f"""create or replace table accounts as select 'acct-' || n as account_id, n * 1.5 as health, n * 10 as arr,
        case when n % 7 > 0 then 'plan-' || (n % 3) end as plan, parse_json('["a","b"]') as labels,
        dateadd(hour, n, '2026-01-01 00:00:00'::timestamp_ntz) as renews_at from marts.numbers where n < {COUNT}""",
        f"""create or replace table events as select n as event_id, 'user-' || (n % 10) as user_id,
        'acct-1' as account_id, 'pro' as plan, dateadd(second, n, '2026-01-01 00:00:00'::timestamp_ntz) as occurred_at
        from marts.numbers where n < {COUNT}""",
        schema="e2e",
    )
    return Warehouse({**server.settings, "schema": "e2e"}, partial(server.run, schema="e2e"))


def sqlite_warehouse(root: Path, _: pytest.FixtureRequest) -> Warehouse:
    def run(statement: str) -> None:
        with closing(sqlite3.connect(root / "warehouse.sqlite")) as con:
            con.execute(statement)
            con.commit()

    numbers = f"with recursive t(i) as (select 0 union all select i + 1 from t where i + 1 < {COUNT})"
    run(
        f"""create table accounts as {numbers} select 'acct-' || i as account_id, i * 1.5 as health, i * 10 as arr,
        case when i % 7 > 0 then 'plan-' || (i % 3) end as plan, '["a","b"]' as labels,
        strftime('%Y-%m-%dT%H:%M:%SZ', '2026-01-01', '+' || i || ' hours') as renews_at from t"""
    )
    run(
        f"""create table events as {numbers} select i as event_id, 'user-' || (i % 10) as user_id,
        'acct-1' as account_id, 'pro' as plan, datetime('2026-01-01', '+' || i || ' seconds') as occurred_at from t"""
    )
    return Warehouse({"type": "sqlalchemy", "url": "sqlite:///warehouse.sqlite"}, run)


WAREHOUSES = (duckdb_warehouse, postgres_warehouse, snowflake_warehouse, sqlite_warehouse)


@dataclass
class Scene:
    """A project, its warehouse and the sandbox it writes to."""

    root: Path
    warehouse: Warehouse
    sandbox: Sandbox

    def project(self) -> Project:
        return load_project(self.root, environ={})

    def run(self, sync: str) -> RunResult:
        with self.project() as project:
            return project.run(sync)

    def custom(self, account: str) -> dict[str, Any]:
        return dict(self.sandbox.accounts[account]["custom"])


@pytest.fixture(params=WAREHOUSES, ids=lambda make: make.__name__.removesuffix("_warehouse"))
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    warehouse = request.param(tmp_path, request)
    sandbox = Sandbox()
    sandbox.add_objects("account", [f"acct-{i}" for i in range(COUNT)])
    with running(sandbox) as server:
        destination = {
            "type": "pendo",
            "base_url": server.url,
            "integration_key": INTEGRATION_KEY,
            "track_event_secret": TRACK_EVENT_SECRET,
            "max_requests_per_second": 100_000,
        }
        write(
            tmp_path / "connector.yml", {"sources": {"w": warehouse.settings}, "destinations": {"pendo": destination}}
        )
        for model, key in (("accounts", "account_id"), ("events", "event_id")):
            (tmp_path / "models").mkdir(exist_ok=True)
            text = f"/*\nsource: w\nprimary_key: {key}\n*/\nselect * from {model}\n"
            (tmp_path / f"models/{model}.sql").write_text(text)
        write(tmp_path / "sync_configs/accounts.yml", {**OBJECTS, "model": "accounts"})
        write(tmp_path / "sync_configs/events.yml", {**EVENTS, "model": "events"})
        yield Scene(tmp_path, warehouse, sandbox)


def write(path: Path, document: dict[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        YAML(typ="safe").dump(document, file)


def counted(result: RunResult) -> tuple[str, dict[str, int]]:
    """The status, and the numbers of rows that are not 0."""
    return result.status, {name: count for name, count in result.json()["rows"].items() if count}


def test_what_the_warehouse_says_is_what_pendo_holds(scene: Scene) -> None:
    with scene.project() as project:
        said = project.check_online()
        planned = project.plan("accounts").counts.added
    first, second = scene.run("accounts"), scene.run("accounts")

    assert ("w", f"{scene.warehouse.settings['type']}: logged in") in said
    assert planned == COUNT
    assert counted(first) == ("success", {"queried": COUNT, "added": COUNT})
    assert counted(second) == ("success", {"queried": COUNT, "unchanged": COUNT})
    assert second.json()["requests"]["sent"] == 0
    assert scene.custom("acct-7") == {"health": 10.5, "arr": 70, "renews_at": "2026-01-01T07:00:00Z", "big": "no"}
    assert scene.custom("acct-999") == {
        "health": 1498.5,
        "arr": 9990,
        "plan": "plan-0",
        "renews_at": "2026-02-11T15:00:00Z",
        "big": "yes",
    }


def test_a_change_is_all_that_is_sent(scene: Scene) -> None:
    scene.run("accounts")
    scene.warehouse.run("update accounts set plan = 'gold' where account_id = 'acct-3'")
    scene.warehouse.run("delete from accounts where account_id = 'acct-5'")
    again = scene.run("accounts")

    assert counted(again) == ("success", {"queried": COUNT - 1, "unchanged": COUNT - 2, "changed": 1, "removed": 1})
    assert scene.custom("acct-3")["plan"] == "gold"
    assert scene.custom("acct-5").get("plan") in (None, "")


def test_each_row_is_one_event(scene: Scene) -> None:
    first, second = scene.run("events"), scene.run("events")

    assert counted(first) == ("success", {"queried": COUNT, "added": COUNT})
    assert counted(second) == ("success", {"queried": COUNT, "unchanged": COUNT})
    assert sorted(event["properties"]["number"] for event in scene.sandbox.events) == list(range(COUNT))
    assert {event["timestamp"] % 1000 for event in scene.sandbox.events} == {0}


def test_a_list_is_sent_as_a_list(scene: Scene) -> None:
    fields = {"agent": {"labels": {"column": "labels", "type": "list"}}}
    write(scene.root / "sync_configs/labels.yml", {**OBJECTS, "model": "accounts", "fields": fields})
    with scene.project() as project:
        (sample,) = project.plan("labels", show=1).sample

    assert json.loads(sample.row)[0]["values"]["labels"] == ["a", "b"]


def test_a_model_of_dbt_is_a_source_like_any_other(scene: Scene) -> None:
    node = {
        "unique_id": "model.shop.accounts",
        "resource_type": "model",
        "name": "accounts",
        "package_name": "shop",
        "relation_name": "accounts",
        "config": {"materialized": "table"},
        "columns": {},
        "primary_key": ["account_id"],
    }
    schema = {"dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json", "adapter_type": "x"}
    (scene.root / "target").mkdir()
    (scene.root / "target/manifest.json").write_text(json.dumps({"metadata": schema, "nodes": {"n": node}}))
    (scene.root / "models/accounts.sql").unlink()
    write(scene.root / "sync_configs/accounts.yml", {**OBJECTS, "model": {"dbt": "accounts"}})

    assert counted(scene.run("accounts")) == ("success", {"queried": COUNT, "added": COUNT})


def test_a_model_can_be_looked_at(scene: Scene) -> None:
    with scene.project() as project:
        table = project.preview("accounts", limit=3)

    assert table.num_rows == 3
    assert table.column_names == ["account_id", "health", "arr", "plan", "labels", "renews_at"]
