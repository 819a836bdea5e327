"""A run of 20,000 calls: the page holds a screenful of them, and the last one is a keystroke away."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.e2e.project import ACCOUNTS, OBJECT_SYNC, Scene
from tests.serve.web import served

if TYPE_CHECKING:
    from playwright.sync_api import Page

CALLS = 20_000


def many_calls(place: Scene) -> int:
    """The id of the last call, after giving the only run that many: copies of its own."""
    with closing(sqlite3.connect(place.state_dir / "history.db")) as connection, connection:
        names = [name for _, name, *_ in connection.execute("PRAGMA table_info(calls)") if name != "id"]
        columns = ", ".join(f'"{name}"' for name in names)
        last, here = connection.execute("SELECT max(id), count(*) FROM calls").fetchone()
        connection.execute(
            f"""WITH RECURSIVE more(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM more WHERE i < {CALLS - here})
            INSERT INTO calls (id, {columns}) SELECT {last} + i, {columns} FROM more, calls WHERE id = {last}"""
        )
        connection.execute("UPDATE calls SET started_at = started_at + id * 0.01, ms = 5 + id % 90")
        connection.execute(f"UPDATE calls SET status = 503, reason = 'away' WHERE id = {last + 12_345}")
        return int(last) + CALLS - int(here)


def test_a_run_of_20000_calls_is_scrolled_to_its_end(page: Page, real: Scene) -> None:
    real.accounts(20)
    real.write(ACCOUNTS, OBJECT_SYNC)
    run = real.run(ACCOUNTS).run.run_id
    last = many_calls(real)
    with served(real) as url:
        page.goto(f"{url}/runs/{run}/calls")
        expect(page.locator("#calls-count")).to_have_text("20,000 calls")
        most = 0
        for at in range(0, 101, 10):
            page.evaluate(
                "at => { const b = document.getElementById('calls'); b.scrollTop = b.scrollHeight * at / 100 }", at
            )
            expect(page.locator(".v-row[data-call]").first).to_be_visible()
            most = max(most, page.locator(".v-row").count())
        expect(page.locator(f'.v-row[data-call="{last}"]')).to_be_visible()
        page.evaluate("document.getElementById('calls').scrollTop = 0")
        page.locator("#calls").focus()
        page.keyboard.press("End")
        expect(page.locator(".v-row.on")).to_have_attribute("data-call", str(last))
        page.keyboard.press("Enter")
        expect(page.locator("#call article")).to_have_attribute("data-call", str(last))
        page.get_by_label("Status").select_option("5xx")
        expect(page.locator("#calls-count")).to_have_text("1 call")
        expect(page.locator(".v-row")).to_contain_text("away")

        page.goto(f"{url}/runs/{run}")
        expect(page.locator("#timeline canvas")).to_be_visible()
        shown = page.evaluate("fetch(location.pathname + '/points').then(a => a.json()).then(p => p.id.length)")

    assert most < 100
    assert 1_000 < shown <= 8_000
