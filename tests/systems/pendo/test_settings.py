from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tests.systems.pendo import given


@pytest.mark.parametrize(
    ("region", "api", "data"),
    [
        ("us", "https://app.pendo.io", "https://data.pendo.io"),
        ("us1", "https://us1.app.pendo.io", "https://us1.data.pendo.io"),
        ("eu", "https://app.eu.pendo.io", "https://data.eu.pendo.io"),
        ("jpn", "https://app.jpn.pendo.io", "https://data.jpn.pendo.io"),
        ("au", "https://app.au.pendo.io", "https://data.au.pendo.io"),
    ],
)
def test_each_region_has_its_hosts(region: str, api: str, data: str) -> None:
    settings = given.settings(region=region)

    assert (settings.api_url, settings.data_url) == (api, data)


def test_base_url_takes_the_place_of_both_hosts() -> None:
    settings = given.settings(region=..., base_url="http://127.0.0.1:8090/")

    assert settings.api_url == settings.data_url == "http://127.0.0.1:8090"


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"region": ...}, "needs a region: us, us1, eu, jpn, au"),
        ({"region": "mars"}, "region"),
        ({"base_url": "pendo"}, "not an address"),
        ({"base_url": ""}, "not an address"),
        ({"base_url": "ftp://example.com"}, "not an address"),
        ({"base_url": "http://[::1"}, "not an address"),
        ({"base_url": "http://a b"}, "not an address"),
        ({"base_url": "http://example.com:70000"}, "not an address"),
        ({"base_url": "http://example.com:x"}, "not an address"),
        ({"base_url": "http://example..com"}, "not an address"),
        ({"base_url": "http://exam\x7fple.com"}, "not an address"),
        ({"base_url": "http://example.com/?a=1"}, "not an address"),
        ({"base_url": "http://user:word@example.com"}, "user name or password"),
        ({"integration_key": "a key"}, "no Pendo key has"),
        ({"concurrency": 0}, "concurrency"),
        ({"batching": "many"}, "batching"),
        ({"speed": 1}, "speed"),
        ({"clear_with": "nothing"}, "clear_with"),
        ({"timeouts": {"connect_seconds": 0}}, "connect_seconds"),
    ],
)
def test_wrong_settings_are_refused(changed: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError) as caught:
        given.settings(**changed)

    assert complaint in str(caught.value)


@pytest.mark.parametrize("written", [" \n", "", None])
def test_a_blank_secret_is_a_missing_one(written: str | None) -> None:
    settings = given.settings(integration_key=written)

    assert settings.integration_key is None
    assert settings.secrets == (given.SECRET,)


def test_a_newline_at_the_end_of_a_secret_is_no_part_of_it() -> None:
    assert given.settings(integration_key=given.KEY + "\n").secrets[0] == given.KEY


def test_no_secret_is_shown() -> None:
    shown = repr(given.settings()) + str(given.settings())
    with pytest.raises(ValidationError) as caught:
        given.settings(integration_key="a secret text", region=...)

    assert given.KEY not in shown
    assert given.SECRET not in shown
    assert "a secret text" not in str(caught.value)


@pytest.mark.parametrize(
    ("region", "key", "hinted"),
    [
        ("us", "k.eu", "points to region 'eu', not 'us'"),
        ("eu", "k.us", "points to region 'us', not 'eu'"),
        ("jpn", "k.EU", "points to region 'eu', not 'jpn'"),
        ("us", "k.us", None),
        ("us1", "k.us", None),  # nobody wrote down what the keys of us1 end in
        ("eu", "k.jpn", None),
        ("eu", "k", None),
        ("eu", None, None),
    ],
)
def test_a_key_of_another_region_is_noticed_by_its_ending(region: str, key: str | None, hinted: str | None) -> None:
    hint = given.settings(region=region, integration_key=key).region_hint()

    assert hint is None if hinted is None else hint is not None and hinted in hint


def test_behind_a_base_url_the_ending_of_a_key_says_nothing() -> None:
    assert given.settings(region="us", base_url="http://127.0.0.1:1", integration_key="k.eu").region_hint() is None


@pytest.mark.parametrize(
    ("base_url", "in_the_clear"),
    [
        (None, False),
        ("https://proxy.example.com", False),
        ("http://localhost:8090", False),
        ("http://127.0.0.1:8090", False),
        ("http://[::1]:8090", False),
        ("http://proxy.example.com", True),
    ],
)
def test_http_to_another_machine_is_in_the_clear(base_url: str | None, in_the_clear: bool) -> None:
    assert given.settings(base_url=base_url).is_in_the_clear is in_the_clear
