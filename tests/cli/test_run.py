"""`connector run`: what it prints, what it ends with, and several syncs at once."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any

import pytest

from connector import load_project
from connector.cli.show_run import listed_keys
from connector.state.snapshot import open_snapshot
from tests.e2e.project import EVENT_SYNC, OBJECT_SYNC

if TYPE_CHECKING:
    from tests.cli.conftest import Cli
    from tests.e2e.project import Scene


def words_of(text: str) -> str:
    """The text with every run of spaces as one."""
    return " ".join(text.split())


def test_a_person_gets_a_summary(troubled: Scene, cli: Cli) -> None:
    ended = cli("run", "accounts")

    assert ended.err == ""
    assert "accounts  warning in" in ended.out
    assert "5 rows queried: 5 added" in ended.out
    assert "succeeded skipped rejected added 3 1 1" in words_of(ended.out)
    assert "5 requests sent" in ended.out
    assert "1 skipped: not found in Pendo acct-unknown" in words_of(ended.out)
    assert '1 rejected: fields.custom.health: "poor" cannot be read as a float acct-2x' in words_of(ended.out)
    assert "--rows --outcome rejected" in ended.out
    assert "next: " in ended.out
    assert f"connector --project {troubled.root} log " in ended.out
    assert "\x1b" not in ended.out


@pytest.mark.usefixtures("troubled")
def test_with_json_stdout_holds_one_document_and_people_read_stderr(cli: Cli) -> None:
    ended = cli("run", "--all", "--json")

    assert [result["sync"] for result in ended.json()] == ["accounts", "events"]
    assert "accounts  warning in" in ended.err


@pytest.mark.usefixtures("world")
def test_a_second_run_says_that_there_is_nothing_to_send(cli: Cli) -> None:
    cli("run", "events")

    assert "nothing to send" in cli("run", "events").out


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("words", [[], ["accounts", "--all"]])
def test_it_wants_names_or_all(cli: Cli, words: list[str]) -> None:
    ended = cli("run", *words)

    assert ended.code == 1
    assert "name the syncs to run, or give --all" in ended.err


@pytest.mark.usefixtures("world")
def test_an_unknown_sync_is_answered_with_the_nearest(cli: Cli) -> None:
    ended = cli("run", "acounts", "--json")
    (result,) = ended.json()

    assert ended.code == 1
    assert "error: there is no sync 'acounts' [unknown-sync]" in ended.err
    assert "hint: did you mean 'accounts'?" in ended.err
    assert (result["run_id"], result["sync"], result["status"]) == (None, "acounts", "failed")
    assert result["error"]["slug"] == "unknown-sync"
    assert result["rows"]["queried"] == 0
    assert result["outcomes"]["succeeded"] == {"added": 0, "changed": 0, "removed": 0}


def test_one_bad_sync_among_several_stops_all_before_anything_is_sent(world: Scene, cli: Cli) -> None:
    world.write("events", EVENT_SYNC, visitor_id="user")
    ended = cli("run", "accounts", "events", "--json")
    slugs = {result["sync"]: result["error"]["slug"] for result in ended.json()}

    assert ended.code == 1
    assert slugs == {"accounts": "other-sync", "events": "unknown-column"}
    assert "sync_configs/events.yml" in ended.err
    assert world.sandbox.requests == []


def test_a_project_with_mistakes_has_an_entry_for_each_sync_that_was_asked_for(world: Scene, cli: Cli) -> None:
    (world.root / "sync_configs" / "events.yml").write_text("model: events\n", encoding="utf-8")
    named = cli("run", "accounts", "events", "--json")
    every = cli("run", "--all", "--json")

    assert named.code == every.code == 1
    assert [result["sync"] for result in named.json()] == ["accounts", "events"]
    assert [(result["sync"], result["status"]) for result in every.json()] == [(None, "failed")]
    assert named.json()[0]["error"]["at"].startswith("sync_configs/events.yml")


def test_a_warehouse_that_is_away_stops_its_own_syncs_only(world: Scene, cli: Cli) -> None:
    text = (world.root / "connector.yml").read_text(encoding="utf-8")
    away = "sources:\n  elsewhere: {type: duckdb, path: elsewhere.duckdb}\n"
    (world.root / "connector.yml").write_text(text.replace("sources:\n", away), encoding="utf-8")
    model = world.root / "models" / "accounts.sql"
    model.write_text(model.read_text().replace("source: warehouse", "source: elsewhere"), encoding="utf-8")
    ended = cli("run", "--all", "--json")

    assert ended.code == 3
    assert [result["status"] for result in ended.json()] == ["failed", "success"]
    assert ended.json()[0]["error"]["slug"] == "source-file-missing"


def test_a_refused_key_fails_the_run(world: Scene, cli: Cli) -> None:
    world.point_at(integration_key="another-key")
    ended = cli("run", "accounts", "--json")
    (result,) = ended.json()

    assert ended.code == 3
    assert result["status"] == "failed"
    assert result["error"]["slug"] in ended.err
    assert result["outcomes"]["not_attempted"]["added"] == 3
    assert "error: " in ended.err


def test_several_syncs_end_with_the_worst_code(troubled: Scene, cli: Cli) -> None:
    troubled.write("more", EVENT_SYNC, event={"value": "More"})
    troubled.point_at(track_event_secret="another-secret")
    ended = cli("run", "--all", "--json")

    assert [result["status"] for result in ended.json()] == ["warning", "failed", "failed"]
    assert ended.code == 3


def test_a_guardrail_holds_the_run_until_it_is_forced(world: Scene, cli: Cli) -> None:
    world.write("accounts", OBJECT_SYNC, on_removed="clear", guardrails={"max_removed": 1})
    cli("run", "accounts")
    world.sql("DELETE FROM accounts WHERE account_id <> 'acct-0'")
    sent = len(world.sandbox.requests)
    plan = cli("plan", "accounts")
    held = cli("run", "accounts", "--json")
    shown = cli("run", "accounts")
    quiet = len(world.sandbox.requests) == sent
    forced = cli("run", "accounts", "--force", "--json")

    assert plan.code == 0
    assert "held: 2 rows would be removed; max_removed is 1" in plan.out
    assert held.code == shown.code == 4
    assert held.json()[0]["status"] == "held"
    assert held.json()[0]["error"]["slug"] == "held-max-removed"
    assert "--force" in shown.err
    assert quiet
    assert forced.code == 0
    assert forced.json()[0]["outcomes"]["succeeded"]["removed"] == 2


def test_one_row_can_be_sent_alone(world: Scene, cli: Cli) -> None:
    (result,) = cli("run", "accounts", "--row", "acct-1", "--json").json()

    assert result["rows"]["added"] == 1
    assert set(world.held()) == {"acct-1"}


@pytest.mark.usefixtures("world")
def test_a_limit_leaves_the_rest_for_the_next_run(cli: Cli) -> None:
    (first,) = cli("run", "accounts", "--limit", "2", "--json").json()
    (second,) = cli("run", "accounts", "--json").json()

    assert first["outcomes"]["succeeded"]["added"] == 2
    assert first["outcomes"]["not_attempted"]["added"] == 1
    assert second["outcomes"]["succeeded"]["added"] == 1


@pytest.mark.usefixtures("world")
def test_a_run_says_how_long_its_steps_took(cli: Cli) -> None:
    lines = cli("run", "accounts", "--timings").out.splitlines()

    assert any(re.match(r"  \S+ +\d+\.\d{3}  ", line) for line in lines)


def test_cautions_about_rows_are_shown_and_kept(world: Scene, cli: Cli) -> None:
    world.sql("UPDATE events SET occurred_at = TIMESTAMP '2020-01-01'")
    planned, ran, looked = cli("plan", "events"), cli("run", "events"), cli("log")

    assert "[old-times]" in planned.err
    assert "[old-times]" in ran.err
    assert "[old-times]" in looked.out


def test_a_cancelled_or_failed_run_says_how_to_go_on(world: Scene, cli: Cli) -> None:
    world.point_at(integration_key="another-key")
    failed = cli("run", "accounts")
    looked = cli("log")

    assert "next: " in failed.out
    assert "connector --project" in failed.out
    assert "error: " in looked.out


def test_events_are_sent_again_only_when_that_is_said_twice(world: Scene, cli: Cli) -> None:
    cli("run", "events")
    once = cli("run", "events", "--full-resync")
    twice = cli("run", "events", "--full-resync", "--resend-events")

    assert once.code == 1
    assert "[events-would-double]" in once.err
    assert twice.code == 0
    assert set(world.delivered().values()) == {2}


def test_a_sync_that_runs_elsewhere_is_busy(world: Scene, cli: Cli) -> None:
    with elsewhere(world, "accounts"):
        ended = cli("run", "accounts", "events", "--json")

    assert ended.code == 1
    assert [result["status"] for result in ended.json()] == ["failed", "success"]
    assert ended.json()[0]["error"]["slug"] == "sync-busy"


def test_it_can_wait_for_the_other_run(world: Scene, cli: Cli) -> None:
    holder = elsewhere(world, "accounts")
    holder.__enter__()
    threading.Timer(1.0, holder.__exit__, (None, None, None)).start()
    ended = cli("run", "accounts", "--wait", "--json")

    assert ended.code == 0
    assert ended.json()[0]["outcomes"]["succeeded"]["added"] == 3


def test_warnings_about_the_sync_are_shown(world: Scene, cli: Cli) -> None:
    world.write("events", {name: value for name, value in EVENT_SYNC.items() if name != "account_id"})
    ended = cli("run", "events")
    other = cli("run", "accounts")

    assert "warning: " in ended.err
    assert "sync_configs/events.yml" in ended.err
    assert other.err == ""


def elsewhere(world: Scene, sync: str) -> Any:
    """The sync's state, held as another process would hold it until the end of the block."""
    with load_project(world.root, environ={}) as project:
        return open_snapshot(project.definition.state_dir, sync)


