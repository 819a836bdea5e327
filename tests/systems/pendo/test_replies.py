from __future__ import annotations

from typing import Any

import pytest

from connector.ports import Fault, Refused, Request, TryAgain, Verdict
from connector.systems.pendo.replies import common_verdict, retry_after_s, said
from connector.systems.pendo.settings import INTEGRATION_KEY, TRACK_EVENT_SECRET
from tests.systems.pendo import given


def judged(status: int, body: Any = b"", auth: str = INTEGRATION_KEY, **settings: Any) -> Verdict | None:
    request = Request("POST", "https://app.pendo.io/x", auth, "send")
    return common_verdict(request, given.reply(status, body), given.settings(**settings), lambda: given.NOW)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, None),
        (204, None),
        (400, Refused("400: no")),
        (422, Refused("422: no")),
        (413, Refused("413: no", too_large=True)),
        (408, TryAgain("408: no")),
        (429, TryAgain("429: no", slow_down=True)),
        (500, TryAgain("500: no", 1.0)),
        (502, TryAgain("502: no", 1.0)),
        (503, TryAgain("503: no", 1.0)),
        (504, TryAgain("504: no", 1.0)),
        (599, TryAgain("599: no", 1.0)),
    ],
)
def test_a_status_has_a_verdict(status: int, verdict: Verdict | None) -> None:
    assert judged(status, {"message": "no"}) == verdict


@pytest.mark.parametrize(
    ("status", "slug"),
    [
        (401, "pendo-key-refused"),
        (403, "pendo-key-refused"),
        (402, "pendo-plan"),
        (404, "pendo-not-found"),
        (301, "pendo-unexpected-status"),
        (307, "pendo-unexpected-status"),
        (405, "pendo-unexpected-status"),
        (409, "pendo-unexpected-status"),
        (451, "pendo-unexpected-status"),
        (199, "pendo-unexpected-status"),
    ],
)
def test_what_no_request_can_get_past_is_a_fault(status: int, slug: str) -> None:
    verdict = judged(status)

    assert isinstance(verdict, Fault)
    assert verdict.slug == slug
    assert str(status) in verdict.message
    assert verdict.hint


@pytest.mark.parametrize(
    ("auth", "settings", "hints"),
    [
        (INTEGRATION_KEY, {}, ["is region 'us' right?", "write access", "not the Track Event Shared Secret"]),
        (INTEGRATION_KEY, {"integration_key": "k.eu"}, ["ends in '.eu'", "write access"]),
        (INTEGRATION_KEY, {"base_url": "http://127.0.0.1:1"}, ["integration_key must be"]),
        (TRACK_EVENT_SECRET, {}, ["is region 'us' right?", "Shared Secret of one app", "not an integration key"]),
    ],
)
def test_a_refused_key_gets_hints(auth: str, settings: dict[str, Any], hints: list[str]) -> None:
    verdict = judged(403, b"", auth, **settings)

    assert isinstance(verdict, Fault)
    assert all(hint in str(verdict.hint) for hint in hints)


@pytest.mark.parametrize(("settings", "hint"), [({}, "region"), ({"base_url": "http://127.0.0.1:1"}, "base_url")])
def test_an_unknown_address_gets_a_hint(settings: dict[str, Any], hint: str) -> None:
    verdict = judged(404, b"404 page not found\n", **settings)

    assert isinstance(verdict, Fault)
    assert "404 page not found" in verdict.message
    assert hint in str(verdict.hint)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": " 0.5 "}, 0.5),
        ({"retry_after": "999999999"}, 86_400.0),
        ({"retry_after": "-5"}, None),
        ({"retry_after": "inf"}, None),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "Thu, 01 Jan 2026 00:00:30 GMT"}, 30.0),
        ({"retry_after": "Thu, 01 Jan 2026 00:00:30 -0000"}, 30.0),
        ({"retry_after": "Wed, 31 Dec 2025 00:00:00 GMT"}, 0.0),
        ({"retry_after": "Thu, 01 Jan 2099 00:00:00 GMT"}, 86_400.0),
        # The reply's own clock counts, not ours, which is an hour behind here.
        ({"retry_after": "Thu, 01 Jan 2026 01:00:30 GMT", "date": "Thu, 01 Jan 2026 01:00:00 GMT"}, 30.0),
    ],
)
def test_retry_after_is_a_number_or_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(given.reply(429, b"", **headers), lambda: given.NOW) == seconds


@pytest.mark.parametrize(("status", "seconds"), [(408, 3.0), (429, 3.0), (503, 3.0)])
def test_every_wait_honours_retry_after(status: int, seconds: float) -> None:
    request = Request("POST", "https://app.pendo.io/x", INTEGRATION_KEY, "send")
    verdict = common_verdict(request, given.reply(status, retry_after="3"), given.settings(), lambda: given.NOW)

    assert isinstance(verdict, TryAgain)
    assert verdict.after_s == seconds


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "(empty body)"),
        (b" \n", "(empty body)"),
        (b"{}", "(empty body)"),
        (b"[]", "(empty body)"),
        (b'""', "(empty body)"),
        (b'"BadRequest"', "BadRequest"),
        (b'{"message": "no such\\n  field"}', "no such field"),
        (b'{"error": {"code": 3, "message": "deep"}}', "deep"),
        (b'{"Error": "cased"}', "cased"),
        (b'{"error": "", "reason": "second"}', "second"),
        (b'{"code": 3}', '{"code": 3}'),
        (b'["a", "b"]', '["a", "b"]'),
        (b"404 page not found\n", "404 page not found"),
        (b"12", "12"),
        (b"<html><head><style>x{}</style></head><body><h1>Bad &amp; worse</h1></body></html>", "Bad & worse"),
        (b"<!DOCTYPE html><title>502</title>", "502"),
        (b"broken \xff utf-8 \x00 and \x1b[31m control", "broken \ufffd utf-8 and [31m control"),
        (b'{"message": "half \\ud800 pair"}', "half ? pair"),
        (b"[" * 100_000, "[" * 997 + "..."),
        (b"x" * 5_000, "x" * 997 + "..."),
    ],
)
def test_an_error_body_of_any_kind_becomes_one_line(body: bytes, text: str) -> None:
    assert said(given.reply(500, body)) == text
