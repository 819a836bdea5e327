"""A project that is watched: what it runs into, who is told, and that nobody is told twice."""

from __future__ import annotations

import base64
import hashlib
import hmac
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from connector import alerts, load_project
from connector.alerts.sending import GIVE_UP_S
from connector.errors import ConfigErrors, ConnectorError
from connector.run.means import Options
from connector.run.steps import run_sync
from connector.state import open_history
from connector.state.alerts import NewMessage
from connector.state.due import DueSync
from tests.alerts.conftest import WEBHOOK_SECRET, Watched
from tests.alerts.services import PAGERDUTY, SLACK

if TYPE_CHECKING:
    from collections.abc import Callable

    from connector.state.history import History

NONE: dict[str, Any] = {"failed": "off", "held": "off", "rejected_percent": "off", "missed": "off"}


def in_history(watched: Watched, use: Callable[[History], Any]) -> Any:
    with watched.scene.project() as project:
        return use(project.history)


def alerts_told(watched: Watched) -> list[tuple[str, str]]:
    return [(one["type"], one["data"]["condition"]) for one in watched.posted() if one["type"].startswith("alert")]


# --- what is told ----------------------------------------------------------------------------------------------------


def test_a_run_that_a_guardrail_held_is_a_warning_until_one_comes_through(watched: Watched) -> None:
    watched.write("hook")
    watched.sync(on_removed="delete", guardrails={"max_removed": 1})
    watched.run()
    watched.scene.sql("DELETE FROM accounts WHERE account_id IN ('acct-0', 'acct-1')")
    held = watched.run()
    watched.run()
    watched.run(force=True)
    data = next(one["data"] for one in watched.posted() if one["type"] == "alert.warning")

    assert held.status == "held"
    assert alerts_told(watched) == [("alert.warning", "held"), ("alert.recovered", "held")]
    assert (data["error"], data["next"]) == ("held-max-removed", "connector plan accounts")
    assert "2 rows would be removed" in data["reason"]


def test_rejected_rows_are_told_with_the_reason_of_most_of_them(watched: Watched) -> None:
    watched.write("hook")
    watched.scene.sql(
        "CREATE OR REPLACE TABLE accounts AS SELECT account_id, health::VARCHAR AS health, plan FROM accounts",
        "UPDATE accounts SET health = 'poor' WHERE account_id = 'acct-1'",
    )
    watched.sync(fields={"custom": {"health": {"column": "health", "type": "float", "create": True}}})
    run = watched.run()
    data = next(one["data"] for one in watched.posted() if one["type"].startswith("alert"))

    assert (data["condition"], data["level"]) == ("rejected", "warning")
    assert data["what"] == "1 of 3 rows were rejected (33.3 %)"
    assert data["reason"].startswith("1 rows: ")
    assert "poor" in data["reason"]
    assert data["next"] == f"connector log {run.run.run_id} --rows --outcome rejected"
    assert data["outcomes"]["rejected"]["added"] == 1


def test_a_row_count_that_is_off_and_comes_back(watched: Watched) -> None:
    watched.write("hook", row_count_percent=50)
    for _ in range(3):
        watched.run()
    watched.scene.sql("DELETE FROM accounts WHERE account_id <> 'acct-0'")
    watched.run()
    watched.scene.accounts(3, known=True)
    watched.run()

    assert alerts_told(watched) == [("alert.warning", "row_count"), ("alert.recovered", "row_count")]


def test_a_cancelled_run_and_one_that_succeeds_tell_nothing(watched: Watched) -> None:
    watched.write("hook")
    watched.run()
    with watched.scene.project() as project:
        project.stop.set()
        cancelled = project.run("accounts", full_resync=True)

    assert cancelled.status == "cancelled"
    assert alerts_told(watched) == []
    assert watched.told() == ["run.started", "run.finished"] * 2


def test_a_project_without_channels_writes_nothing_down(watched: Watched) -> None:
    watched.refuse()
    watched.run()
    watched.look()

    assert in_history(watched, lambda history: (history.alerts.states(), history.alerts.messages())) == ((), ())
    assert watched.services.requests == []


# --- runs that do not come -------------------------------------------------------------------------------------------


