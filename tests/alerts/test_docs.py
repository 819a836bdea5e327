"""The page about alerts says what the code does."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from connector import load_project
from connector.project.alert_settings import CHANNELS, AlertRules
from tests.alerts.conftest import SLACK_URL, WEBHOOK_SECRET, Watched

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text(encoding="utf-8")
VARIABLES = {
    "SLACK_WEBHOOK": SLACK_URL,
    "PAGERDUTY_KEY": "0123456789abcdef0123456789abcdef",
    "TWILIO_SID": "AC735c307c62944b5a",
    "TWILIO_TOKEN": "0123456789abcdef",
    "SMTP_PASSWORD": "password-of-mail",
    "TEAMS_URL": "msteams://x",
    "WEBHOOK_SECRET": WEBHOOK_SECRET,
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_channels_of_the_page_can_be_read(watched: Watched) -> None:
    watched.scene.point_at()
    path = watched.scene.root / "connector.yml"
    path.write_text(path.read_text() + blocks("yaml")[0])
    found = load_project(watched.scene.root, environ=VARIABLES).definition.alerts

    assert found is not None
    assert {entry.type for entry in found.channels.values()} == set(CHANNELS)


def test_the_rules_of_the_page_are_rules() -> None:
    everywhere, own = (YAML(typ="safe").load(block) for block in blocks("yaml")[1:])
    written: list[Any] = [everywhere["alerts"], everywhere["destinations"]["pendo"]["alerts"], own["alerts"]]
    written[0].pop("channels")

    assert [rules.to for rules in map(AlertRules.model_validate, written)] == [("team",), None, ("team", "oncall")]


def test_every_rule_and_every_kind_of_channel_is_on_the_page() -> None:
    listed = set(re.findall(r"^\| `([a-z_]+)` \|", PAGE, re.MULTILINE))

    assert set(CHANNELS) | set(AlertRules.model_fields) - {"to", "mean_of"} <= listed
    assert "`mean_of`" in PAGE


def test_the_check_of_a_signature_on_the_page_takes_what_is_sent_and_nothing_else(watched: Watched) -> None:
    names: dict[str, Any] = {}
    exec(blocks("python")[0], names)  # noqa: S102 - our own page
    is_genuine: Callable[[str, dict[str, str], bytes], bool] = names["is_genuine"]
    watched.clock.time = time.time()
    watched.write("hook")
    watched.run()
    message = watched.services.to("webhook")[-1]
    old = {**message.headers, "webhook-timestamp": str(int(message.headers["webhook-timestamp"]) - 1000)}

    assert is_genuine(WEBHOOK_SECRET, message.headers, message.body)
    assert not is_genuine(WEBHOOK_SECRET, message.headers, message.body + b" ")
    assert not is_genuine("whsec_" + "AAAA" * 6, message.headers, message.body)
    assert not is_genuine(WEBHOOK_SECRET, old, message.body)
