"""What may be written under `alerts:`, and what is said about the rest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from connector import load_project
from connector.alerts.channels import apprise_url, secrets_of
from connector.alerts.rules import rules_of
from connector.api import schemas
from connector.errors import ConfigErrors
from connector.project.alert_settings import CHANNELS, AlertRules, Limits
from connector.project.lengths import seconds_of
from tests.alerts.conftest import SECRETS, SLACK_URL
from tests.e2e.project import OBJECT_SYNC
from tests.project import tiny

if TYPE_CHECKING:
    from pathlib import Path

    from connector.errors import Problem
    from connector.project.definition import Definition
    from tests.alerts.conftest import Watched

jsonschema: Any = pytest.importorskip("jsonschema")

HOOK = {"type": "webhook", "url": "https://h.example.com/x", "secret": "a-secret-of-16-characters"}
MAIL = {"type": "email", "host": "smtp.example.com", "from": "a@example.com", "to": ["b@example.com"]}
PHONE = {"type": "twilio", "account_sid": "AC735c307c62944b5a", "auth_token": "0123456789abcdef"}


def definition(root: Path, document: Any) -> Definition:
    """A small project with this under `alerts:`; JSON is YAML, and has no aliases."""
    text = f"{tiny.GOOD['connector.yml']!s}alerts: {json.dumps(document)}\n"
    return tiny.loaded(tiny.write(root, {"connector.yml": text}))


def problems(root: Path, document: Any) -> tuple[Problem, ...]:
    with pytest.raises(ConfigErrors) as caught:
        definition(root, document)
    return caught.value.problems


GOOD: list[Any] = [
    None,
    "off",
    {},
    {"channels": None},
    {"channels": {"hook": HOOK}},
    {"channels": {"hook": {**HOOK, "events": ["alert"], "timeout_seconds": 1}}, "to": ["hook"]},
    {"channels": {"s": {"type": "slack", "url": SLACK_URL}, "c": {"type": "apprise", "url": "discord://a/b"}}},
    {"channels": {"m": MAIL, "n": {**MAIL, "tls": "none", "user": "u", "password": "p", "port": 2525}}},
    {"channels": {"p": {**PHONE, "from": "+12025550100", "to": ["+12025550101"]}}},
    {"channels": {"d": {"type": "pagerduty", "integration_key": "0123456789abcdef0123", "region": "eu"}}},
    {"failed": 2, "held": "off", "rejected_percent": {"critical": 5}, "missed": "15m", "mean_of": 3},
    {"slow_after": {"warning": "1m", "critical": "2h"}, "slow_factor": 2.5, "row_count_percent": False},
]
BAD: list[tuple[Any, str, str]] = [
    ("soon", "wrong-type", "alerts"),
    ({"chanels": {}}, "unknown-key", "did you mean 'channels'?"),
    ({"channels": {"x": {"url": "x"}}}, "missing-key", "type: one of slack"),
    ({"channels": {"x": {"type": "slak", "url": "x"}}}, "unknown-type", "did you mean 'slack'?"),
    ({"channels": {"x y": HOOK}}, "bad-name", "letters"),
    ({"channels": {"x": {"type": "slack", "url": "https://example.com"}}}, "wrong-value", "incoming webhook"),
    ({"channels": {"x": {"type": "pagerduty", "integration_key": "short"}}}, "wrong-value", "32"),
    ({"channels": {"x": {**HOOK, "secret": "short"}}}, "wrong-value", "16"),
    ({"channels": {"x": {**HOOK, "url": "h.example.com"}}}, "wrong-value", "address"),
    ({"channels": {"x": {**HOOK, "events": ["run.paused"]}}}, "wrong-choice", "run.started"),
    ({"channels": {"x": {**HOOK, "events": []}}}, "wrong-value", "empty"),
    ({"channels": {"x": {**MAIL, "user": "u"}}}, "wrong-value", "both"),
    ({"channels": {"x": {**MAIL, "to": ["nobody"]}}}, "wrong-form", "addresses"),
    ({"channels": {"x": {**MAIL, "to": []}}}, "wrong-value", "empty"),
    ({"channels": {"x": {**PHONE, "from": "me", "to": ["+12025550101"]}}}, "wrong-form", "from"),
    (
        {"channels": {"x": {**PHONE, "auth_token": "-", "from": "+12025550100", "to": ["+12025550101"]}}},
        "wrong-value",
        "",
    ),
    ({"channels": {"x": {"type": "apprise", "url": "nowhere"}}}, "wrong-value", "service://"),
    ({"failed": 0}, "out-of-range", "at least 1"),
    ({"failed": {"warning": 3, "critical": 2}}, "wrong-value", "critical must not be less"),
    ({"missed": {"warning": "2h", "critical": "1h"}}, "wrong-value", "critical must not be less"),
    ({"missed": "soon"}, "wrong-form", "missed"),
    ({"missed": 15}, "wrong-type", "text"),
    ({"rejected_percent": "many"}, "wrong-type", "number"),
    ({"mean_of": 2}, "out-of-range", "at least 3"),
    ({"to": ["nobody"]}, "unknown-channel", "names none"),
    ({"to": "nobody"}, "wrong-type", "list"),
]


@pytest.mark.parametrize("document", GOOD)
def test_what_may_be_written_is_read_and_fits_the_schema(tmp_path: Path, document: Any) -> None:
    found = definition(tmp_path, document)

    assert found.alerts is not None
    assert found.alerts.channels.keys() == ((document or {}).get("channels") or {} if document != "off" else {}).keys()
    jsonschema.Draft202012Validator(schemas()["connector"]).validate({"alerts": document})


@pytest.mark.parametrize(("document", "slug", "words"), BAD)
def test_what_may_not_is_an_error_with_a_place_and_advice(tmp_path: Path, document: Any, slug: str, words: str) -> None:
    found = problems(tmp_path, document)

    assert [problem.slug for problem in found] == [slug], found
    assert (found[0].at or "").startswith("connector.yml:")
    assert words in str(found[0])


@pytest.mark.parametrize(
    ("document", "fits"),
    [
        ("off", True),
        (False, True),
        (["team"], True),
        ({"to": ["team"], "failed": 2, "missed": "15m"}, True),
        ({"slow_after": {"warning": "1m"}}, True),
        ({"failed": "${LIMIT}"}, True),
        ("on", False),
        ({"chanels": {}}, False),
        ({"missed": "soon"}, False),
        ({"failed": {"warnings": 1}}, False),
    ],
)
def test_an_editor_knows_the_rules_of_a_sync(document: Any, *, fits: bool) -> None:
    sync = {**OBJECT_SYNC, "alerts": document}

    assert jsonschema.Draft202012Validator(schemas()["sync"]).is_valid(sync) is fits


def test_a_mistake_never_shows_a_secret(watched: Watched, tmp_path: Path) -> None:
    channels = watched.channels()
    wrong = {
        "slack": {**channels["slack"], "url": SLACK_URL + "!"},
        "pagerduty": {**channels["pagerduty"], "integration_key": channels["pagerduty"]["integration_key"] + "!"},
        "phone": {**channels["phone"], "auth_token": channels["phone"]["auth_token"] + "!"},
        "mail": {**channels["mail"], "user": None},
        "hook": {**channels["hook"], "url": "nowhere"},
    }
    found = problems(tmp_path, {"channels": wrong})
    said = "\n".join(map(str, found))

    assert {problem.slug for problem in found} == {"wrong-value"}
    assert not [secret for secret in SECRETS if secret in said]


def test_settings_do_not_show_their_secrets_and_know_them(watched: Watched, tmp_path: Path) -> None:
    found = definition(tmp_path, {"channels": watched.channels()})
    assert found.alerts is not None
    settings = [entry.settings for entry in found.alerts.channels.values()]
    known = {secret for one in settings for secret in secrets_of(one)}

    assert not [secret for secret in SECRETS if secret in repr(found.alerts)]
    assert set(SECRETS) <= known


def test_every_kind_of_channel_but_the_webhook_is_one_that_apprise_knows(watched: Watched, tmp_path: Path) -> None:
    import apprise  # noqa: PLC0415 - the fixture has imported it without its warnings

    channels = {**watched.channels(), "chat": {"type": "apprise", "url": "json://127.0.0.1/x"}}
    found = definition(tmp_path, {"channels": channels})
    assert found.alerts is not None
    content = {"sync": "a_sync", "condition": "failed", "level": "critical"}
    made = {
        entry.type: apprise.Apprise.instantiate(apprise_url(entry.settings, content))
        for entry in found.alerts.channels.values()
        if entry.type != "webhook"
    }

    assert made.keys() == CHANNELS.keys() - {"webhook"}
    assert None not in made.values()


def test_defaults_watch_over_failures_holds_rejections_and_missed_runs(tmp_path: Path) -> None:
    found = definition(tmp_path, {"channels": {"hook": HOOK}})
    rules = rules_of(found, found.syncs["accounts"])

    assert rules.to == ("hook",)
    assert rules.missed == Limits(warning=600, critical=3600)
    assert rules.failed.critical == 1
    assert rules.held.warning == 1
    assert rules.slow_factor == rules.slow_after == rules.row_count_percent == Limits()


def test_the_nearer_rule_holds_key_by_key(watched: Watched) -> None:
    watched.scene.destination["alerts"] = {"failed": 2, "held": 3}
    channels = {name: {**HOOK, "events": ["alert"]} for name in ("one", "two")}
    watched.write(channels_instead=json.loads(json.dumps(channels)), failed=9, mean_of=5, to=["one"])
    watched.sync(alerts={"held": "off", "to": ["two"]})
    found = load_project(watched.scene.root, environ={}).definition
    rules = rules_of(found, found.syncs["accounts"])

    assert (rules.failed.warning, rules.held.warning, rules.mean_of, rules.to) == (2, None, 5, ("two",))


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("15m", 900), ("2h", 7200), ("1 d", 86_400)])
def test_lengths_of_time(text: str, seconds: int) -> None:
    assert seconds_of(text) == seconds
    assert AlertRules.model_validate({"missed": text}).missed.seconds().warning == seconds