def test_no_run_when_one_was_due_is_told_first_as_a_warning_then_as_critical(watched: Watched) -> None:
    watched.write("hook")
    due_at = watched.clock.now() + 60
    in_history(watched, lambda history: history.due.put(DueSync("accounts", "every 1h", due_at)))
    early = watched.look(120)
    told_early = watched.told()
    for _ in range(3):
        watched.look(240)
    told_warning = watched.told()
    for _ in range(3):
        watched.look(1200)
    told_critical = watched.told()
    watched.run()
    in_history(watched, lambda history: history.due.put(DueSync("accounts", "every 1h", watched.clock.now() + 3600)))
    watched.look()
    data = watched.posted()[0]["data"]

    assert (early, told_early) == ((), [])
    assert told_warning == ["alert.warning"]
    assert told_critical == ["alert.warning", "alert.critical"]
    assert alerts_told(watched) == [(f"alert.{change}", "missed") for change in ("warning", "critical", "recovered")]
    assert data["what"] == "no run has started that was due 13 min ago"
    assert data["reason"] == "nobody has asked for it: is `connector serve` running?"


def test_a_run_that_waits_in_the_queue_is_overdue_and_one_that_started_is_not(watched: Watched) -> None:
    watched.write("hook")
    now = watched.clock.now()
    in_history(watched, lambda history: history.triggers.ask("accounts", trigger="schedule", due_at=now))
    watched.look(700)
    waiting = [one["data"]["reason"] for one in watched.posted()]
    in_history(watched, lambda history: history.triggers.claim("me", limit=1))
    watched.run()

    assert waiting == ["it waits in the queue"]
    assert alerts_told(watched)[-1] == ("alert.recovered", "missed")


def test_a_trigger_whose_process_died_before_the_run_is_overdue(watched: Watched) -> None:
    watched.write("hook")
    now = watched.clock.now()

    def die(history: History) -> None:
        history.triggers.ask("accounts", trigger="schedule", due_at=now)
        (claimed,) = history.triggers.claim("me", limit=1)
        problem = ConnectorError("the process died", slug="process-died").problem
        history.triggers.settle(claimed.id, problem)

    in_history(watched, die)
    watched.look(700)

    assert [one["data"]["reason"] for one in watched.posted()] == ["the process died"]


def test_a_paused_sync_is_never_overdue(watched: Watched) -> None:
    watched.write("hook")
    in_history(watched, lambda history: history.due.put(DueSync("accounts", "every 1h", watched.clock.now())))
    in_history(watched, lambda history: history.pauses.pause("accounts"))
    watched.look(9000)

    assert watched.told() == []


def test_a_run_that_goes_on_for_too_long_is_told_while_it_does(watched: Watched) -> None:
    watched.write("hook", slow_after="5m")
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from connector.state import open_history\n"
        "from connector.state.runs import NewRun\n"
        "from tests.state.fake_clock import FakeClock\n"
        "history = open_history(Path(sys.argv[1]), clock=FakeClock())\n"
        "history.runs.start(NewRun('going', 'accounts', 'schedule', 'accounts', 'pendo', 'account'))\n"
    )
    subprocess.run([sys.executable, "-c", program, str(watched.scene.state_dir)], check=True)
    watched.look(200)
    before = watched.told()
    watched.look(200)
    watched.look(200)

    assert before == []
    assert alerts_told(watched) == [("alert.warning", "slow")]
    assert watched.posted()[0]["data"]["next"] == "connector log going --follow"


# --- who is told -----------------------------------------------------------------------------------------------------


def test_a_sync_over_its_destination_over_the_project(watched: Watched) -> None:
    watched.write("hook", "slack", "pagerduty", to=["pagerduty"], failed={"warning": 1})
    watched.scene.destination["alerts"] = {"to": ["slack"]}
    watched.write("hook", "slack", "pagerduty", to=["pagerduty"], failed={"warning": 1})
    watched.sync("own", alerts=["hook"])
    watched.sync("quiet", alerts="off")
    watched.refuse()
    for name in ("accounts", "own", "quiet"):
        watched.run(name)

    assert [one.json()["attachments"][0]["title"] for one in watched.services.to(SLACK)] == [
        "[warning] accounts: runs fail"
    ]
    assert alerts_told(watched) == [("alert.warning", "failed")]
    assert {one["data"]["sync"] for one in watched.posted()} == {"own"}
    assert watched.services.to(PAGERDUTY) == []


def test_a_channel_that_is_not_there_is_an_error_with_its_place(watched: Watched) -> None:
    watched.write("hook", to=["hok"])
    watched.sync("own", alerts={"to": ["hook", "nobody"]})
    with pytest.raises(ConfigErrors) as caught:
        watched.run()
    found = [(problem.at, problem.slug, problem.hint) for problem in caught.value.problems]

    assert [(at and at.split(":")[0], slug) for at, slug, _ in found] == [
        ("connector.yml", "unknown-channel"),
        ("sync_configs/own.yml", "unknown-channel"),
    ]
    assert found[0][2] == "did you mean 'hook'? channels: hook"


