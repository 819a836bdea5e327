"""The main job, end to end, as a user does it."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from connector.sandbox import INTEGRATION_KEY, TRACK_EVENT_SECRET

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Cli
    from tests.e2e.project import Scene

RUN_KEYS = {
    "run_id",
    "sync",
    "status",
    "started_at",
    "finished_at",
    "trigger",
    "error",
    "rows",
    "outcomes",
    "requests",
}
ROW_COUNTS = {"queried", "null_key", "duplicate_key", "unchanged", "added", "changed", "removed"}
OUTCOMES = {"succeeded", "rejected", "skipped", "in_doubt", "quarantined", "not_attempted"}
CALL_KEYS = {
    "id",
    "run_id",
    "started_at",
    "ms",
    "attempt",
    "method",
    "url",
    "request_headers",
    "request_body",
    "status",
    "response_headers",
    "response_body",
    "error",
    "rows",
    "reason",
}


def writes(world: Scene) -> list[str]:
    """The bodies of the calls that carried rows, as the sandbox received them."""
    carrying = ("/value", "/data/track")
    return [(each.body or b"").decode() for each in world.sandbox.requests if each.path.endswith(carrying)]


def totals(result: dict[str, Any]) -> dict[str, int]:
    """The number of rows with each outcome that some row has."""
    sums = {name: sum(counts.values()) for name, counts in result["outcomes"].items()}
    return {name: count for name, count in sums.items() if count}


def fingerprint(folder: Path) -> dict[str, str]:
    """Every file below a folder with the digest of what is in it, but for the files SQLite keeps while it is open."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(("-wal", "-shm"))]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_run_sends_every_row_and_the_next_run_sends_nothing(world: Scene, cli: Cli) -> None:
    first = cli("run", "--all", "--json")
    sent = len(world.sandbox.requests)
    second = cli("run", "--all", "--json")

    assert first.code == second.code == 0
    assert [totals(result) for result in first.json()] == [{"succeeded": 3}, {"succeeded": 3}]
    assert world.held() == world.wanted()
    assert world.delivered() == Counter({0: 1, 1: 1, 2: 1})
    assert [result["rows"]["unchanged"] for result in second.json()] == [3, 3]
    assert [result["requests"]["sent"] for result in second.json()] == [0, 0]
    assert len(world.sandbox.requests) == sent


@pytest.mark.usefixtures("world")
def test_a_result_has_the_keys_that_scripts_rely_on(cli: Cli) -> None:
    (result,) = cli("run", "accounts", "--json").json()

    assert set(result) == RUN_KEYS
    assert set(result["rows"]) - {"kept"} == ROW_COUNTS
    assert set(result["outcomes"]) == OUTCOMES
    assert all(set(counts) == {"added", "changed", "removed"} for counts in result["outcomes"].values())
    assert set(result["requests"]) == {"sent", "retried", "split"}
    assert (result["sync"], result["trigger"], result["error"]) == ("accounts", "cli", None)


def test_one_changed_row_sends_one_row(world: Scene, cli: Cli) -> None:
    cli("run", "accounts")
    world.sql("UPDATE accounts SET plan = 'enterprise' WHERE account_id = 'acct-1'")
    before = len(writes(world))
    (result,) = cli("run", "accounts", "--json").json()

    assert result["rows"]["changed"] == 1
    assert result["rows"]["unchanged"] == 2
    assert writes(world)[before:] == ['[{"accountId":"acct-1","values":{"health":1.5,"plan":"enterprise"}}]']


def test_an_unknown_id_is_skipped_and_a_bad_value_rejected_while_the_rest_arrives(troubled: Scene, cli: Cli) -> None:
    ended = cli("run", "accounts", "--json")
    (result,) = ended.json()
    rows = {row["key"]: row for row in cli("log", "--rows", "--json").json()}

    assert ended.code == 2
    assert result["status"] == "warning"
    assert totals(result) == {"succeeded": 3, "skipped": 1, "rejected": 1}
    assert set(troubled.held()) == {"acct-0", "acct-1", "acct-2"}
    assert rows["acct-unknown"]["outcome"] == "skipped"
    assert rows["acct-2x"]["outcome"] == "rejected"
    assert '"poor" cannot be read as a float' in rows["acct-2x"]["reason"]
    assert not any("acct-2x" in body for body in writes(troubled))


