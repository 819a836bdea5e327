"""The sample data and the sample project fit each other, and are what the documentation says."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest

from connector.errors import ConfigError
from connector.ports import Query
from connector.project.load import Systems, load
from connector.sample.data import (
    BAD_SEATS_ACCOUNT,
    CHANGED_ACCOUNT,
    DOUBLE_VISITOR,
    UNKNOWN_VISITOR,
    a_day_later,
    build_warehouse,
    copy_sample,
    sandbox_yaml,
    seed,
)
from connector.sandbox.seed import read_seed, seed_of
from connector.systems import DESTINATIONS, SOURCES

if TYPE_CHECKING:
    from connector.project.definition import Definition

ROOT = Path(__file__).parents[1]
NOW = 1_800_000_000.0
WEEK_S = 7 * 24 * 3600


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample") / "project"
    copy_sample(folder)
    build_warehouse(folder / "warehouse.duckdb", now=NOW)
    return folder


@pytest.fixture(scope="module")
def definition(project: Path) -> Definition:
    return load(project, Systems(SOURCES, DESTINATIONS), environ={})


def rows_of(definition: Definition, sync: str) -> list[dict[str, object]]:
    model, source = definition.syncs[sync].model, definition.syncs[sync].source
    with SOURCES[source.type].open(source.settings, definition.root).read(Query(model.sql)) as reader:
        return list(reader.read_all().to_pylist())


def test_the_sample_project_is_read_and_warns_only_of_the_agent_fields_that_it_shows(definition: Definition) -> None:
    assert sorted(definition.syncs) == ["account_health", "parent_accounts", "plan_upgrades", "visitors"]
    assert [warning.slug for warning in definition.warnings] == ["agent-fields-overwritten"]


def test_every_column_that_a_sync_names_is_in_its_model(definition: Definition) -> None:
    for sync in definition.syncs.values():
        source = SOURCES[sync.source.type].open(sync.source.settings, definition.root)
        columns = source.columns(Query(sync.model.sql)).names
        values = sync.settings.model_dump()
        named = [*columns_in(values), *([values["match"]] if "match" in values else [])]

        assert set(named) <= set(columns)
        assert len(columns) <= 12


def columns_in(value: object) -> list[str]:
    if not isinstance(value, dict):
        return []
    own = [value["column"]] if isinstance(value.get("column"), str) else []
    return own + [name for inner in value.values() for name in columns_in(inner)]


@pytest.mark.parametrize(
    ("sync", "id_column", "known", "rows"),
    [
        ("visitors", "user_id", "visitors", 1000),
        ("account_health", "account_id", "accounts", 120),
        ("parent_accounts", "group_id", "parent_accounts", 12),
        ("plan_upgrades", "user_id", "visitors", 2000),
        ("plan_upgrades", "account_id", "accounts", 2000),
    ],
)
def test_the_sandbox_knows_every_id(definition: Definition, sync: str, id_column: str, known: str, rows: int) -> None:
    ids = [row[id_column] for row in rows_of(definition, sync)]

    assert len(ids) == rows
    assert set(ids) <= set(seed()[known])


def test_a_day_later_one_row_changed_and_one_of_each_thing_goes_wrong(tmp_path: Path) -> None:
    copy_sample(tmp_path / "later")
    build_warehouse(tmp_path / "later" / "warehouse.duckdb", now=NOW)
    later = load(tmp_path / "later", Systems(SOURCES, DESTINATIONS), environ={})
    before = {row["account_id"]: row["health_score"] for row in rows_of(later, "account_health")}
    a_day_later(tmp_path / "later" / "warehouse.duckdb")
    users = Counter(row["user_id"] for row in rows_of(later, "visitors"))
    accounts = rows_of(later, "account_health")

    changed = {row["account_id"] for row in accounts if row["health_score"] != before.get(row["account_id"])}
    assert changed == {CHANGED_ACCOUNT}
    assert [user for user, rows in users.items() if rows > 1] == [DOUBLE_VISITOR]
    assert set(users) - set(seed()["visitors"]) == {UNKNOWN_VISITOR}
    assert [row["account_id"] for row in accounts if not str(row["seats"]).isdigit()] == [BAD_SEATS_ACCOUNT]
    assert sum(row["account_id"] is None for row in accounts) == 1


def test_events_lie_in_the_last_seven_days_and_never_in_the_future(project: Path) -> None:
    with duckdb.connect(str(project / "warehouse.duckdb"), read_only=True) as con:
        (oldest, newest) = con.sql(
            "select epoch(min(changed_at)), epoch(max(changed_at)) from billing.plan_changes"
        ).fetchall()[0]

    assert NOW - WEEK_S < oldest < newest <= NOW


def test_the_same_moment_gives_the_same_warehouse_and_another_only_moves_the_events(
    project: Path, tmp_path: Path
) -> None:
    again, later = tmp_path / "again.duckdb", tmp_path / "later.duckdb"
    build_warehouse(again, now=NOW)
    build_warehouse(later, now=NOW + 60)
    build_warehouse(later, now=NOW + 60)
    with duckdb.connect() as con:
        for name, path in (("was", project / "warehouse.duckdb"), ("again", again), ("later", later)):
            con.execute(f"attach '{path}' as {name} (read_only)")
        for table in ("app.users", "marts.accounts", "billing.account_groups", "billing.plan_changes"):
            assert con.execute(f"from was.{table} except from again.{table}").fetchall() == []
            moved = con.execute(f"from was.{table} except from later.{table}").fetchall()
            assert bool(moved) == (table == "billing.plan_changes")
    assert not list(tmp_path.glob("*.new*"))


def test_the_sandbox_file_is_the_seed() -> None:
    written = read_seed(ROOT / "sandbox.yml")

    assert written == seed_of(seed())


def test_the_sandbox_file_is_up_to_date() -> None:
    assert (ROOT / "sandbox.yml").read_text(encoding="utf-8") == sandbox_yaml(), (
        "write it anew: python3 dev.py nox -s sample"
    )


def test_a_copied_project_is_complete_and_keeps_state_and_secrets_out_of_git(project: Path) -> None:
    ignored = (project / ".gitignore").read_text(encoding="utf-8").split()

    assert {".connector/", ".env", "*.duckdb"} <= set(ignored)
    for name in ("connector.yml", "sandbox.yml", "models/users.sql", "sync_configs/visitors.yml"):
        assert (project / name).read_bytes() == (ROOT / name).read_bytes()


def test_a_project_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    with pytest.raises(ConfigError) as caught:
        copy_sample(tmp_path)

    assert caught.value.problem.slug == "project-exists"
    assert "already holds models" in caught.value.problem.message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models"]
