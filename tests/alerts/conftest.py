"""A project with alert channels, whose services are local servers, on a clock that moves when it is told to."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import apprise
import pytest
from ruamel.yaml import YAML

from connector import alerts
from tests.alerts.services import Services, services
from tests.e2e.project import OBJECT_SYNC, Scene, scene
from tests.state.fake_clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from connector.errors import Problem
    from connector.run.ending import RunResult

SLACK_URL = "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
ROUTING_KEY = "abcdefabcdefabcdefabcdefabcdef12"
TWILIO_TOKEN = "tokenOfTwilio0123456789abcdef"
MAIL_PASSWORD = "password-of-mail"
WEBHOOK_SECRET = "whsec_c2VjcmV0LW9mLXRoZS13ZWJob29r"
SECRETS = (ROUTING_KEY, TWILIO_TOKEN, MAIL_PASSWORD, WEBHOOK_SECRET, "TIiajkdnlazkcOXrIdevi7FQ")


@dataclass
class Watched:
    """The project, its services and its clock."""

    scene: Scene
    services: Services
    clock: FakeClock

    def channels(self, *names: str) -> dict[str, Any]:
        every: dict[str, Any] = {
            "slack": {"type": "slack", "url": SLACK_URL},
            "pagerduty": {"type": "pagerduty", "integration_key": ROUTING_KEY},
            "phone": {
                "type": "twilio",
                "account_sid": "AC735c307c62944b5a",
                "auth_token": TWILIO_TOKEN,
                "from": "+12025550100",
                "to": ["+12025550101", "+12025550102"],
            },
            "mail": {
                "type": "email",
                "host": "127.0.0.1",
                "port": self.services.smtp_port,
                "tls": "none",
                "user": "alerts",
                "password": MAIL_PASSWORD,
                "from": "connector@example.com",
                "to": ["data@example.com", "oncall@example.com"],
            },
            "hook": {"type": "webhook", "url": self.services.webhook, "secret": WEBHOOK_SECRET},
        }
        return {name: every[name] for name in names or every}

    def write(self, *names: str, channels_instead: dict[str, Any] | None = None, **rules: Any) -> None:
        """Nothing, after writing these channels and rules into connector.yml."""
        self.scene.point_at()
        path = self.scene.root / "connector.yml"
        document: dict[str, Any] = YAML(typ="safe").load(path.read_text())
        document["alerts"] = {"channels": channels_instead or self.channels(*names), **rules}
        with path.open("w") as file:
            YAML(typ="safe").dump(document, file)

    def sync(self, name: str = "accounts", **changes: Any) -> str:
        return self.scene.write(name, OBJECT_SYNC, **changes)

    def run(self, sync: str = "accounts", **options: Any) -> RunResult:
        """A run, a minute after whatever was before."""
        self.clock.time += 60
        with self.scene.project() as project:
            return project.run(sync, **options)

    def look(self, after_s: float = 60) -> tuple[Problem, ...]:
        """What the scheduler does every minute."""
        self.clock.time += after_s
        with self.scene.project() as project:
            return alerts.look(project.definition, project.history, self.clock)

    def break_warehouse(self) -> None:
        self.scene.sql("ALTER TABLE accounts RENAME TO elsewhere")

    def mend_warehouse(self) -> None:
        self.scene.sql("ALTER TABLE elsewhere RENAME TO accounts")

    def refuse(self, status: int = 403) -> None:
        """Nothing, after making Pendo refuse every call: runs begin, and fail."""
        self.scene.sandbox.add_faults({"status": status})

    def accept(self) -> None:
        """Nothing, after making Pendo well again."""
        self.scene.sandbox.faults.clear()

    def posted(self) -> list[Mapping[str, Any]]:
        """What the webhook was told."""
        return [one.json() for one in self.services.to("webhook")]

    def told(self) -> list[str]:
        """The kinds of events that the webhook was told."""
        return [one["type"] for one in self.posted()]


@pytest.fixture(scope="session")
def _cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with warnings.catch_warnings():
        # Its mail plugin imports a module that Python 3.13 no longer has, and has its own in its place there.
        warnings.simplefilter("ignore", DeprecationWarning)
        apprise.Apprise.instantiate("mailto://127.0.0.1?from=a@example.com")
    with services(tmp_path_factory.mktemp("services")) as made:
        yield made


@pytest.fixture
def cloud(_cloud: Services, monkeypatch: pytest.MonkeyPatch) -> Services:
    """The services, none of which has been told anything yet."""
    for received in (_cloud.requests, _cloud.mails, _cloud.logins, _cloud.down, _cloud.once):
        received.clear()
    monkeypatch.setenv("HTTPS_PROXY", _cloud.proxy)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", _cloud.ca_file)
    for name in ("https_proxy", "NO_PROXY", "no_proxy", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    return _cloud


@pytest.fixture
def watched(tmp_path: Path, cloud: Services) -> Iterator[Watched]:
    """A project with three accounts and one sync; its connector.yml has no alerts yet."""
    clock = FakeClock()
    with scene(tmp_path / "project", clock=clock) as made:
        made.accounts(3)
        world = Watched(made, cloud, clock)
        world.sync()
        yield world
