"""What somebody does who wants to know where a row went."""

from __future__ import annotations

import csv
import json
import re
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.browser.conftest import BAD_EVENTS, REFUSED
from tests.e2e.project import ACCOUNTS, EVENT_SYNC, EVENTS, Scene
from tests.serve.web import served

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page


def test_a_rejected_row_is_found_by_its_key_and_followed_to_its_call(page: Page, home: str) -> None:
    page.goto(home)
    page.keyboard.press("/")
    page.keyboard.type("512")
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", level=1)).to_contain_text("512")
    moment = page.locator(".moment").first
    expect(moment).to_contain_text("rejected")
    expect(moment).to_contain_text(REFUSED)
    moment.locator(".calls-of a").last.click()
    expect(page.locator("article.call")).to_contain_text("1 row")
    expect(page.locator(".piece.o-rejected")).to_contain_text('"visitorId": "user-512"')
    expect(page.locator("article.call pre").last).to_contain_text(REFUSED)


def test_the_splits_of_a_refused_batch_are_drawn_as_a_tree(page: Page, home: str) -> None:
    page.goto(f"{home}/syncs/{EVENTS}")
    page.get_by_role("region", name="Runs").get_by_role("link").first.click()
    page.get_by_role("link", name="Calls", exact=True).click()
    page.locator(".v-row").first.click()

    tree = page.locator(".tree")
    expect(tree).to_be_visible()
    parts = page.locator(".icicle rect").count()
    assert parts > 10
    assert tree.locator("a").count() == parts
    expect(tree.locator("a[aria-current]")).to_have_count(1)
    # Each part is a call of its own, and belongs to the same tree.
    tree.get_by_text(re.compile("1 row refused")).first.click()
    expect(page.locator(".tree a[aria-current]")).to_contain_text("1 row")
    assert page.locator(".icicle rect").count() == parts
    page.get_by_role("link", name=re.compile("^Compare with")).click()
    expect(page.get_by_role("heading", name="Request body")).to_be_visible()
    assert page.locator(".diff .minus").count() > 0


def test_calls_are_filtered_by_status_and_by_what_stands_in_their_bodies(page: Page, home: str) -> None:
    page.goto(f"{home}/syncs/{EVENTS}")
    page.get_by_role("region", name="Runs").get_by_role("link").first.click()
    page.get_by_role("link", name="Calls", exact=True).click()
    count = page.locator("#calls-count")
    expect(count).to_have_text(re.compile(r"^\d+ calls$"))
    everything = count.text_content()

    page.get_by_label("Status").select_option("429")
    expect(count).to_have_text("2 calls")
    page.get_by_label("Status").select_option("")
    page.get_by_label("Text").fill("user-700")
    expect(count).not_to_have_text(everything or "")
    expect(count).to_have_text(re.compile(r"^1?\d calls$"))
    page.get_by_role("button", name="Clear").click()
    expect(count).to_have_text(everything or "")


def test_keys_move_through_the_calls_and_open_them(page: Page, home: str) -> None:
    page.goto(f"{home}/syncs/{ACCOUNTS}")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Calls", exact=True).click()
    expect(page.locator(".v-row").first).to_be_visible()

    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator(".v-row.on")).to_have_attribute("aria-rowindex", "3")
    page.keyboard.press("Enter")
    expect(page.locator("#call article")).to_be_visible()
    first = page.locator("#call article").get_attribute("data-call")
    page.keyboard.press("j")
    expect(page.locator("#call article")).not_to_have_attribute("data-call", first or "")
    page.keyboard.press("Escape")
    expect(page.locator("#call article")).not_to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()


def test_rows_are_exported_as_csv_and_json(page: Page, home: str, tmp_path: Path) -> None:
    page.goto(f"{home}/syncs/{EVENTS}")
    page.get_by_role("region", name="Runs").get_by_role("link").first.click()
    page.get_by_role("link", name="rejected").first.click()
    found = {}
    for form in ("CSV", "JSON"):
        with page.expect_download() as coming:
            page.get_by_role("link", name=form, exact=True).click()
        found[form] = tmp_path / coming.value.suggested_filename
        coming.value.save_as(found[form])

    with found["CSV"].open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["key"] for row in rows} == {str(number) for number in BAD_EVENTS}
    assert {row["outcome"] for row in rows} == {"rejected"}
    documents = json.loads(found["JSON"].read_text(encoding="utf-8"))
    assert [row["key"] for row in documents] == [row["key"] for row in rows]
    assert all(row["payload"]["visitorId"] == f"user-{row['key']}" for row in documents)


