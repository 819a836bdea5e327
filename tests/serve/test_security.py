"""Who may ask for what, over a real port."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from connector.errors import ConfigError
from connector.serve.security import COOKIE, is_loopback, local_path, refuse_open
from tests.e2e.project import ACCOUNTS, OBJECT_SYNC, FastClock, Scene, scene
from tests.serve.web import served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "a-token-that-nobody-guesses"
PAUSE = f"/syncs/{ACCOUNTS}/pause"
PAGE = {"accept": "text/html"}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path / "p") as made:
        made.write(ACCOUNTS, OBJECT_SYNC)
        yield made


def client(url: str, **options: Any) -> httpx.Client:
    return httpx.Client(base_url=url, **options)


def csrf_of(page: str) -> str:
    found = re.search(r'name="csrf" content="([^"]+)"', page)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(
    ("host", "token", "header", "allowed"),
    [
        ("127.0.0.1", None, None, True),
        ("::1", None, None, True),
        ("localhost", None, None, True),
        ("0.0.0.0", None, None, False),  # noqa: S104 - that is what is refused
        ("10.0.0.7", None, None, False),
        ("warehouse.internal", None, None, False),
        ("0.0.0.0", TOKEN, None, True),  # noqa: S104
        ("0.0.0.0", "guess", None, False),  # noqa: S104 - from the environment, which no setting checks
        ("0.0.0.0", "guess", "x-forwarded-user", False),  # noqa: S104
        ("127.0.0.1", "guess", None, True),
        ("10.0.0.7", None, "x-forwarded-user", True),
    ],
)
def test_an_address_that_others_reach_needs_a_login(
    host: str, token: str | None, header: str | None, *, allowed: bool
) -> None:
    if allowed:
        refuse_open(host, token=token, trusted_header=header)
        return
    with pytest.raises(ConfigError) as refused:
        refuse_open(host, token=token, trusted_header=header)

    assert refused.value.problem.slug == "serve-needs-token"
    assert not is_loopback(host)


@pytest.mark.parametrize("name", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "", "[::2]"])
def test_a_name_that_is_not_ours_gets_nothing(place: Scene, name: str) -> None:
    with served(place) as url, client(url) as browser:
        refused = browser.get("/", headers={"host": name, **PAGE})
        unsafe = browser.post(PAUSE, headers={"host": name})
        own = browser.get("/", headers={"host": "localhost:1", **PAGE})

    assert (refused.status_code, unsafe.status_code, own.status_code) == (421, 421, 200)
    assert ACCOUNTS not in refused.text


def test_every_answer_forbids_scripts_and_frames_that_are_not_ours(place: Scene) -> None:
    with served(place) as url, client(url) as browser:
        answers = [browser.get(path, headers=PAGE) for path in ("/", "/nothing", f"/syncs/{ACCOUNTS}", "/login")]
        answers.append(browser.get("/assets/app.js"))

    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
    pages = [answer.text for answer in answers[:-1]]
    assert not any(re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=|https?://(?!127)", page) for page in pages)
    assert [answer.headers["cache-control"] for answer in answers[:1]] == ["no-store"]
    assert "immutable" in answers[-1].headers["cache-control"]


def test_a_token_opens_the_doors_in_both_ways(place: Scene) -> None:
    with served(place, token=TOKEN) as url, client(url) as program, client(url) as browser:
        assert program.get("/").status_code == 401
        assert program.get("/", headers={"authorization": "Bearer wrong"}).status_code == 401
        assert program.get("/", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
        assert program.post(PAUSE, headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200

        asked = browser.get("/syncs/x?page=2", headers=PAGE)
        assert (asked.status_code, asked.headers["location"]) == (303, "/login?next=/syncs/x%3Fpage%3D2")
        assert browser.post("/login", data={"token": "wrong"}, headers=PAGE).status_code == 401
        entered = browser.post("/login", data={"token": TOKEN, "next": "//evil.example"}, headers=PAGE)
        page = browser.get("/", headers=PAGE)
        assert browser.post(PAUSE).status_code == 403
        assert browser.post(PAUSE, headers={"x-csrf-token": csrf_of(page.text)}).status_code == 200

    assert entered.headers["location"] == "/"
    cookie = entered.headers["set-cookie"]
    assert COOKIE in cookie
    assert "httponly" in cookie.lower()
    assert "samesite=strict" in cookie.lower()
    assert TOKEN not in cookie + page.text


def test_a_login_ends_after_a_week_and_with_another_token(tmp_path: Path) -> None:
    with scene(tmp_path / "p", clock=FastClock(factor=1_000_000)) as place, client("http://127.0.0.1") as browser:
        with served(place, token=TOKEN) as url:
            browser.post(f"{url}/login", data={"token": TOKEN})
            cookie = {"cookie": f"{COOKIE}={browser.cookies[COOKIE]}", **PAGE}
            assert browser.get(f"{url}/", headers=cookie).status_code in (200, 303)
            assert place.clock is not None
            place.clock.sleep(8 * 24 * 3600)
            assert browser.get(f"{url}/", headers=cookie).status_code == 303
        with served(place, token=TOKEN + "-new") as url:
            assert browser.get(f"{url}/", headers=cookie).status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "same-origin", "x-csrf-token": "made up"},
    ],
)
def test_a_browser_changes_something_only_for_a_page_of_ours(place: Scene, headers: dict[str, str]) -> None:
    with served(place) as url, client(url) as browser:
        answer = browser.post(PAUSE, headers=headers)
        ours = csrf_of(browser.get("/", headers=PAGE).text)
        own = browser.post(PAUSE, headers={"sec-fetch-site": "same-origin", "origin": url, "x-csrf-token": ours})

    assert (answer.status_code, own.status_code) == (403, 200)


def test_a_read_only_server_changes_nothing(place: Scene) -> None:
    with served(place, read_only=True) as url, client(url) as program:
        paths = (PAUSE, f"/syncs/{ACCOUNTS}/run", "/runs/x/cancel", "/calls/1/replay", f"/syncs/{ACCOUNTS}/retry")
        answers = [program.post(path).status_code for path in paths]
        page = program.get(f"/syncs/{ACCOUNTS}", headers=PAGE)
    with place.project() as project:
        assert project.history.triggers.waiting() == ()
        assert project.history.pauses.paused() == set()

    assert answers == [403] * len(paths)
    assert "hx-post" not in page.text


def test_a_proxy_is_believed_only_where_it_is_known(place: Scene) -> None:
    name = {"x-forwarded-user": "somebody"}
    with served(place, trusted_header="x-forwarded-user") as url, client(url) as browser:
        assert browser.get("/", headers=PAGE).status_code == 401
        page = browser.get("/", headers=PAGE | name)
        assert page.status_code == 200
        assert browser.post(PAUSE, headers=name).status_code == 403
        assert browser.post(PAUSE, headers=name | {"x-csrf-token": csrf_of(page.text)}).status_code == 200
        stranger = {"x-forwarded-user": "somebody else", "x-csrf-token": csrf_of(page.text)}
        assert browser.post(PAUSE, headers=stranger).status_code == 403
    with served(place, trusted_header="x-forwarded-user", trusted_proxies=("10.0.0.1",)) as url:
        assert httpx.get(url, headers=name).status_code == 401


@pytest.mark.parametrize(
    ("wanted", "path"),
    [("/runs", "/runs"), ("https://evil.example", "/"), ("//evil.example", "/"), ("/\\evil.example", "/"), ("", "/")],
)
def test_a_login_leads_to_this_server_only(wanted: str, path: str) -> None:
    assert local_path(wanted) == path
