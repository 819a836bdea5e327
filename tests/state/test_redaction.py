from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from connector.state.redaction import Redaction

SECRET = 'k/"é+1'


@pytest.mark.parametrize(
    "form", [SECRET, json.dumps(SECRET)[1:-1], json.dumps(SECRET, ensure_ascii=False)[1:-1], quote(SECRET, safe="")]
)
def test_a_secret_is_masked_in_every_form(form: str) -> None:
    redaction = Redaction([SECRET])

    assert redaction.text(f"a {form} b") == "a *** b"
    assert redaction.content(f"a {form} b".encode()) == b"a *** b"


def test_a_secret_that_contains_another_one_is_masked_as_a_whole() -> None:
    assert Redaction(["abc", "abcdef", ""]).text("abcdef abc") == "*** ***"


@pytest.mark.parametrize(
    "name", ["Authorization", "x-pendo-integration-key", "Set-Cookie", "X-Api-Key", "x-auth-token", "client-secret"]
)
def test_a_header_that_carries_a_login_keeps_its_name_only(name: str) -> None:
    assert Redaction([]).headers({name: "v", "content-type": "text/plain"}) == {
        name: "***",
        "content-type": "text/plain",
    }


def test_a_secret_in_any_other_header_is_masked() -> None:
    assert Redaction(["abc"]).headers({"x-echo": "key=abc"}) == {"x-echo": "key=***"}


def test_a_redaction_does_not_show_its_secrets() -> None:
    assert "abc" not in repr(Redaction(["abc"]))
