"""The filters of `connector log` and `runs`, stories, trees, replays, and what other programs read."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from connector.sandbox import INTEGRATION_KEY
from connector.state import open_history
from connector.state.clock import SystemClock
from tests.cli.har_schema import HAR
from tests.e2e.project import EVENT_SYNC, OBJECT_SYNC, scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.conftest import Cli
    from tests.e2e.project import Scene


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Three runs of 16 accounts: added, changed, and a refused batch that was split; one key looks like a formula."""
    with scene(tmp_path_factory.mktemp("past") / "project") as made:
        made.accounts(15)
        made.sandbox.add_objects("account", ["=1+1"])
        made.sql("INSERT INTO accounts VALUES ('=1+1', 7, 'plan-0')")
        made.write("accounts", OBJECT_SYNC)
        made.write("events", EVENT_SYNC)
        made.run("accounts")
        made.sql("UPDATE accounts SET health = health + 1")
        made.run("accounts")
        made.sql("UPDATE accounts SET plan = 'gold' WHERE account_id <> 'acct-3'")
        made.sandbox.add_faults({"path": "*/value", "status": 400, "text": "too bad", "last": 2})
        made.run("accounts")
        made.sandbox.clear_faults()
        yield made


@pytest.fixture
def cli(past: Scene, capsys: pytest.CaptureFixture[str]) -> Cli:
    """The command line on that project."""
    from tests.cli.conftest import Cli as Caller  # noqa: PLC0415 - the fixture of that name is another one

    return Caller(past.root, capsys)


def ids(cli: Cli, *words: str) -> list[int]:
    return [call["id"] for call in cli("log", *words, "--json").json()]


def test_calls_are_narrowed_down_by_each_filter(cli: Cli) -> None:
    every = cli("log", "--calls", "--json").json()
    refused = [call["id"] for call in every if call["status"] == 400]

    assert len(refused) == 2
    assert (
        ids(cli, "--status", "4xx")
        == ids(cli, "--verdict", "refused")
        == ids(cli, "--reason", "TOO bad", "--calls")
        == refused
    )
    assert ids(cli, "--endpoint", "/token/") == [call["id"] for call in every if "/token/" in call["url"]]
    assert ids(cli, "--route", "custom") == [call["id"] for call in every if call["route"] == "custom"]
    assert ids(cli, "--text", "ACCT-11") == [call["id"] for call in every if "acct-11" in (call["request_body"] or "")]
    assert ids(cli, "--min-ms", "0", "--max-ms", "600000") == [call["id"] for call in every]
    assert ids(cli, "--min-ms", "600000") == ids(cli, "--until", "1d") == []
    assert ids(cli, "--since", "1h") == [call["id"] for call in every]
    assert cli("log", "--since", "soon").code == 1


def test_calls_of_all_runs_are_searched_at_once(cli: Cli) -> None:
    of_all = cli("log", "--all-runs", "--text", "acct-11", "--json").json()
    of_sync = cli("log", "accounts", "--all-runs", "--text", "acct-11", "--json").json()
    of_other = cli("log", "events", "--all-runs", "--json").json()

    assert len({call["run_id"] for call in of_all}) == 3
    assert of_sync == of_all
    assert of_other == []


def test_a_row_has_a_story_over_all_runs(cli: Cli) -> None:
    story = cli("log", "--key", "acct-2", "--all-runs", "--json").json()
    shown = cli("log", "accounts", "--key", "acct-2", "--all-runs").out
    nobody = cli("log", "--key", "nobody", "--all-runs")
    newest, middle, oldest = story["entries"]

    assert [entry["change"] for entry in story["entries"]] == ["changed", "changed", "added"]
    assert oldest["before"] is None
    assert middle["before"] == oldest["after"]
    assert middle["differences"] == [{"field": "custom.values.health", "before": 3.0, "after": 4.0}]
    assert newest["differences"] == [{"field": "custom.values.plan", "before": "plan-2", "after": "gold"}]
    assert len(newest["calls"]) > 1
    assert newest["calls"][0]["reply"] == "too bad"
    assert "custom.values.health  3.0  →  4.0" in shown
    assert "no run that is kept changed a row" in nobody.err


