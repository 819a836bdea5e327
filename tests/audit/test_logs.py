"""What each run leaves in the warehouse: with every warehouse that can be written to."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from ruamel.yaml import YAML

from connector import load_project
from connector.errors import ConfigErrors
from connector.failpoints import LOGGED
from tests.e2e.project import ACCOUNTS, EVENT_SYNC, EVENTS, OBJECT_SYNC, Scene, scene
from tests.e2e.warehouses import NAMES, PostgresSchema, SnowflakeSchema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from connector.run.ending import RunResult

# DuckDB under fakesnow's hood.
pytestmark = pytest.mark.filterwarnings("ignore:Arrow output on a DB-API result")

COUNTS = ("planned", "succeeded", "rejected", "skipped")
COUNTED = [f"{what}_{change}" for what in COUNTS for change in ("added", "changed", "removed")]
SYNC_RUNS = ["sync", "run_id", "model", "destination", "object", "status", "error", "started_at", "finished_at"]
SYNC_RUNS += ["queried", *COUNTED]
CHANGELOG = ["sync", "run_id", "row_key", "change", "outcome", "reason", "call_id", "attempt", "http_status"]
CHANGELOG += ["fields", "at"]


@pytest.fixture(params=NAMES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    """A project whose runs are logged in the warehouse that its models read."""
    with scene(tmp_path / "p", source=request.param) as made:
        made.write(ACCOUNTS, OBJECT_SYNC)
        made.write(EVENTS, EVENT_SYNC)
        log_to(made, source="warehouse", schema=audit_schema(made))
        yield made


@pytest.fixture
def file_place(tmp_path: Path) -> Iterator[Scene]:
    """A project on a DuckDB file that also takes its logs."""
    with scene(tmp_path / "p", source="duckdb") as made:
        made.write(ACCOUNTS, OBJECT_SYNC)
        made.write(EVENTS, EVENT_SYNC)
        log_to(made, source="warehouse", schema="connector_audit")
        yield made


def audit_schema(made: Scene) -> str:
    """A schema that no other test writes to, where the warehouse outlives the test."""
    return f"connector_audit{getattr(made.warehouse, 'schema', '').replace('scene', '')}"


def log_to(made: Scene, sources: dict[str, Any] | None = None, **logs: str) -> None:
    """Nothing, after adding `logs:`, and more sources, to connector.yml."""
    file, yaml = made.root / "connector.yml", YAML(typ="safe")
    document = yaml.load(file)
    document["sources"] |= sources or {}
    document["logs"] = {**document.get("logs", {}), **logs}
    with file.open("w", encoding="utf-8") as out:
        yaml.dump(document, out)
    made.reload()


def table(made: Scene, name: str) -> list[dict[str, Any]]:
    """The rows of a table of the logs."""
    assert made.warehouse is not None
    columns = {"sync_runs": SYNC_RUNS, "connector_schema": ["table_name", "schema_version"]}.get(name, CHANGELOG)
    schema = audit_schema(made)
    full = f"{schema}_{name}" if made.source["type"] == "sqlalchemy" else f"{schema}.{name}"
    rows = made.warehouse.ask(f"select * from {full}")
    return [dict(zip(columns, row, strict=True)) for row in rows]


def fields(row: dict[str, Any]) -> Any:
    """The mapped values of a row, however the warehouse hands JSON on."""
    return json.loads(row["fields"]) if isinstance(row["fields"], str) else row["fields"]


def unwritten(result: RunResult) -> list[dict[str, Any]]:
    """The warnings of a run about its logs."""
    return [warning for warning in result.run.warnings if warning["slug"] == "logs-not-written"]


def test_runs_changes_and_the_latest_of_each_row_are_in_the_warehouse(place: Scene) -> None:
    place.accounts(4)
    place.events(2)
    place.sql("INSERT INTO accounts VALUES ('nobody', 1, 'x')")
    first, events = place.run(ACCOUNTS), place.run(EVENTS)
    place.sql("UPDATE accounts SET health = 99 WHERE account_id = 'acct-1'", "DELETE FROM accounts WHERE plan = 'x'")
    second = place.run(ACCOUNTS)
    place.sql("DELETE FROM accounts WHERE account_id = 'acct-1'")
    third = place.run(ACCOUNTS)
    runs = {row["run_id"]: row for row in table(place, "sync_runs")}
    changelog = {(row["run_id"], row["row_key"]): row for row in table(place, "changelog")}
    latest = {(row["sync"], row["row_key"]): row for row in table(place, "snapshot")}

    assert [unwritten(each) for each in (first, events, second, third)] == [[]] * 4
    assert set(runs) == {each.run.run_id for each in (first, events, second, third)}
    one = runs[first.run.run_id]
    assert [one[name] for name in ("sync", "model", "destination", "object", "status", "error", "queried")] == [
        ACCOUNTS,
        ACCOUNTS,
        "pendo",
        "account",
        "success",
        None,
        5,
    ]
    assert (one["planned_added"], one["succeeded_added"], one["skipped_added"], one["rejected_added"]) == (5, 4, 1, 0)
    assert runs[second.run.run_id]["succeeded_changed"] == 1
    assert runs[third.run.run_id]["planned_removed"] == 1
    assert as_time(one["started_at"]) <= as_time(one["finished_at"])

    assert len(changelog) == 5 + 2 + 1 + 1
    row = changelog[first.run.run_id, "acct-1"]
    assert (row["sync"], row["change"], row["outcome"], row["reason"]) == (ACCOUNTS, "added", "succeeded", None)
    assert (row["attempt"], row["http_status"]) == (1, 200)
    assert fields(row) == {"custom": {"health": 1.5, "plan": "plan-1"}}
    assert changelog[first.run.run_id, "nobody"]["outcome"] == "skipped"
    assert changelog[first.run.run_id, "nobody"]["reason"] == "not found in Pendo"
    assert fields(changelog[events.run.run_id, "1"])["properties"] == {"number": 1, "plan": "plan-1"}
    assert fields(changelog[second.run.run_id, "acct-1"])["custom"]["health"] == 99
    assert fields(changelog[third.run.run_id, "acct-1"]) is None
    with place.project() as project:
        calls = {call.id for run in project.runs() for call in project.calls(run.run_id)}
    assert {row["call_id"] for row in changelog.values()} - {None} <= calls

    assert len(latest) == 5 + 2
    assert {key: row["run_id"] for key, row in latest.items()} == {
        **{(ACCOUNTS, key): first.run.run_id for key in ("acct-0", "acct-2", "acct-3", "nobody")},
        (ACCOUNTS, "acct-1"): third.run.run_id,
        **{(EVENTS, key): events.run.run_id for key in "01"},
    }
    assert all(row == changelog[row["run_id"], row["row_key"]] for row in latest.values())
    assert {(row["table_name"], row["schema_version"]) for row in table(place, "connector_schema")} == {
        ("sync_runs", 1),
        ("changelog", 1),
        ("snapshot", 1),
    }


def as_time(value: Any) -> datetime:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def test_a_row_found_by_splitting_shows_the_call_that_decided(file_place: Scene) -> None:
    place = file_place
    place.events(64)
    place.sql("UPDATE events SET visitor_id = 'user-' || event_id")
    place.sandbox.add({"failing_ids": {"track_event": {"user-13": "no good"}}})
    result = place.run(EVENTS)
    rows = {row["row_key"]: row for row in table(place, "changelog")}
    with place.project() as project:
        calls = {call.id: call for call in project.calls(result.run.run_id)}

    assert not unwritten(result)
    assert len(rows) == 64
    assert {key: row["outcome"] for key, row in rows.items() if row["outcome"] != "succeeded"} == {"13": "rejected"}
    assert rows["13"]["http_status"] == 400
    assert rows["13"]["reason"]
    assert len({row["call_id"] for row in rows.values()}) > 3
    for key, row in rows.items():
        call = calls[row["call_id"]]
        assert row["http_status"] == call.status
        assert fields(row)["properties"]["number"] == int(key)


def test_texts_that_a_warehouse_might_not_take_are_written(place: Scene) -> None:
    strange = "O''Brien \"x\", \\ 世界 🌍 '||chr(10)||'"
    place.sql(
        "DELETE FROM accounts",
        f"INSERT INTO accounts VALUES ('it''s, \"one\"', 1.5, '{strange}'), ('b', 2, ''), ('c', 3, NULL)",
    )
    place.sandbox.add_objects("account", ['it\'s, "one"', "b", "c"])
    result = place.run(ACCOUNTS)
    rows = {row["row_key"]: fields(row)["custom"] for row in table(place, "changelog")}

    assert not unwritten(result)
    assert rows == {
        'it\'s, "one"': {"health": 1.5, "plan": 'O\'Brien "x", \\ 世界 🌍 \n'},
        "b": {"health": 2, "plan": ""},
        "c": {"health": 3},
    }


def test_a_run_whose_process_died_after_it_was_written_is_there_once(place: Scene) -> None:
    died_and_logged(place, LOGGED)


@pytest.mark.parametrize("moment", ["all-sent", "finished"])
def test_a_run_whose_process_died_is_logged_once_by_the_next_one(file_place: Scene, moment: str) -> None:
    died_and_logged(file_place, moment)


def died_and_logged(place: Scene, moment: str) -> None:
    place.accounts(20)
    child = place.start("run", ACCOUNTS, environ={"CONNECTOR_FAILPOINT": moment})
    child.communicate()
    assert child.returncode == -9
    place.run(EVENTS)
    dead = [row for row in table(place, "sync_runs") if row["sync"] == ACCOUNTS]
    # A run that was not settled is settled by the next run of the same sync, and is logged then.
    assert len(dead) == (0 if moment == "all-sent" else 1)

    result = place.run(ACCOUNTS)
    runs = [row["status"] for row in table(place, "sync_runs") if row["sync"] == ACCOUNTS]
    keys = [row["row_key"] for row in table(place, "changelog") if row["run_id"] != result.run.run_id]

    assert sorted(runs) == (["interrupted", "success"] if moment == "all-sent" else ["success", "success"])
    assert sorted(keys) == sorted(f"acct-{at}" for at in range(20))
    with place.project() as project:
        assert project.history.unlogged.ended() == ()


# --- when the warehouse does not take them ---------------------------------------------------------------------------


def test_logs_that_cannot_be_written_are_a_warning_and_the_next_run_writes_them(tmp_path: Path) -> None:
    with scene(tmp_path / "p", source="duckdb") as place:
        place.write(ACCOUNTS, OBJECT_SYNC)
        place.accounts(3)
        log_to(place, {"audit": {"type": "duckdb", "path": "later/audit.duckdb"}}, source="audit", schema="audit")
        first = place.run(ACCOUNTS)
        place.sql("UPDATE accounts SET plan = 'new' WHERE account_id = 'acct-0'")
        second = place.run(ACCOUNTS)
        (place.root / "later").mkdir()
        place.sql("UPDATE accounts SET plan = 'newer' WHERE account_id = 'acct-0'")
        third = place.run(ACCOUNTS)
        with duckdb.connect(str(place.root / "later" / "audit.duckdb"), read_only=True) as connection:
            runs = connection.execute("select run_id from audit.audit.sync_runs order by started_at").fetchall()
            (latest,) = connection.execute(
                "select run_id from audit.audit.snapshot where row_key = 'acct-0'"
            ).fetchall()

    (warning,) = unwritten(first)
    assert first.status == second.status == third.status == "success"
    assert first.exit_code == 0
    assert warning["message"].startswith("the logs could not be written to audit: ")
    assert warning["at"].startswith("connector.yml:")
    assert len(unwritten(second)) == 1
    assert unwritten(third) == []
    assert [run for (run,) in runs] == [each.run.run_id for each in (first, second, third)]
    assert latest == (third.run.run_id,)


def test_missing_grants_are_named_and_granting_them_is_enough(tmp_path: Path) -> None:
    with scene(tmp_path / "p", source="postgres") as place:
        assert isinstance(place.warehouse, PostgresSchema)
        warehouse, schema = place.warehouse, audit_schema(place)
        user = f"writer_of_{warehouse.schema}"
        place.write(ACCOUNTS, OBJECT_SYNC)
        place.accounts(3)
        warehouse.server.run(
            f"create role {user} login password 'wr1ter'",
            f"alter role {user} set default_transaction_read_only = on",
            f"grant usage on schema {warehouse.schema} to {user}",
            f"grant select on all tables in schema {warehouse.schema} to {user}",
        )
        warehouse.entry = warehouse.entry_of(user, "wr1ter")
        place.point_at()
        log_to(place, source="warehouse", schema=schema)
        hints = []
        for grant in (
            f"create schema {schema}",
            f"grant usage, create on schema {schema} to {user}",
        ):
            (warning,) = unwritten(place.run(ACCOUNTS))
            hints.append(warning["hint"])
            warehouse.server.run(grant)
        written = place.run(ACCOUNTS)
        warehouse.server.run(
            f"revoke delete on all tables in schema {schema} from {user}", f"alter schema {schema} owner to postgres"
        )
        for name in ("sync_runs", "changelog", "snapshot", "connector_schema"):
            warehouse.server.run(
                f"alter table {schema}.{name} owner to postgres", f"grant select, insert on {schema}.{name} to {user}"
            )
        (refused,) = unwritten(place.run(ACCOUNTS))
        hints.append(refused["hint"])
        warehouse.server.run(f"grant select, insert, delete on all tables in schema {schema} to {user}")
        last = place.run(ACCOUNTS)

        assert f'create schema "{schema}" authorization "{user}"' in hints[0]
        assert f'grant create on database "postgres" to "{user}"' in hints[0]
        assert f'grant usage, create on schema "{schema}" to "{user}"' in hints[1]
        assert f'grant select, insert, delete on all tables in schema "{schema}" to "{user}"' in hints[2]
        assert unwritten(written) == unwritten(last) == []
        assert len(table(place, "sync_runs")) == 5


def test_a_newer_connectors_tables_are_left_alone(place: Scene) -> None:
    place.run(ACCOUNTS)
    name = "connector_schema"
    full = f"{audit_schema(place)}_{name}" if place.source["type"] == "sqlalchemy" else f"{audit_schema(place)}.{name}"
    assert place.warehouse is not None
    place.warehouse.tell(f"update {full} set schema_version = 2 where table_name = 'changelog'")
    (warning,) = unwritten(place.run(ACCOUNTS))

    assert "changelog has schema version 2; this connector knows 1" in warning["message"]
    assert len(table(place, "sync_runs")) == 1


def test_somebody_elses_table_is_left_alone(file_place: Scene) -> None:
    file_place.sql("CREATE SCHEMA connector_audit", "CREATE TABLE connector_audit.snapshot (a INT)")
    (warning,) = unwritten(file_place.run(ACCOUNTS))

    assert "connector_audit.snapshot has no column sync, run_id" in warning["message"]
    assert file_place.ask("SELECT count(*) FROM connector_audit.snapshot") == [(0,)]


def test_a_file_that_somebody_reads_just_now_is_waited_for(file_place: Scene) -> None:
    """One process may write a DuckDB file, or several read it; a short query elsewhere costs no log."""
    program = (
        f"import duckdb, time; con = duckdb.connect({str(file_place.root / 'warehouse.duckdb')!r}, read_only=True)"
    )
    program += "; print('open', flush=True); time.sleep(1.5)"
    file_place.accounts(2)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        reader.stdout.readline()
        result = file_place.run(ACCOUNTS)

    assert unwritten(result) == []


def test_syncs_that_run_at_the_same_time_are_each_logged_once(file_place: Scene) -> None:
    file_place.accounts(50)
    file_place.events(50)
    children = [file_place.start("run", name) for name in (ACCOUNTS, EVENTS)]
    said = [child.communicate() for child in children]
    file_place.run(ACCOUNTS)

    assert [child.returncode for child in children] == [0, 0], said
    runs = file_place.ask("SELECT run_id, count(*) FROM connector_audit.sync_runs GROUP BY ALL")
    assert [count for _, count in runs] == [1, 1, 1]
    assert file_place.ask("SELECT count(*), count(DISTINCT (sync, row_key)) FROM connector_audit.changelog") == [
        (100, 100)
    ]


# --- what they hold --------------------------------------------------------------------------------------------------


def test_a_run_that_was_held_or_failed_is_logged_with_its_error(file_place: Scene) -> None:
    file_place.accounts(20)
    file_place.run(ACCOUNTS)
    file_place.sql("DELETE FROM accounts")
    held = file_place.run(ACCOUNTS)
    rows = file_place.ask(
        "SELECT status, error, queried, planned_removed FROM connector_audit.sync_runs ORDER BY started_at"
    )

    assert held.status == "held"
    assert rows[0][:2] == ("success", None)
    assert rows[1][0] == "held"
    assert rows[1][1].startswith("held-")


def test_redacted_values_are_not_written(file_place: Scene) -> None:
    file_place.write(ACCOUNTS, OBJECT_SYNC, redact=["plan"], redact_with="mask")
    file_place.accounts(3)
    file_place.run(ACCOUNTS)
    found = file_place.ask("SELECT fields::VARCHAR FROM connector_audit.changelog")

    assert len(found) == 3
    assert all("plan-" not in text and '"health"' in text for (text,) in found)


def test_payloads_that_are_not_kept_are_not_written(file_place: Scene) -> None:
    file_place.write(ACCOUNTS, OBJECT_SYNC, store_payloads=False)
    file_place.accounts(3)
    file_place.run(ACCOUNTS)

    assert file_place.ask("SELECT outcome, fields FROM connector_audit.changelog") == [("succeeded", None)] * 3


def test_values_of_both_groups_are_together(file_place: Scene) -> None:
    groups = {
        "custom": {"health": {"column": "health", "create": True}},
        "agent": {"tier": {"column": "plan", "create": True}},
    }
    file_place.write(ACCOUNTS, OBJECT_SYNC, fields=groups)
    file_place.accounts(1)
    file_place.run(ACCOUNTS)
    ((found,),) = file_place.ask("SELECT fields::VARCHAR FROM connector_audit.changelog")

    assert json.loads(found) == {"agent": {"tier": "plan-0"}, "custom": {"health": 0.0}}


def test_a_large_run_goes_in_few_statements(tmp_path: Path) -> None:
    """Never row by row: the statements that Snowflake sees do not grow with the rows."""
    asked = []
    with scene(tmp_path / "p", source="snowflake") as place:
        assert isinstance(place.warehouse, SnowflakeSchema)
        place.write(EVENTS, EVENT_SYNC)
        log_to(place, source="warehouse", schema=audit_schema(place))
        for rows in (10, 30_000):
            place.forget()
            place.events(rows)
            before = len(place.warehouse.server.asked)
            place.run(EVENTS)
            tagged = [tag for tag, _, _ in place.warehouse.server.asked[before:] if tag == "connector:logs"]
            asked.append(len(tagged))
        (count,) = place.warehouse.ask(f"select count(*) from {audit_schema(place)}.changelog")

    assert count == (30_010,)
    assert asked[1] <= asked[0] < 40


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("logs", "slug", "words"),
    [
        ({"source": "warehous"}, "unknown-source", "did you mean 'warehouse'?"),
        ({"schema": "audit"}, "missing-key", "source"),
        ({"source": "warehouse", "schema": "drop table; --"}, "wrong-form", "schema"),
        ({"source": "warehouse", "shema": "x"}, "unknown-key", "schema"),
    ],
)
def test_mistakes_are_found_by_check(file_place: Scene, logs: dict[str, str], slug: str, words: str) -> None:
    file_place.point_at()
    log_to(file_place, None, **logs)
    with pytest.raises(ConfigErrors) as caught:
        load_project(file_place.root, environ={})
    (problem,) = caught.value.problems

    assert problem.slug == slug
    assert words in str(problem)
    assert problem.at is not None
    assert problem.at.startswith("connector.yml:")


def test_an_empty_entry_is_none(file_place: Scene) -> None:
    file_place.point_at()
    with (file_place.root / "connector.yml").open("a", encoding="utf-8") as file:
        file.write("logs:\n")

    assert load_project(file_place.root, environ={}).definition.logs is None
