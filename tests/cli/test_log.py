"""`connector log` and `connector runs`: what happened, for people and for programs."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import threading
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from connector.sandbox import INTEGRATION_KEY
from tests.e2e.project import OBJECT_SYNC

if TYPE_CHECKING:
    from tests.cli.conftest import Cli
    from tests.e2e.project import Scene


@pytest.fixture
def ran(troubled: Scene, cli: Cli) -> Scene:
    """A project whose accounts have been run once."""
    cli("run", "accounts")
    return troubled


@pytest.mark.usefixtures("ran")
def test_by_default_it_sums_up_the_last_run(cli: Cli) -> None:
    shown = cli("log").out
    document = cli("log", "--json").json()

    assert "accounts  warning in" in shown
    assert "5 rows queried: 5 added" in shown
    assert "by cli" in shown
    assert "GET /api/v1/token/verify" in shown
    assert "POST /api/v1/metadata/account/custom/value" in shown
    assert "next: " in shown
    assert "connector --project" in shown
    assert document["run"]["sync"] == "accounts"
    assert [call["method"] for call in document["calls"]] == ["GET", "GET", "POST", "GET", "POST"]


@pytest.mark.usefixtures("ran")
def test_a_run_is_named_by_its_id_its_end_its_sync_or_last(cli: Cli) -> None:
    (run,) = cli("runs", "--json").json()
    names = [run["run_id"], run["run_id"][-6:], run["run_id"][:12], "accounts", "last"]
    found = [cli("log", name, "--json").json()["run"]["run_id"] for name in names]
    wrong = cli("log", "nothing")

    assert found == [run["run_id"]] * len(names)
    assert wrong.code == 1
    assert "[unknown-run]" in wrong.err


@pytest.mark.usefixtures("ran")
def test_rows_are_listed_with_their_reasons(cli: Cli) -> None:
    lines = cli("log", "--rows").out.splitlines()
    skipped = cli("log", "--outcome", "skipped", "--json").json()
    none = cli("log", "--outcome", "quarantined")

    assert lines[0].split() == ["key", "change", "outcome", "call", "tries", "reason,", "or", "what", "was", "sent"]
    assert [line.split()[:3] for line in lines[1:]] == [
        ["acct-0", "added", "succeeded"],
        ["acct-1", "added", "succeeded"],
        ["acct-2", "added", "succeeded"],
        ["acct-2x", "added", "rejected"],
        ["acct-unknown", "added", "skipped"],
    ]
    assert lines[2].endswith('{"accountId":"acct-1","values":{"health":1.5}}')
    assert [row["key"] for row in skipped] == ["acct-unknown"]
    assert none.out == ""
    assert "has no such row" in none.err


@pytest.mark.usefixtures("ran")
def test_a_key_shows_its_row_and_the_calls_that_carried_it(cli: Cli) -> None:
    shown = cli("log", "--key", "acct-1").out
    document = cli("log", "--key", "acct-1", "--json").json()
    calls = cli("log", "--calls", "--key", "acct-1", "--json").json()
    unknown = cli("log", "--key", "acct-9")

    assert "acct-1  added, succeeded after 1 request" in shown
    assert '"health": 1.5' in shown
    assert [row["key"] for row in document["rows"]] == ["acct-1"]
    assert [call["url"].endswith("/value") for call in document["calls"]] == [True]
    assert calls == document["calls"]
    assert "no row with the key 'acct-9'" in unknown.err


@pytest.mark.usefixtures("ran")
def test_one_call_is_shown_in_full(cli: Cli) -> None:
    call_id = str(cli("log", "--calls", "--json").json()[-1]["id"])
    shown = cli("log", "--call", call_id).out
    document = cli("log", "--call", call_id, "--json").json()
    unknown = cli("log", "--call", "999")

    assert "x-pendo-integration-key: ***" in shown
    assert '  "missing": [' in shown
    assert "POST http://127.0.0.1:" in shown
    assert "verdict ok" in shown
    assert document["status"] == 200
    assert unknown.code == 1
    assert "[unknown-call]" in unknown.err


def test_a_call_without_an_answer_says_so(world: Scene, cli: Cli) -> None:
    world.point_at("http://127.0.0.1:9", retries={"attempts": 1})
    ended = cli("run", "accounts")
    call_id = str(cli("log", "--calls", "--json").json()[0]["id"])

    assert ended.code == 3
    assert "none" in cli("log", "--calls").out
    assert "no reply: " in cli("log", "--call", call_id).out
    assert cli("log", "--calls", "--format", "har").json()["log"]["entries"][0]["response"]["status"] == 0


@pytest.mark.usefixtures("ran")
def test_har_is_what_browsers_read(cli: Cli) -> None:
    log = cli("log", "--format", "har").json()["log"]

    assert log["version"] == "1.2"
    assert set(log) >= {"version", "creator", "entries"}
    assert len(log["entries"]) == 5
    for entry in log["entries"]:
        assert datetime.fromisoformat(entry["startedDateTime"]).tzinfo is not None
        assert set(entry) >= {"startedDateTime", "time", "request", "response", "cache", "timings"}
        assert set(entry["request"]) >= {
            *("method", "url", "httpVersion", "cookies", "headers", "queryString", "headersSize", "bodySize")
        }
        assert set(entry["response"]) >= {
            *("status", "statusText", "httpVersion", "cookies", "headers", "content", "redirectURL"),
            *("headersSize", "bodySize"),
        }
        assert entry["time"] == sum(entry["timings"].values())
    assert json.loads(log["entries"][-1]["request"]["postData"]["text"])[0]["accountId"] == "acct-0"


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_a_curl_command_makes_the_call_again(ran: Scene, cli: Cli) -> None:
    commands = cli("log", "--calls", "--format", "curl").out.splitlines()
    received = len(ran.sandbox.requests)
    done = subprocess.run(
        ["bash", "-c", commands[-1] + " --silent --fail"],
        env={"PENDO_INTEGRATION_KEY": INTEGRATION_KEY, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    again = ran.sandbox.requests[received]
    first = ran.sandbox.requests[received - 1]

    assert json.loads(done.stdout)["updated"] == 3
    assert (again.method, again.path, again.body) == (first.method, first.path, first.body)
    assert len(commands) == 5


@pytest.mark.usefixtures("ran")
def test_one_call_and_one_key_have_the_other_forms_too(cli: Cli) -> None:
    call_id = str(cli("log", "--calls", "--json").json()[-1]["id"])
    one = cli("log", "--call", call_id, "--format", "curl").out.splitlines()
    of_key = cli("log", "--key", "acct-1", "--format", "curl").out.splitlines()
    verify = cli("log", "--call", str(int(call_id) - 4)).out

    assert one == of_key
    assert len(one) == 1
    assert one[0].startswith("curl --request POST ")
    assert "  no body" in verify


@pytest.mark.usefixtures("ran")
def test_csv_has_a_line_for_each_call_and_each_row(cli: Cli) -> None:
    calls = list(csv.DictReader(io.StringIO(cli("log", "--format", "csv").out)))
    rows = list(csv.DictReader(io.StringIO(cli("log", "--rows", "--format", "csv").out)))

    assert [call["method"] for call in calls] == ["GET", "GET", "POST", "GET", "POST"]
    assert json.loads(calls[-1]["request_headers"])["x-pendo-integration-key"] == "***"
    assert [row["outcome"] for row in rows] == ["succeeded"] * 3 + ["rejected", "skipped"]
    assert json.loads(rows[0]["payload"]) == {"accountId": "acct-0", "values": {"health": 0.0}}


@pytest.mark.parametrize(
    "words",
    [
        ["--calls", "--outcome", "skipped"],
        ["--rows", "--format", "har"],
        ["--follow", "--rows"],
        ["--follow", "--format", "csv"],
        ["--outcome", "lost"],
    ],
)
@pytest.mark.usefixtures("world")
def test_options_that_contradict_each_other_are_refused(cli: Cli, words: list[str]) -> None:
    ended = cli("log", *words)

    assert ended.code == 1
    assert ended.out == ""
    assert "error: " in ended.err


@pytest.mark.usefixtures("ran")
def test_following_a_run_that_is_over_shows_its_calls(cli: Cli) -> None:
    lines = cli("log", "--follow").out.splitlines()

    assert len(lines) == 6
    assert "GET /api/v1/token/verify" in lines[0]
    assert lines[-1].endswith(": warning")
    assert len(cli("log", "--follow", "--json").json()) == 5


def test_a_run_is_followed_while_it_goes_on(world: Scene, cli: Cli) -> None:
    world.accounts(40)
    world.point_at(concurrency=1)
    world.write("accounts", OBJECT_SYNC, batch={"rows": 1})
    world.sandbox.add_faults({"path": "/api/v1/metadata/account/custom/value", "latency_ms": 50})
    running = threading.Thread(target=world.run, args=("accounts",))
    running.start()
    wait_for_a_run(world)
    lines = cli("log", "--follow").out.splitlines()
    running.join()

    assert lines[-1].endswith(": success")
    assert len(lines) == 1 + len(world.sandbox.requests)


def wait_for_a_run(world: Scene) -> None:
    while not (world.state_dir / "history.db").exists():
        time.sleep(0.05)
    with world.project() as project:
        while not project.runs():
            time.sleep(0.05)


@pytest.mark.usefixtures("world")
def test_the_history_lists_runs_the_newest_first(cli: Cli) -> None:
    empty = cli("runs")
    cli("run", "accounts")
    cli("run", "events")
    cli("run", "events")
    listed = cli("runs").out.splitlines()
    one = cli("runs", "accounts", "--json").json()
    limited = cli("runs", "--limit", "1", "--json").json()
    unknown = cli("runs", "event")

    assert "there is no run yet" in empty.err
    assert [line.split()[1] for line in listed] == ["sync", "events", "events", "accounts"]
    assert [run["sync"] for run in one] == ["accounts"]
    assert [run["sync"] for run in limited] == ["events"]
    assert unknown.code == 1
    assert "did you mean 'events'?" in unknown.err


def test_looking_back_works_while_the_files_have_mistakes(ran: Scene, cli: Cli) -> None:
    (ran.root / "sync_configs" / "accounts.yml").write_text("model: nothing\n", encoding="utf-8")

    assert cli("log").code == 0
    assert cli("runs").code == 0
    assert cli("run", "--all").code == 1


@pytest.mark.parametrize("key", ['["acct-1","plan-1"]', '["acct-1", "plan-1"]', ' [ "acct-1","plan-1" ]'])
def test_rows_of_a_composite_key_are_found_by_it_however_it_is_spaced(world: Scene, cli: Cli, key: str) -> None:
    model = world.root / "models" / "accounts.sql"
    text = model.read_text(encoding="utf-8").replace("primary_key: account_id", "primary_key: [account_id, plan]")
    model.write_text(text, encoding="utf-8")
    world.sandbox.seed({"failing_ids": {"account": {"acct-1": "no room"}}})
    cli("run", "accounts")
    rows: list[Any] = cli("log", "--key", key, "--rows", "--json").json()
    retried = cli("retry", "accounts", "--key", key)
    nonsense = cli("release", "accounts", "--key", "acct-1")

    assert [row["outcome"] for row in rows] == ["rejected"]
    assert (retried.code, nonsense.code) == (0, 1)
    assert "the key of a row of 'accounts' is a JSON array of 2 texts [wrong-option]" in nonsense.err