@pytest.mark.parametrize("removed", ["delete", "clear"])
def test_a_story_goes_on_when_the_row_is_gone_and_back(tmp_path: Path, removed: str) -> None:
    with scene(tmp_path / "project") as world:
        world.accounts(3)
        world.write("accounts", OBJECT_SYNC, on_removed=removed)
        world.run("accounts")
        world.sql("CREATE TABLE kept AS SELECT * FROM accounts", "DELETE FROM accounts WHERE account_id = 'acct-1'")
        world.run("accounts")
        world.sql("INSERT INTO accounts SELECT * FROM kept WHERE account_id = 'acct-1'")
        world.run("accounts")
        with world.project() as project:
            back, gone, first = project.story("acct-1", "accounts")["entries"]

    assert [entry["change"] for entry in (first, gone, back)] == ["added", "removed", "added"]
    assert gone["before"] == first["after"]
    assert {(each["field"], each["after"]) for each in gone["differences"]} == {
        ("custom.accountId", None),
        ("custom.values.health", None),
        ("custom.values.plan", None),
    }
    assert back["before"] is None
    assert gone["calls"][0]["status"] == 200


def test_an_event_has_a_story(tmp_path: Path) -> None:
    with scene(tmp_path / "project") as world:
        world.events(3)
        world.write("events", EVENT_SYNC)
        world.run("events")
        with world.project() as project:
            (entry,) = project.story("2")["entries"]

    assert entry["after"]["track"]["properties"] == {"number": 2, "plan": "plan-2"}
    assert entry["outcome"] == "succeeded"


def test_a_refused_batch_is_a_tree(cli: Cli) -> None:
    (root, *_) = cli("log", "--status", "400", "--json").json()
    tree = cli("log", "--tree").out
    of_call = cli("log", "--call", str(root["id"]), "--tree").out
    one = cli("log", "--call", str(root["id"])).out
    (family,) = cli("log", "--tree", "--json").json()

    assert "├─ " in tree
    assert "└─ " in tree
    assert of_call == tree
    assert tree in one
    assert family[0] == {"id": root["id"], "parent_id": None}


def test_reasons_are_grouped_with_counts(cli: Cli, past: Scene) -> None:
    past.sql("INSERT INTO accounts SELECT 'gone-' || i, 1, 'x' FROM range(3) t(i)")
    past.run("accounts")
    (reason,) = cli("log", "--reasons", "--json").json()
    shown = cli("log", "--reasons").out
    rows = cli("log", "--reason", reason["reason"], "--json").json()
    table = list(csv.DictReader(io.StringIO(cli("log", "--reasons", "--format", "csv").out)))
    past.sql("DELETE FROM accounts WHERE account_id LIKE 'gone-%'")

    assert reason["rows"] == 3
    assert reason["outcome"] == "skipped"
    assert "not found in Pendo" in shown
    assert [row["key"] for row in rows] == ["gone-0", "gone-1", "gone-2"]
    assert table[0]["rows"] == "3"


def test_runs_are_narrowed_down_and_exported(cli: Cli) -> None:
    every = cli("runs", "--json").json()
    table = list(csv.DictReader(io.StringIO(cli("runs", "--format", "csv").out)))

    assert cli("runs", "--status", "failed", "--status", "held", "--json").json() == []
    assert cli("runs", "--trigger", "python", "--since", "1h", "--json").json() == every
    assert cli("runs", "--min-seconds", "600", "--json").json() == []
    assert cli("runs", "--until", "1d").err.strip() == "there is no such run"
    assert [line["run_id"] for line in table] == [run["run_id"] for run in every]
    assert json.loads(table[0]["rows"]) == every[0]["rows"]


def test_csv_quotes_as_rfc_4180_says_and_has_no_formula(cli: Cli) -> None:
    text = cli("log", "accounts", "--rows", "--format", "csv").out
    keys = [row["key"] for row in csv.DictReader(io.StringIO(text))]
    true = [row["key"] for row in cli("log", "accounts", "--rows", "--format", "json").json()]

    assert "\r\n" in text
    assert ("'=1+1" in keys) == ("=1+1" in true)
    assert not any(key.startswith("=") for key in keys)