def test_a_har_file_and_a_curl_command_hold_the_call_and_no_secret(page: Page, home: str, tmp_path: Path) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=home)
    page.goto(f"{home}/syncs/{EVENTS}")
    page.get_by_role("region", name="Runs").get_by_role("link").first.click()
    page.get_by_role("link", name="Calls", exact=True).click()
    page.locator(".v-row").first.click()
    with page.expect_download() as coming:
        page.get_by_role("link", name="Download HAR").click()
    coming.value.save_as(tmp_path / "call.har")
    page.get_by_role("button", name="Copy as curl").click()
    expect(page.locator("#said")).to_contain_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")

    (entry,) = json.loads((tmp_path / "call.har").read_text(encoding="utf-8"))["log"]["entries"]
    assert entry["request"]["url"].endswith("/data/track")
    assert entry["response"]["status"] == 400
    assert copied.startswith("curl ")
    assert "--request POST " in copied
    assert "$PENDO_TRACK_EVENT_SECRET" in copied


def test_a_rejected_row_is_put_away_retried_and_delivered(page: Page, real: Scene) -> None:
    real.events(30)
    real.sql("UPDATE events SET visitor_id = 'user-' || event_id")
    real.sandbox.add({"failing_ids": {"track_event": {"user-7": "no good"}}})
    real.write(EVENTS, EVENT_SYNC)
    real.run(EVENTS)
    with served(real) as url:
        page.goto(f"{url}/syncs/{EVENTS}/rows")
        line = page.get_by_role("row", name=re.compile("^7 "))
        line.get_by_role("button", name="Quarantine").click()
        expect(page.get_by_role("heading", name="quarantined")).to_be_visible()
        assert real.undelivered(EVENTS) == {"7": "quarantined"}
        page.get_by_role("button", name="Retry", exact=True).click()
        expect(page.get_by_role("heading", name="rejected")).to_be_visible()

        real.sandbox.state.failing_ids["track_event"].clear()
        real.run(EVENTS)
        page.reload()
        expect(page.get_by_role("heading", name="Everything is delivered")).to_be_visible()
    assert set(real.delivered()) == set(range(30))


def test_the_plan_and_the_compiled_sql_are_shown_on_request(page: Page, home: str) -> None:
    page.goto(f"{home}/syncs/{EVENTS}/config")
    expect(page.get_by_text("The file says what")).to_be_visible()
    page.get_by_role("button", name="Plan", exact=True).click()
    expect(page.locator("#plan-part")).to_contain_text("3 rows to send")
    page.get_by_role("button", name="Compile", exact=True).click()
    expect(page.locator("#compiled")).to_contain_text("fingerprint")


def test_what_a_sync_redacts_is_on_no_page(page: Page, real: Scene) -> None:
    real.events(20)
    real.sql("UPDATE events SET plan = 'confidential-' || event_id, visitor_id = 'user-' || event_id")
    real.sandbox.add({"failing_ids": {"track_event": {"user-7": "no good"}}})
    real.write(EVENTS, EVENT_SYNC, redact=["plan"])
    real.run(EVENTS)
    with served(real) as url:
        page.goto(f"{url}/rows?key=7")
        expect(page.locator(".moment")).to_contain_text("rejected")
        texts = [page.content()]
        page.locator(".calls-of a").first.click()
        expect(page.locator(".piece").first).to_be_visible()
        texts.append(page.content())
        page.goto(f"{url}/syncs/{EVENTS}/config")
        page.get_by_role("button", name="Plan", exact=True).click()
        expect(page.locator("#plan-part")).to_contain_text("1 row to send")
        texts.append(page.content())

    assert all("visitorId" in text or "user-7" in text for text in texts)
    assert not any("confidential-" in text for text in texts)
    assert real.sandbox.events[0]["properties"]["plan"].startswith("confidential-")