@pytest.mark.usefixtures("world")
def test_a_row_outcome_has_its_keys_and_what_was_sent(cli: Cli) -> None:
    cli("run", "accounts")
    row, *others = cli("log", "--rows", "--json").json()

    assert len(others) == 2
    assert set(row) == {"key", "change", "outcome", "reason", "call_id", "attempts", "payload"}
    assert row["payload"] == {"accountId": "acct-0", "values": {"health": 0.0, "plan": "plan-0"}}


def test_a_plan_prints_the_bodies_that_the_run_sends_and_changes_nothing(world: Scene, cli: Cli) -> None:
    cli("run", "accounts")
    world.sql("UPDATE accounts SET plan = plan || '!'")
    received, state = len(world.sandbox.requests), fingerprint(world.state_dir)
    plan = cli("plan", "accounts", "--json").json()
    printed = cli("plan", "accounts").out
    untouched = len(world.sandbox.requests) == received and fingerprint(world.state_dir) == state
    before = len(writes(world))
    cli("run", "accounts")
    (body,) = writes(world)[before:]

    assert untouched
    assert {sample["body"] for sample in plan["sample"]} == {body}
    assert body in printed.splitlines()
    assert set(plan) >= {"sync", "rows", "requests", "seconds", "guardrail", "sample"}
    assert (plan["requests"], plan["rows"]["changed"], plan["guardrail"]) == (1, 3, None)
    sample = plan["sample"][1]
    assert (sample["key"], sample["change"], sample["method"]) == ("acct-1", "changed", "POST")
    assert sample["url"].endswith("/api/v1/metadata/account/custom/value")
    assert sample["before"] == {"accountId": "acct-1", "values": {"health": 1.5, "plan": "plan-1"}}
    assert 'plan: "plan-1" -> "plan-1!"' in printed


def test_the_log_shows_each_call_that_the_sandbox_received_no_more_no_fewer(troubled: Scene, cli: Cli) -> None:
    runs = cli("run", "--all", "--json").json()
    logged = [call for run in runs for call in cli("log", run["run_id"], "--calls", "--json").json()]
    listed = Counter((call["method"], urlsplit(call["url"]).path, call["request_body"] or "") for call in logged)

    assert listed == troubled.received()
    assert all(set(call) >= CALL_KEYS for call in logged)
    assert sum(run["requests"]["sent"] for run in runs) == len(logged)


@pytest.mark.usefixtures("world")
def test_no_secret_is_in_anything_that_is_printed(cli: Cli) -> None:
    commands = [
        ["run", "--all"],
        ["log", "accounts", "--calls", "--json"],
        ["log", "events", "--calls", "--json"],
        ["log", "events", "--calls", "--format", "curl"],
        ["log", "accounts", "--calls", "--format", "har"],
        ["plan", "events", "--full-resync", "--resend-events"],
    ]
    said = "".join(ended.out + ended.err for ended in (cli(*words) for words in commands))

    assert "acct-1" in said
    assert INTEGRATION_KEY not in said
    assert TRACK_EVENT_SECRET not in said


def test_five_mistakes_are_reported_in_one_go(world: Scene, cli: Cli) -> None:
    (world.root / "sync_configs" / "accounts.yml").write_text(
        "model: acounts\ndestination: pendo\nobject: account\nmatch: account_id\n"
        "fields:\n  custom:\n    health: { column: health, nuls: omit }\nschedule: { every: often }\n",
        encoding="utf-8",
    )
    (world.root / "sync_configs" / "events.yml").write_text(
        "model: events\ndestination: pendo\nobject: track_event\nevent: { value: Upgrade }\n"
        "visitor_id: visitr_id\nbatch: { rows: 0 }\n",
        encoding="utf-8",
    )
    ended = cli("check")
    problems = cli("check", "--json").json()["problems"]
    ran = cli("run", "--all")

    assert ended.code == ran.code == 1
    assert [(problem["at"], problem["slug"]) for problem in problems] == [
        ("sync_configs/accounts.yml:1:8", "unknown-model"),
        ("sync_configs/accounts.yml:7:31", "unknown-key"),
        ("sync_configs/accounts.yml:8:20", "wrong-form"),
        ("sync_configs/events.yml:5:13", "unknown-column"),
        ("sync_configs/events.yml:6:16", "out-of-range"),
    ]
    assert all(problem["hint"] for problem in problems)
    assert all(f"{problem['at']}: error: {problem['message']}" in ended.err for problem in problems)
    assert "5 problems in 2 files; nothing was sent." in ended.err
    assert ran.err == ended.err
    assert world.sandbox.requests == []