def test_har_is_what_the_schema_of_har_1_2_asks_for(cli: Cli) -> None:
    document = cli("log", "--all-runs", "--format", "har").json()
    problems = [error.message for error in Draft202012Validator(HAR).iter_errors(document)]

    assert problems == []
    assert len(document["log"]["entries"]) > 8


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_curl_lines_run_as_they_stand(cli: Cli, past: Scene, tmp_path: Path) -> None:
    lines = cli("log", "accounts", "--route", "custom", "--format", "curl").out
    script = tmp_path / "calls.sh"
    script.write_text(lines)
    before = len(past.sandbox.requests)
    environ = {**os.environ, "PENDO_INTEGRATION_KEY": INTEGRATION_KEY, "no_proxy": "127.0.0.1"}
    done = subprocess.run(["sh", "-e", str(script)], env=environ, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert len(past.sandbox.requests) - before == lines.count("curl --request")
    assert {request.status for request in past.sandbox.requests[before:]} == {200}
    assert INTEGRATION_KEY not in lines


def test_a_call_is_sent_again_and_logged(cli: Cli, past: Scene) -> None:
    call = cli("log", "accounts", "--route", "custom", "--json").json()[-1]
    before = len(past.sandbox.requests)
    again = cli("log", "--call", str(call["id"]), "--replay", "--yes", "--json").json()
    sandbox = cli("log", "--call", str(call["id"]), "--replay", "--to", past.url, "--yes", "--json").json()
    far = cli("log", "--call", str(call["id"]), "--replay", "--to", "http://192.0.2.1:80", "--yes")
    alone = cli("log", "--replay")

    assert len(past.sandbox.requests) - before == 2
    assert again["request_body"] == sandbox["request_body"] == call["request_body"]
    assert (again["status"], again["parent_id"], again["rows"], again["verdict"]) == (200, call["id"], 0, "replayed")
    assert again["id"] in ids(cli, "accounts", "--calls")
    assert "[replay-elsewhere]" in far.err
    assert alone.code == 1


def test_what_is_not_kept_cannot_be_sent_again(cli: Cli, past: Scene) -> None:
    for name, more in (("quiet", {"store_payloads": False}), ("shy", {"redact": ["plan"]})):
        past.write(name, OBJECT_SYNC, **more)
        past.run(name)
        call = cli("log", name, "--calls", "--json").json()[-1]
        refused = cli("log", "--call", str(call["id"]), "--replay", "--yes")
        line = cli("log", "--call", str(call["id"]), "--format", "curl").out
        (past.root / "sync_configs" / f"{name}.yml").unlink()
        past.reload()

        assert "[replay-refused]" in refused.err
        assert all(part.startswith("# ") for part in line.splitlines())


@pytest.mark.parametrize(
    "words",
    [
        ["--outcome", "rejected", "--status", "400"],
        ["--rows", "--text", "x"],
        ["--rows", "--format", "har"],
        ["--all-runs", "--rows"],
        ["--follow", "--status", "400"],
        ["--to", "http://127.0.0.1:1"],
    ],
)
def test_what_does_not_go_together_is_refused(cli: Cli, words: list[str]) -> None:
    assert cli("log", *words).code == 1


def test_a_run_that_has_not_begun_is_followed_from_another_program(tmp_path: Path) -> None:
    with scene(tmp_path / "project") as world, open_history(world.state_dir, clock=SystemClock()) as history:
        world.accounts(5)
        world.write("accounts", OBJECT_SYNC)
        asked = history.triggers.ask("accounts", trigger="api")
        follower = world.start("log", asked.run_id, "--follow")
        said: list[str] = []
        assert follower.stderr is not None
        said.append(follower.stderr.readline())
        running = threading.Thread(target=world.run, args=("accounts",), kwargs={"run_id": asked.run_id})
        running.start()
        out, _ = follower.communicate(timeout=60)
        running.join()

    assert "waiting for the run to begin" in said[0]
    assert "/value" in out
    assert out.splitlines()[-1] == f"run {asked.run_id}: success"


def test_a_search_in_bodies_stops_early_and_goes_on(past: Scene) -> None:
    from connector.state.calls import CallFilter  # noqa: PLC0415 - only here

    with past.project() as project:
        calls = project.history.calls
        every = calls.search(None, CallFilter(text="acct-11"), limit=1000)
        first = calls.search(None, CallFilter(text="acct-11"), limit=1)
        rest = calls.search(None, CallFilter(text="acct-11", after=first.looked), limit=1000)
        hasty = calls.search(None, CallFilter(text="acct-11"), limit=1000, budget_s=0.0)
        counted = calls.count(None, CallFilter(text="acct-11"))

    assert every.complete
    assert not first.complete
    assert first.ids + rest.ids == every.ids
    assert len(every.ids) == counted
    assert hasty.looked >= 0
