"""A run that somebody watches from its first request to its end, and one that somebody cancels."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.e2e.project import ACCOUNTS, OBJECT_SYNC, Scene, outcomes
from tests.serve.web import served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from subprocess import Popen

    from playwright.sync_api import Page

    Started = Callable[[Popen[str]], Popen[str]]

ROWS, BATCH = 1_500, 10


@pytest.fixture
def slow(real: Scene) -> Scene:
    """A project whose run takes a few seconds."""
    real.accounts(ROWS)
    real.write(ACCOUNTS, OBJECT_SYNC, batch={"rows": BATCH})
    real.point_at(concurrency=2)
    real.sandbox.add_faults({"latency_ms": 100})
    return real


@pytest.fixture
def url(slow: Scene) -> Iterator[str]:
    with served(slow) as address:
        yield address


@pytest.fixture
def started() -> Iterator[Started]:
    """What keeps a process, and ends it with the test, however that ends."""
    processes: list[Popen[str]] = []

    def keep(process: Popen[str]) -> Popen[str]:
        processes.append(process)
        return process

    yield keep
    for process in processes:
        with process:
            process.kill()


def number(text: str | None) -> int:
    return int((text or "").replace(",", ""))


def test_a_run_is_watched_from_start_to_end(page: Page, slow: Scene, url: str, started: Started) -> None:
    page.goto(url)
    expect(page.get_by_role("row", name=re.compile(ACCOUNTS))).to_contain_text("never run")
    process = started(slow.start("run", ACCOUNTS))

    # The first page learns of it by itself.
    line = page.get_by_role("row", name=re.compile(ACCOUNTS))
    expect(line).to_contain_text("running")
    line.get_by_role("link").nth(1).click()
    expect(page.locator("#status")).to_have_text("running")
    settled = page.locator("#settled-now")
    seen = set()
    for _ in range(3):
        before = settled.text_content()
        seen.add(number(before))
        expect(settled).not_to_have_text(before or "")
    expect(page.locator("#timeline canvas")).to_be_visible()
    expect(page.locator("#timeline-text")).to_contain_text("answered")
    expect(page.locator("#status")).to_have_text("success")
    out, _ = process.communicate(timeout=60)

    assert process.returncode == 0, out
    assert len(seen) == 3
    assert all(0 <= count <= ROWS for count in seen)
    expect(page.locator("svg.flow")).to_contain_text(f"{ROWS:,} succeeded")
    expect(page.locator("#timeline-text")).to_have_text(re.compile(r"^15\d answered\.$"))
    expect(page.get_by_role("link", name="sent")).to_be_visible()


def test_a_run_is_cancelled_from_its_page(page: Page, slow: Scene, url: str, started: Started) -> None:
    process = started(slow.start("run", ACCOUNTS))
    page.goto(url)
    page.get_by_role("row", name=re.compile(f"{ACCOUNTS}.*running")).get_by_role("link").nth(1).click()
    expect(page.locator("#settled-now")).not_to_have_text("0")

    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="No").click()
    expect(page.locator("#status")).to_have_text("running")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.locator("#status")).to_have_text("cancelled")
    process.communicate(timeout=60)

    assert process.returncode == 130
    slow.sandbox.clear_faults()
    assert outcomes(slow.run(ACCOUNTS)).keys() == {"succeeded"}
    assert slow.held() == slow.wanted()


def test_the_run_button_starts_a_run_that_is_watched_to_its_end(page: Page, slow: Scene) -> None:
    slow.sandbox.add_faults({"latency_ms": 10})
    with slow.start("serve", "--port", "0") as server:
        assert server.stdout is not None
        assert server.stderr is not None
        listener = threading.Thread(target=server.stderr.read)  # what it says there must not fill the pipe
        listener.start()
        url = next(found[0] for line in server.stdout if (found := re.search(r"http://[\d.]+:\d+", line)))
        try:
            page.goto(f"{url}/syncs/{ACCOUNTS}")
            page.get_by_role("button", name="Run", exact=True).click()
            expect(page).to_have_url(re.compile(r"/runs/\w+-\w+$"))
            expect(page.locator("#status")).to_have_text("success")
            expect(page.locator("svg.flow")).to_contain_text(f"{ROWS:,} succeeded")
            expect(page.get_by_text("by web")).to_be_visible()
        finally:
            server.terminate()
            listener.join(60)

    assert slow.held() == slow.wanted()