def test_a_muted_sync_is_told_of_when_the_mute_ends(watched: Watched) -> None:
    watched.write("hook", slow_after="off")
    with watched.scene.project() as project:
        project.alerts.mute("accounts", "2h")
    watched.refuse()
    watched.run()
    watched.look()
    muted = alerts_told(watched)
    watched.look(7200)
    watched.look()
    with watched.scene.project() as project:
        known = [(state.condition, state.level) for state in project.alerts.states()]

    assert muted == []
    assert alerts_told(watched) == [("alert.critical", "failed")]
    assert known == [("failed", "critical")]


# --- channels that are down ------------------------------------------------------------------------------------------


def test_a_channel_that_is_down_is_a_warning_of_the_run_and_is_told_later(watched: Watched) -> None:
    watched.write("hook", "slack", "mail")
    watched.services.down |= {SLACK, "webhook", "smtp"}
    result = watched.run()
    watched.refuse()
    failed = watched.run(full_resync=True)
    with watched.scene.project() as project:
        waiting = {message.channel for message in project.alerts.waiting()}
        shown = str(project.alerts.json())
    watched.services.down.clear()
    watched.services.requests.clear()
    watched.look(3600)

    assert (result.status, failed.status) == ("success", "failed")
    assert [warning["slug"] for warning in result.run.warnings] == ["alert-not-sent"]
    assert {warning["slug"] for warning in failed.run.warnings} == {"alert-not-sent"}
    assert waiting == {"hook", "slack", "mail"}
    assert "secret-of-the-service" not in shown
    assert "TIiajkdnlazkcOXrIdevi7FQ" not in shown + str(failed.run.warnings)
    assert len(watched.services.to(SLACK)) == 1
    assert watched.told() == ["run.started", "run.finished", "run.started", "alert.critical", "run.finished"]
    assert len(watched.services.mails) == 2
    assert in_history(watched, lambda history: history.alerts.waiting()) == ()


def test_what_is_sent_again_can_be_told_from_what_is_new(watched: Watched) -> None:
    watched.write("hook")
    watched.services.once.append(500)
    result = watched.run()
    watched.look(3600)
    seen = [(one.json()["type"], one.headers["webhook-id"]) for one in watched.services.to("webhook")]

    # The end of a run is not told before its beginning.
    assert [event for event, _ in seen] == ["run.started", "run.started", "run.finished"]
    assert len(set(seen)) == 2
    assert [warning["slug"] for warning in result.run.warnings] == ["alert-not-sent"]


def test_a_sync_that_is_gone_is_forgotten_and_one_that_cannot_be_read_is_not(watched: Watched) -> None:
    watched.write("hook")
    watched.sync("other")
    watched.refuse()
    watched.run("accounts")
    watched.run("other")
    (watched.scene.root / "sync_configs" / "other.yml").unlink()
    (watched.scene.root / "sync_configs" / "accounts.yml").write_text("model: [\n")
    with load_project(watched.scene.root, environ={}, strict=False, clock=watched.clock) as project:
        alerts.look(project.definition, project.history, watched.clock)
        known = {state.sync for state in project.history.alerts.states()}

    assert known == {"accounts"}


def test_what_is_said_of_one_thing_is_said_in_its_order(watched: Watched) -> None:
    watched.write("hook", **NONE, row_count_percent="off")
    watched.sync()

    def queue(history: History) -> list[Any]:
        history.alerts.queue([NewMessage("hook", "alert", "accounts", "failed", {"n": n}) for n in (1, 2)])
        history.alerts.queue([NewMessage("hook", "alert", "accounts", "held", {"n": 3})])
        first = history.alerts.claim(60)
        assert first is not None
        history.alerts.failed(first.id, "down", again_at=watched.clock.now() + 100)
        other = history.alerts.claim(60)
        nothing = history.alerts.claim(60)
        watched.clock.time += 100
        again = history.alerts.claim(60)
        assert again is not None
        history.alerts.sent(again.id)
        second = history.alerts.claim(60)
        return [message and message.content["n"] for message in (first, other, nothing, again, second)]

    assert in_history(watched, queue) == [1, 3, None, 1, 2]


