"""A browser, and projects to look at."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.e2e.project import ACCOUNTS, EVENT_SYNC, EVENTS, OBJECT_SYNC, Scene, scene
from tests.serve.web import served

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, Page

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
BAD_EVENTS = (37, 512, 700)
PATIENCE_MS = 60_000  # the machine may have a lot to do
REFUSED = "Error unmarshalling track event data"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "browser: drives a real Chromium; `nox -s browser` installs one and runs them")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = pytest.mark.skip(reason="there is no Chromium: apt install chromium")
    for each in items:
        if Path(__file__).parent in each.path.parents:
            each.add_marker(pytest.mark.browser)
            each.add_marker(pytest.mark.slow)
            if not Path(CHROMIUM).exists():
                each.add_marker(missing)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all tests; each has a context of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Complaints(list[str]):
    """What the browser complained about: scripts that broke, and everything that the security policy refused."""


@pytest.fixture
def complaints() -> Complaints:
    """Empty at the end of a test that drives pages without a fault."""
    return Complaints()


@pytest.fixture
def context(chromium: Browser, complaints: Complaints) -> Iterator[BrowserContext]:
    """A fresh browser profile, 1280 pixels wide."""
    made = chromium.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    made.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    yield made
    made.close()
    assert complaints == []


@pytest.fixture
def page(context: BrowserContext, complaints: Complaints) -> Page:
    """A tab."""
    made = context.new_page()
    made.on("pageerror", lambda error: complaints.append(str(error)))
    made.on("console", lambda told: complaints.append(told.text) if "Content Security Policy" in told.text else None)
    return made


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Scene]:
    """A project on the real clock."""
    with scene(tmp_path / "my-project") as made:
        yield made


@pytest.fixture(scope="session")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A project that has run for a while: changes, rows that are not in Pendo, and events that are refused."""
    with scene(tmp_path_factory.mktemp("browser") / "my-project") as place:
        place.accounts(800)
        place.events(1000)
        place.sql("UPDATE events SET visitor_id = 'user-' || event_id")
        place.sandbox.add({"failing_ids": {"track_event": {f"user-{number}": "no good" for number in BAD_EVENTS}}})
        place.write(ACCOUNTS, OBJECT_SYNC, batch={"rows": 100}, schedule={"every": "1h"}, description="Health")
        place.write(EVENTS, EVENT_SYNC, batch={"rows": 500})
        place.write("never_run", OBJECT_SYNC)
        place.run(ACCOUNTS)
        for step in range(3):
            place.sql(f"UPDATE accounts SET health = health + 1 WHERE hash(account_id) % 4 = {step}")
            place.run(ACCOUNTS)
        place.sql("INSERT INTO accounts SELECT 'ghost-' || i, 1.0, 'plan-x' FROM range(12) t(i)")
        place.run(ACCOUNTS)
        place.sandbox.add_faults({"path": "/data/track", "first": 4, "last": 5, "status": 429, "retry_after": 0.1})
        place.run(EVENTS)
        place.sandbox.clear_faults()
        yield place


@pytest.fixture(scope="session")
def home(lived_in: Scene) -> Iterator[str]:
    """The address of the project that has run for a while; nobody changes it."""
    with served(lived_in) as url:
        yield url
