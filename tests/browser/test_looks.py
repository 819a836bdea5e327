"""Every page in both colours and both widths: kept as a picture, and looked at by axe for what shuts people out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import expect

from tests.browser.conftest import BAD_EVENTS
from tests.e2e.project import ACCOUNTS, EVENTS, Scene

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Browser, Page

ARTIFACTS = Path(__file__).parents[2] / "artifacts" / "browser"
SERIOUS = ("serious", "critical")


def runs_of(place: Scene, sync: str) -> list[str]:
    with place.project() as project:
        return [run.run_id for run in project.runs(sync, limit=None)]


def first_call(place: Scene) -> int:
    with place.project() as project:
        return project.calls(runs_of(place, EVENTS)[0])[0].id


def open_a_call(page: Page) -> None:
    page.locator(".v-row[data-call]").first.click()
    expect(page.locator("#call article")).to_be_visible()


def plan(page: Page) -> None:
    page.get_by_role("button", name="Plan", exact=True).click()
    expect(page.locator("#plan-part")).to_contain_text("to send")
    page.get_by_role("button", name="Compile", exact=True).click()
    expect(page.locator("#compiled")).to_contain_text("fingerprint")


PAGES: dict[str, tuple[Callable[[Scene], str], Callable[[Page], None] | None]] = {
    "syncs": (lambda _: "/", None),
    "runs": (lambda _: "/runs", None),
    "sync": (lambda _: f"/syncs/{ACCOUNTS}", None),
    "sync-never-run": (lambda _: "/syncs/never_run", None),
    "sync-rows": (lambda _: f"/syncs/{EVENTS}/rows", None),
    "sync-rows-none": (lambda _: f"/syncs/{ACCOUNTS}/rows", None),
    "sync-config": (lambda _: f"/syncs/{EVENTS}/config", plan),
    "run": (lambda place: f"/runs/{runs_of(place, EVENTS)[0]}", None),
    "run-objects": (lambda place: f"/runs/{runs_of(place, ACCOUNTS)[0]}", None),
    "calls": (lambda place: f"/runs/{runs_of(place, EVENTS)[0]}/calls", open_a_call),
    "run-rows": (lambda place: f"/runs/{runs_of(place, EVENTS)[0]}/rows?outcome=rejected", None),
    "call": (lambda place: f"/calls/{first_call(place)}", None),
    "difference": (lambda place: f"/calls/{first_call(place) + 2}/difference?with={first_call(place)}", None),
    "find": (lambda _: "/rows", None),
    "story": (lambda _: f"/rows?key={BAD_EVENTS[0]}", None),
    "story-changed": (lambda _: "/rows?key=acct-7", None),
    "missing": (lambda _: "/runs/nothing", None),
    "keys": (lambda _: "/", lambda page: page.keyboard.press("?")),
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_fit_to_be_seen(name: str, chromium: Browser, lived_in: Scene, home: str) -> None:
    path, then = PAGES[name]
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    found = []
    for colours in ("light", "dark"):
        for width in (1280, 390):
            context = chromium.new_context(viewport={"width": width, "height": 844}, color_scheme=colours)
            page = context.new_page()
            page.goto(home + path(lived_in))
            page.wait_for_load_state("load")
            if then is not None:
                then(page)
            page.wait_for_timeout(250)
            page.screenshot(path=ARTIFACTS / f"{name}-{colours}-{width}.png", full_page=True)
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{name} is {wide} pixels wide at {width}"
            results = Axe().run(page)
            found += [
                f"{colours} {width}: {fault['id']}: {node['html']}"
                for fault in results.response["violations"]
                if fault["impact"] in SERIOUS
                for node in fault["nodes"]
            ]
            context.close()

    assert found == []


def test_colours_can_be_switched_and_are_remembered(page: Page, home: str) -> None:
    page.emulate_media(color_scheme="light")
    page.goto(home)
    background = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(background)
    page.get_by_role("button", name=re.compile("dark and light")).click()
    dark = page.evaluate(background)
    page.reload()

    assert dark != light
    assert page.evaluate(background) == dark