def test_a_message_whose_sender_died_is_sent_by_another(watched: Watched) -> None:
    watched.write("hook")

    def die(history: History) -> tuple[Any, Any, Any]:
        history.alerts.queue([NewMessage("hook", "alert", "accounts", "failed", {})])
        first = history.alerts.claim(60)
        meanwhile = history.alerts.claim(60)
        watched.clock.time += 61
        return first, meanwhile, history.alerts.claim(60)

    first, meanwhile, second = in_history(watched, die)

    assert meanwhile is None
    assert (second.id, second.delivery, second.attempts) == (first.id, first.delivery, 2)


def test_a_message_of_yesterday_is_given_up(watched: Watched) -> None:
    watched.write("hook")
    watched.services.down.add("webhook")
    watched.refuse()
    watched.run()
    watched.look(GIVE_UP_S + 1)
    found = in_history(watched, lambda history: history.alerts.messages())

    assert len(found) == 3
    assert {(one.state, one.error) for one in found} == {("given up", "the webhook answered with status 503")}
    assert in_history(watched, lambda history: history.alerts.waiting()) == ()


def test_a_channel_that_is_gone_gives_its_messages_up(watched: Watched) -> None:
    watched.write("hook", "slack")
    watched.services.down.add(SLACK)
    watched.refuse()
    watched.run()
    watched.write("hook")
    watched.look(3600)

    states = {message.channel: message.state for message in in_history(watched, lambda h: h.alerts.messages())}
    assert states == {"hook": "sent", "slack": "given up"}


# --- the webhook -----------------------------------------------------------------------------------------------------


def test_the_webhook_is_signed_as_standard_webhooks_says(watched: Watched) -> None:
    watched.write("hook")
    run = watched.run()
    started, finished = watched.services.to("webhook")
    signed = f"{finished.headers['webhook-id']}.{finished.headers['webhook-timestamp']}.".encode() + finished.body
    key = base64.b64decode(WEBHOOK_SECRET.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()

    assert finished.headers["webhook-signature"] == f"v1,{expected}"
    assert finished.headers["webhook-timestamp"] == str(int(watched.clock.now()))
    assert finished.headers["content-type"] == "application/json"
    assert started.json()["type"] == "run.started"
    assert started.json()["data"]["run"]["status"] == "running"
    assert finished.json() == {
        "type": "run.finished",
        "timestamp": "2026-01-01T00:01:00Z",
        "data": {"sync": "accounts", "run": run.json()},
    }


def test_the_end_of_a_run_whose_process_died_is_told_by_the_next_one(watched: Watched) -> None:
    watched.write("hook")
    died = watched.scene.start("run", "accounts", environ={"CONNECTOR_FAILPOINT": "all-sent"})
    died.communicate(timeout=60)
    watched.clock.time = time.time()  # the other process had the real one
    watched.run()
    watched.run()
    watched.look(300)  # whatever the dead process was about to send is free again
    ends = {
        one["data"]["run"]["run_id"]: one["data"]["run"] for one in watched.posted() if one["type"] == "run.finished"
    }
    of_the_dead = [one["type"] for one in watched.posted() if one["data"]["run"]["run_id"] == min(ends)]

    assert sorted(run["status"] for run in ends.values()) == ["interrupted", "success", "success"]
    assert ends[min(ends)]["status"] == "interrupted"
    assert watched.told().count("run.finished") == 3
    assert (of_the_dead[0], of_the_dead[-1]) == ("run.started", "run.finished")


def test_a_webhook_gets_the_events_it_asked_for(watched: Watched) -> None:
    hook = {**watched.channels("hook")["hook"], "events": ["alert"]}
    watched.write(channels_instead={"hook": hook})
    watched.refuse()
    watched.run()

    assert watched.told() == ["alert.critical"]


def test_whoever_finds_it_at_the_same_time_tells_it_once(watched: Watched) -> None:
    watched.write("hook")
    watched.run()
    watched.refuse()
    with watched.scene.project() as project:
        # As if nobody had been there when it failed.
        found = project.definition
        run = run_sync(project.sync("accounts"), Options(full_resync=True), project.means()).run
    together = threading.Barrier(4)

    def tell() -> None:
        with open_history(watched.scene.state_dir, clock=watched.clock) as history:
            together.wait()
            alerts.after_run(found, history, run, watched.clock)

    threads = [threading.Thread(target=tell) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    watched.look()
    kept = in_history(watched, lambda history: history.alerts.messages())
    posted = [one.headers["webhook-id"] for one in watched.services.to("webhook")]

    assert run.status == "failed"
    assert [message.condition for message in kept if message.kind == "alert"] == ["failed"]
    assert alerts_told(watched) == [("alert.critical", "failed")]
    assert len(posted) == len(set(posted)) == len(kept)
