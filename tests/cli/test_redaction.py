"""`redact` and `store_payloads`: what is sent is true, and what is written down does not hold it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from connector.state.bodies import unpack
from tests.e2e.project import EVENT_SYNC, OBJECT_SYNC, outcomes, scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.conftest import Cli
    from tests.e2e.project import Scene

PEOPLE = 30
SYNC: dict[str, Any] = {
    **OBJECT_SYNC,
    "fields": {
        "custom": {
            "health": {"column": "health", "create": True},
            "email": {"column": "email", "create": True},
            "greeting": {"sql": "'Dear ' || Name", "create": True},
        }
    },
    "redact": ["EMAIL", "name"],
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Scene]:
    """Accounts with an address and a name each; Pendo does not know the last two."""
    with scene(tmp_path / "project") as made:
        made.sql(
            f"""CREATE OR REPLACE TABLE accounts AS SELECT 'acct-' || i AS account_id, i * 1.5 AS health,
                'Person' || i || '@Example.test' AS email,
                'Surname' || chr((97 + i % 26)::INTEGER) || ' "Quoted" Ünal' AS name
            FROM range({PEOPLE}) t(i)"""
        )
        made.sandbox.add_objects("account", [f"acct-{at}" for at in range(PEOPLE - 2)])
        yield made


def everything(folder: Path, *, leave_out: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Every text in a state directory with the place where it stands, whatever it is packed in."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.name in leave_out:
            continue
        yield path.name, path.read_bytes().decode(errors="replace")
        if path.suffix == ".parquet":
            with closing(duckdb.connect(":memory:")) as connection:
                yield path.name, str(connection.execute("SELECT * FROM read_parquet(?)", [str(path)]).fetchall())
    with closing(sqlite3.connect(folder / "history.db")) as database:
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in database.execute(f"SELECT * FROM {table}"):
                for value in row:
                    is_body = isinstance(value, bytes) and value[:1] in (b"p", b"z")
                    yield table, unpack(value).decode(errors="replace") if is_body else str(value)


def where(folder: Path, *texts: str, **more: Any) -> list[str]:
    """The places that hold one of the texts, whatever its case."""
    wanted = [form.casefold() for text in texts for form in (text, json.dumps(text)[1:-1])]
    return [place for place, text in everything(folder, **more) if any(form in text.casefold() for form in wanted)]


def test_values_are_sent_and_found_nowhere_afterwards(world: Scene, cli: Cli) -> None:
    sync = world.write("accounts", SYNC)
    result = world.run(sync)
    held = world.held()
    calls = cli("log", "--calls", "--json").out
    rows = cli("log", "--rows", "--json").out
    plan = cli("plan", "accounts", "--full-resync", "--json").out

    assert outcomes(result) == {"succeeded": PEOPLE - 2, "skipped": 2}
    assert held["acct-3"]["email"] == "Person3@Example.test"
    assert held["acct-3"]["greeting"] == 'Dear Surnamed "Quoted" Ünal'
    assert where(world.state_dir, "@example.test", "surname", "Ünal") == []
    assert where(world.state_dir, "acct-3", leave_out=("accounts.duckdb",)) != []
    assert all("example.test" not in shown.lower() and "redacted:" in shown for shown in (calls, rows, plan))


def test_equal_values_can_be_told_and_a_mask_tells_nothing(world: Scene) -> None:
    with world.project() as project:
        world.run(world.write("accounts", SYNC))
        greetings = {row["key"]: row["payload"]["values"]["greeting"] for row in project.rows()}
    world.forget()
    with world.project() as project:
        world.run(world.write("masked", SYNC, redact_with="mask"))
        masked = {row["payload"]["values"]["greeting"] for row in project.rows()}

    assert greetings["acct-0"] == greetings["acct-26"]
    assert greetings["acct-0"] != greetings["acct-1"]
    assert masked == {"[redacted]"}
    assert where(world.state_dir, "@example.test", "surname") == []


def test_a_key_that_is_redacted_is_found_by_the_key_itself(world: Scene, cli: Cli) -> None:
    sync = world.write("accounts", SYNC, redact=["account_id", "email", "name"])
    result = world.run(sync)
    (row,) = cli("log", "--rows", "--key", "acct-29", "--json").json()
    (carried,) = cli("log", "--calls", "--key", "acct-29", "--json").json()
    with world.project() as project:
        story = project.story("acct-29")["entries"]
    again = world.run(sync)

    assert outcomes(result) == {"succeeded": PEOPLE - 2, "skipped": 2}
    assert row["key"].startswith("redacted:")
    assert row["payload"]["accountId"] == row["key"]
    assert json.loads(carried["response_body"])["missing"][-1] == row["key"]
    assert [entry["outcome"] for entry in story] == ["skipped"]
    assert again.json()["rows"]["unchanged"] == PEOPLE - 2
    # The snapshot has to know which rows were accepted.
    assert where(world.state_dir, "acct-2", leave_out=("accounts.duckdb",)) == []


def test_what_cannot_be_sent_says_so_without_the_value(world: Scene) -> None:
    fields = {"custom": {"email": {"column": "email", "type": "integer", "create": True}}}
    world.run(world.write("accounts", SYNC, fields=fields))
    with world.project() as project:
        (reason,) = project.reasons()
        row = project.rows(outcome="rejected", limit=1)[0]

    assert reason.reason == "fields.custom.email: a value that is redacted cannot be read as an integer"
    assert row["payload"] == {"accountId": row["key"], "values": {}}
    assert where(world.state_dir, "@example.test") == []


@pytest.mark.parametrize("status", [200, 400, 403, 500])
def test_what_a_reply_repeats_is_not_written_down(world: Scene, cli: Cli, status: int) -> None:
    world.point_at(retries={"attempts": 1})
    said = "bad value person1@EXAMPLE.test, or it is 'Dear SurnameB \"quoted\" Ünal' of " + "Person2@example.test " * 40
    world.sandbox.add_faults({"path": "*/value", "status": status, "text": json.dumps({"errors": [said]})})
    world.run(world.write("accounts", SYNC, split_retries=False))
    shown = cli("log").out + cli("runs", "--json").out + cli("hold", "accounts").out

    assert "redacted" in shown
    assert "@example" not in shown.lower()
    assert where(world.state_dir, "@example", "surname") == []


def test_events_leave_nothing_in_log_and_history(world: Scene, cli: Cli) -> None:
    world.events(20)
    properties = {"number": "event_id", "who": "visitor_id"}
    redact = ["visitor_id", "event_id"]
    world.point_at(batching="array")
    sync = world.write("events", EVENT_SYNC, redact=redact, properties=properties, split_retries=False)
    world.sandbox.add_faults({"path": "*/track", "status": 400, "text": "no user-3 here"})
    first = world.run(sync)
    held = cli("hold", "events", "--json").json()
    retried = cli("retry", "events", "--key", held[0]["key"]).code
    world.sandbox.clear_faults()
    second = world.run(sync)

    assert outcomes(first)["rejected"] > 0
    assert retried == 0
    assert outcomes(second) == {"succeeded": outcomes(first)["rejected"]}
    assert {event["visitorId"] for event in world.sandbox.events} == {f"user-{at}" for at in range(20)}
    assert "redacted:" in json.loads(held[0]["payload"])["visitorId"]
    # Events are kept as they are in the state of their sync until they are delivered.
    assert where(world.state_dir, "user-", leave_out=("events.duckdb", "events.duckdb.wal")) == []


def test_an_event_that_is_kept_from_an_earlier_run_is_sent_as_it_was_and_logged_without(world: Scene, cli: Cli) -> None:
    world.events(4)
    world.point_at(batching="array")
    properties = {"number": "event_id", "who": "visitor_id", "list": {"sql": "[visitor_id, 'x']"}}
    sync = world.write("events", EVENT_SYNC, redact=["visitor_id"], properties=properties)
    world.sandbox.add_faults({"path": "*/track", "status": 400, "text": "no"})
    world.run(sync)
    world.sandbox.clear_faults()
    world.sql("DELETE FROM events")
    second = world.run(sync)
    bodies = [call["request_body"] for call in cli("log", "--calls", "--json").json()]

    assert outcomes(second) == {"succeeded": 4}
    assert sorted(event["properties"]["who"] for event in world.sandbox.events) == [f"user-{at}" for at in range(4)]
    assert bodies
    assert all("redacted:" in body and "user-" not in body for body in bodies)
    assert where(world.state_dir, "user-", leave_out=("events.duckdb", "events.duckdb.wal")) == []


@pytest.mark.parametrize("removed", ["delete", "clear"])
def test_what_is_removed_is_redacted_too(world: Scene, cli: Cli, removed: str) -> None:
    sync = world.write("accounts", SYNC, redact=["account_id", "email", "name"], on_removed=removed)
    world.run(sync)
    world.sql("DELETE FROM accounts WHERE account_id = 'acct-7'")
    second = world.run(sync)
    (row,) = cli("log", "--rows", "--change", "removed", "--json").json()

    assert second.json()["outcomes"]["succeeded"]["removed"] == 1
    assert row["key"].startswith("redacted:")
    assert "acct-7" not in cli("log", "--calls", "--json").out
    assert where(world.state_dir, "acct-7", leave_out=("accounts.duckdb",)) == []


def test_without_payloads_no_body_is_kept_and_the_log_says_so(world: Scene, cli: Cli) -> None:
    world.run(world.write("accounts", SYNC, redact=[], store_payloads=False))
    calls = cli("log", "--calls", "--json").json()
    shown = cli("log", "--call", str(calls[-1]["id"])).out
    rows = cli("log", "--rows", "--json").json()

    assert {call["request_body"] for call in calls} == {None}
    assert {call["response_body"] for call in calls} == {None}
    assert calls[-1]["bodies"] == "off"
    assert calls[-1]["request_bytes"] > 0
    assert "store_payloads is off" in shown
    assert {row["payload"] for row in rows} == {None}
    assert where(world.state_dir, "@example.test") == []


def test_a_column_that_the_model_lacks_is_a_mistake(world: Scene, cli: Cli) -> None:
    world.write("accounts", SYNC, redact=["mail"])
    checked = cli("run", "accounts")

    assert checked.code == 1
    assert "redact uses column 'mail'" in checked.err
    assert "did you mean 'email'" in checked.err
