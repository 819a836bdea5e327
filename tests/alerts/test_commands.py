"""`connector alert`, as it is typed."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.alerts.services import PAGERDUTY, SLACK, TWILIO
from tests.cli.conftest import Cli
from tests.e2e.project import REPOSITORY

if TYPE_CHECKING:
    from tests.alerts.conftest import Watched


@pytest.fixture
def cli(watched: Watched, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(watched.scene.root, capsys)


def test_a_test_message_arrives_in_each_channel(watched: Watched, cli: Cli) -> None:
    watched.write()
    ended = [cli("alert", "test", name) for name in watched.channels()]

    assert [one.code for one in ended] == [0] * 5
    assert "has taken a test message" in ended[0].out
    assert watched.services.to(SLACK)[0].json()["attachments"][0]["title"] == "[test] slack: this is a test"
    assert watched.services.to(PAGERDUTY)[0].json()["payload"]["severity"] == "info"
    assert watched.services.to(TWILIO)[0].form()["Body"].startswith("[test] phone: this is a test")
    assert watched.services.mails[0][1]["Subject"] == "[test] mail: this is a test"
    assert watched.told() == ["test"]


def test_a_channel_that_does_not_take_the_test_is_named_with_its_place(watched: Watched, cli: Cli) -> None:
    watched.write("slack")
    watched.services.down.add(SLACK)
    refused, unknown = cli("alert", "test", "slack"), cli("alert", "test", "slak")

    assert (refused.code, unknown.code) == (1, 1)
    assert "connector.yml:" in refused.err
    assert "[alert-not-sent]" in refused.err
    assert "TIiajkdnlazkcOXrIdevi7FQ" not in refused.err
    assert "did you mean 'slack'?" in unknown.err


def test_trouble_mutes_and_unsent_messages_are_listed(watched: Watched, cli: Cli) -> None:
    watched.write("hook", "slack")
    nothing = cli("alert", "list")
    watched.services.down.add(SLACK)
    watched.refuse()
    watched.run()
    muted = cli("alert", "mute", "accounts", "--for", "2h")
    listed, document = cli("alert", "list"), cli("alert", "list", "--json").json()
    unmuted = cli("alert", "unmute", "accounts", "--json").json()

    assert nothing.err == "no sync is in trouble\n"
    assert muted.out.startswith("'accounts' is muted until 20")
    assert "accounts  failed  critical" in listed.out
    assert "the run failed (muted until" in listed.out
    assert "1 message could not be sent yet:" in listed.err
    assert "slack: [critical] accounts: runs fail, tried 1 time: Failed to send to Slack: " in listed.err
    assert [(one["condition"], one["level"]) for one in document["alerts"]] == [("failed", "critical")]
    assert [(one["channel"], one["attempts"]) for one in document["waiting"]] == [("slack", 1)]
    assert list(document["mutes"]) == ["accounts"]
    assert unmuted == {"sync": "accounts", "was_muted": True}


def test_a_run_says_whom_it_could_not_tell_and_succeeds_all_the_same(watched: Watched, cli: Cli) -> None:
    watched.write("hook")
    watched.services.down.add("webhook")
    ended = cli("run", "accounts", "--json")
    (run,) = ended.json()

    assert (ended.code, run["status"]) == (0, "success")
    assert "warning: alert channel 'hook': the webhook answered with status 503 [alert-not-sent]" in ended.err


def test_a_look_by_hand_says_by_its_exit_code_whether_anything_is_wrong(watched: Watched, cli: Cli) -> None:
    watched.write("hook")
    watched.run()
    well = cli("alert", "check")
    watched.refuse()
    watched.run(full_resync=True)
    bad = cli("alert", "check", "--json")

    assert (well.code, bad.code) == (0, 2)
    assert bad.json()["alerts"][0]["condition"] == "failed"


def test_a_mute_is_a_length_of_time_and_of_a_sync_that_there_is(watched: Watched, cli: Cli) -> None:
    watched.write("hook")
    length, name = cli("alert", "mute", "accounts", "--for", "soon"), cli("alert", "mute", "acounts")

    assert (length.code, name.code) == (1, 1)
    assert "[bad-duration]" in length.err
    assert "did you mean 'accounts'?" in name.err


def test_without_apprise_a_channel_says_what_to_install(watched: Watched) -> None:
    watched.write("slack")
    program = "import sys; sys.modules['apprise'] = None; from connector.cli import main; sys.exit(main(sys.argv[1:]))"
    words = [sys.executable, "-c", program, "--project", str(watched.scene.root), "alert", "test", "slack"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=REPOSITORY, check=False)

    assert done.returncode == 1
    assert "[alerts-missing-extra]" in done.stderr
    assert "pip install 'pendo-connector[alerts]'" in done.stderr
