"""What arrives at Slack, PagerDuty, Twilio, a mail server and a webhook, and how often."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from connector.errors import SourceError
from tests.alerts.conftest import ROUTING_KEY, SECRETS, TWILIO_TOKEN
from tests.alerts.services import PAGERDUTY, SLACK, TWILIO

if TYPE_CHECKING:
    from tests.alerts.conftest import Watched


def test_a_failed_run_arrives_everywhere_once_and_so_does_the_recovery(watched: Watched) -> None:
    watched.write()
    watched.refuse()
    failed = watched.run()
    services = watched.services
    first = {host: len(services.to(host)) for host in (SLACK, PAGERDUTY, TWILIO)} | {"mail": len(services.mails)}
    watched.run()
    second = {host: len(services.to(host)) for host in (SLACK, PAGERDUTY, TWILIO)} | {"mail": len(services.mails)}
    watched.accept()
    watched.run()
    watched.run()

    # A text message a phone, a mail a receiver.
    assert failed.status == "failed"
    assert first == second == {SLACK: 1, PAGERDUTY: 1, TWILIO: 2, "mail": 2}
    assert {host: len(services.to(host)) for host in (SLACK, PAGERDUTY, TWILIO)} == {SLACK: 2, PAGERDUTY: 2, TWILIO: 4}
    assert len(services.mails) == 4


def test_slack_is_told_what_since_when_why_and_what_to_type(watched: Watched) -> None:
    watched.write("slack")
    watched.refuse()
    run = watched.run()
    (post,) = watched.services.to(SLACK)
    (shown,) = post.json()["attachments"]

    assert post.path == "/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    assert shown["title"] == "[critical] accounts: runs fail"
    lines = shown["text"].splitlines()
    assert run.error is not None
    assert lines[0] == "sync accounts: the run failed"
    assert lines[1] == "since: 2026-01-01T00:01:00Z"
    assert lines[2] == f"reason: {run.error.problem.message} [{run.error.problem.slug}]"
    assert "rows: 3 queried, 3 added; 3 not attempted" in lines
    assert f"model accounts, destination pendo, run {run.run.run_id}" in lines
    assert lines[-1] == f"next: connector log {run.run.run_id}"


def test_pagerduty_keeps_one_incident_and_resolves_it(watched: Watched) -> None:
    watched.write("pagerduty")
    watched.refuse()
    run = watched.run()
    watched.accept()
    watched.run()
    opened, closed = (one.json() for one in watched.services.to(PAGERDUTY))

    assert opened["routing_key"] == ROUTING_KEY
    assert opened["event_action"] == "trigger"
    assert opened["dedup_key"] == closed["dedup_key"] == "connector/accounts/failed"
    assert opened["payload"]["severity"] == "critical"
    assert opened["payload"]["source"] == "connector"
    assert opened["payload"]["component"] == "accounts"
    assert "[critical] accounts: runs fail" in opened["payload"]["summary"]
    assert opened["payload"]["custom_details"]["next"] == f"connector log {run.run.run_id}"
    assert closed["event_action"] == "resolve"


def test_a_phone_gets_a_few_words(watched: Watched) -> None:
    watched.write("phone")
    watched.refuse()
    run = watched.run()
    first, second = watched.services.to(TWILIO)

    assert run.error is not None
    assert first.path == "/2010-04-01/Accounts/AC735c307c62944b5a/Messages.json"
    assert [one.form()["To"] for one in (first, second)] == ["+12025550101", "+12025550102"]
    assert first.form()["From"] == "+12025550100"
    assert first.form()["Body"] == f"[critical] accounts: runs fail: the run failed ({run.error.problem.slug})"


def test_a_mail_has_the_same_words_for_every_receiver(watched: Watched) -> None:
    watched.write("mail")
    watched.refuse()
    run = watched.run()
    mails = watched.services.mails
    text = mails[0][1].get_body(("plain",))

    assert {receiver for receivers, _ in mails for receiver in receivers} == {"data@example.com", "oncall@example.com"}
    assert watched.services.logins[0][0] == "alerts"
    assert mails[0][1]["From"] == "connector <connector@example.com>"
    assert mails[0][1]["Subject"] == "[critical] accounts: runs fail"
    assert text is not None
    assert f"next: connector log {run.run.run_id}" in text.get_content()


def test_no_message_holds_a_secret(watched: Watched) -> None:
    watched.write()
    watched.refuse()
    watched.run()
    sent = watched.services
    bodies = [one.body.decode() for one in sent.requests if one.host != PAGERDUTY] + [
        str(mail) for _, mail in sent.mails
    ]
    of_pagerduty = [json.dumps(one.json()["payload"]) for one in sent.to(PAGERDUTY)]

    assert len(bodies) > 4
    assert not [secret for secret in SECRETS for body in (*bodies, *of_pagerduty) if secret in body]
    assert TWILIO_TOKEN not in "".join(one.path for one in sent.requests)


def test_a_run_that_cannot_begin_is_told_too(watched: Watched) -> None:
    watched.write("hook")
    watched.break_warehouse()
    with pytest.raises(SourceError) as caught:
        watched.run()
    watched.mend_warehouse()
    watched.run()
    told = [(one["type"], one["data"].get("what"), one["data"].get("error")) for one in watched.posted()]

    assert told[0] == ("alert.critical", "a run could not begin", caught.value.problem.slug)
    assert caught.value.problem.message in watched.posted()[0]["data"]["reason"]
    assert [one[0] for one in told[1:]] == ["run.started", "alert.recovered", "run.finished"]
