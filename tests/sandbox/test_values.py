"""One field of one object, and the do-not-process mark."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.sandbox.peer import KEY, Peer

BASE64 = {"x-pendo-base64-encoded-params": "true"}


def path(object_id: str, field: str = "plan", group: str = "custom", kind: str = "visitor") -> str:
    return f"/api/v1/metadata/{kind}/{group}/value/{object_id}/{field}"


@pytest.fixture(autouse=True)
def visitor(pendo: Peer) -> None:
    pendo.box.add({"visitors": ["v-1"], "fields": {"visitor": {"custom": {"plan": "string"}, "agent": {"role": ""}}}})


@pytest.mark.parametrize("value", ["pro", 12, True, ["a"], "ü"])
def test_a_value_is_written_and_read_as_bare_json(pendo: Peer, value: Any) -> None:
    written = pendo.put(path("v-1", "role", "agent"), value)
    read = pendo.get(path("v-1", "ROLE", "agent"))

    assert (written.status_code, read.status_code) == (200, 200)
    assert read.json() == value


@pytest.mark.parametrize(
    ("where", "value", "status"),
    [
        (path("v-9"), "pro", 404),
        (path("v-1", "team", "agent"), "x", 404),
        (path("v-1", "a b"), "x", 404),
        (path("v-1", "id", "auto"), "x", 400),
        (path("p-1", kind="page"), "x", 404),
        (path("v-1", "other", "pendo"), True, 404),
        (path("v-1", "donotprocess", "pendo"), "yes", 400),
        (path("v-9", "donotprocess", "pendo"), True, 404),
        (path("v-1", "blacklistguides", "pendo"), True, 200),
    ],
)
def test_what_cannot_be_written_is_refused(pendo: Peer, where: str, value: Any, status: int) -> None:
    assert pendo.put(where, value).status_code == status


def test_a_body_that_is_no_json_is_refused(pendo: Peer) -> None:
    assert pendo.http.put(path("v-1"), content=b"pro", headers=KEY).status_code == 400


def test_a_value_that_does_not_fit_is_refused_when_the_switch_says_so(pendo: Peer) -> None:
    pendo.box.switch(metadata_wrong_type="record_error")

    assert pendo.put(path("v-1"), 12).status_code == 400
    pendo.box.switch(metadata_wrong_type="store_as_is")
    assert pendo.put(path("v-1"), 12).status_code == 200


@pytest.mark.parametrize("where", [path("v-1"), path("v-9"), path("v-1", "nope"), path("v-1", group="nogroup")])
def test_what_is_not_there_cannot_be_read(pendo: Peer, where: str) -> None:
    assert pendo.get(where).status_code == 404


@pytest.mark.parametrize("object_id", ["v-1", "team/ü ?#", "a" * 7])
@pytest.mark.parametrize("padding", [True, False])
def test_an_awkward_id_travels_as_base64(pendo: Peer, object_id: str, padding: bool) -> None:
    pendo.box.add_objects("visitor", [object_id])
    encoded = "b64_" + base64.urlsafe_b64encode(object_id.encode()).decode()
    where = path(encoded if padding else encoded.rstrip("="))
    written = pendo.put(where, "pro", headers=BASE64)

    assert written.status_code == 200
    assert pendo.values(object_id) == {"plan": "pro"}
    assert pendo.http.get(where, headers={**KEY, **BASE64}).json() == "pro"


def test_without_its_header_base64_is_an_id_like_any_other(pendo: Peer) -> None:
    assert pendo.put(path("b64_di0x"), "pro").status_code == 404
    assert pendo.put(path("b64_!!"), "pro", headers=BASE64).status_code == 400
    assert pendo.put(path("v-1"), "pro", headers=BASE64).status_code == 200


def test_a_do_not_process_mark_stops_writes_until_it_is_taken_away(pendo: Peer) -> None:
    mark = path("v-1", "donotprocess", "pendo")
    pendo.put(mark, document=True)
    ignored = pendo.put(path("v-1"), "pro").status_code, pendo.write({"v-1": {"plan": "pro"}}).json()["updated"]
    shown = pendo.get(mark).json(), pendo.box.do_not_process("visitor"), pendo.values("v-1")
    pendo.put(mark, document=False)
    pendo.put(path("v-1"), "pro")

    assert ignored == (200, 1)
    assert shown == (True, ["v-1"], {})
    assert pendo.get(mark).json() is False
    assert pendo.values("v-1") == {"plan": "pro"}
    assert [each.applied for each in pendo.box.requests if each.path.endswith("plan")] == [False, True]
