"""Who may come in, and what other sites' pages may not do with a browser that is in."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.e2e.project import ACCOUNTS, OBJECT_SYNC, Scene
from tests.serve.web import served

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

TOKEN = "a-token-that-nobody-guesses"


@contextmanager
def foreign_site(page: str) -> Iterator[str]:
    """The address of another site, whose only page this is."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_nobody_sees_anything_before_the_token_was_given(page: Page, real: Scene) -> None:
    real.write(ACCOUNTS, OBJECT_SYNC)
    with served(real, token=TOKEN) as url:
        page.goto(f"{url}/syncs/{ACCOUNTS}")
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        assert ACCOUNTS not in page.locator("main").inner_text()
        page.get_by_label("Token").fill("something else")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_text("That is not the token.")).to_be_visible()
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Log in").click()

        # On to the page that was asked for.
        expect(page.get_by_role("heading", name=ACCOUNTS)).to_be_visible()
        (cookie,) = page.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        assert TOKEN not in cookie["value"]
        page.get_by_role("button", name="Pause").click()
        expect(page.locator("#said")).to_contain_text("paused")
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        page.goto(url)
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_a_page_of_another_site_can_make_a_browser_change_nothing(page: Page, real: Scene) -> None:
    real.write(ACCOUNTS, OBJECT_SYNC)
    with served(real) as url:
        form = f'<form method="post" action="{url}/syncs/{ACCOUNTS}/pause"><button>Win a prize</button></form>'
        with foreign_site(form) as elsewhere:
            page.goto(elsewhere)
            with page.expect_response(lambda answer: answer.request.method == "POST") as coming:
                page.get_by_role("button").click()
            assert coming.value.status == 403
        # Nor can a page of ours without what only it knows.
        page.goto(f"{url}/syncs/{ACCOUNTS}")
        status = page.evaluate("fetch(location.pathname + '/pause', {method: 'POST'}).then(a => a.status)")
        assert status == 403
        with real.project() as project:
            assert project.history.pauses.paused() == set()
        page.get_by_role("button", name="Pause").click()
        expect(page.get_by_role("button", name="Resume")).to_be_visible()
        with real.project() as project:
            assert project.history.pauses.paused() == {ACCOUNTS}


def test_a_read_only_server_offers_nothing_to_press(page: Page, real: Scene) -> None:
    real.write(ACCOUNTS, OBJECT_SYNC)
    with served(real, read_only=True) as url:
        page.goto(f"{url}/syncs/{ACCOUNTS}")
        expect(page.get_by_text("read-only")).to_be_visible()
        assert page.get_by_role("button", name="Run").count() == 0
        assert page.locator("[hx-post]").count() == 0