def test_a_row_is_named_by_its_key_and_a_missing_one_is_told(world: Scene, cli: Cli) -> None:
    model = world.root / "models" / "pairs.sql"
    model.write_text(
        "/*\nsource: warehouse\nprimary_key: [id, part]\n*/\n"
        "select 'acct-1' as id, 'é/\"' as part, 'pro' as plan union all select ' ', 'x', 'pro'",
        encoding="utf-8",
    )
    world.write("pairs", OBJECT_SYNC, model="pairs", match="id", fields={"custom": {"plan": "plan"}})
    world.sandbox.add_fields("account", "custom", {"plan": "string"})
    planned = [cli("plan", "pairs", "--row", key, "--json").json() for key in ('["acct-1", "é/\\""]', '["acct-1","x"]')]
    ran = cli("run", "pairs", "--row", '["acct-1", "x"]')
    shapes = [cli("run", "pairs", "--row", key) for key in ("acct-1", '["acct-1"]', "[1, 2]")]

    assert [plan["rows"]["queried"] for plan in planned] == [1, 0]
    assert [[warning["slug"] for warning in plan["warnings"]] for plan in planned] == [[], ["unknown-row"]]
    assert "model 'pairs' has no row with the key that was asked for" in ran.err
    assert [ended.code for ended in (ran, *shapes)] == [0, 1, 1, 1]
    assert "the key of a row of 'pairs' is a JSON array of 2 texts [wrong-option]" in shapes[0].err


def test_keys_that_would_not_be_seen_are_in_quotes() -> None:
    assert listed_keys(["a1", "", "  ", "a, b", '["a","b"]']) == 'a1, "", "  ", "a, b", ["a","b"]'
