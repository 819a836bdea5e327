from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

import pytest

from connector.deliver import Policy, converse
from connector.errors import ConfigError, DestinationError
from connector.ports import Refused, Reply, Request

from .world import FakeClock, FakeLimiter, Vendor

if TYPE_CHECKING:
    from collections.abc import Generator

    from connector.ports import Verdict


RANDOM = Random(1)  # noqa: S311 - no secret hangs on it


def ask(name: str) -> Request:
    return Request("GET", f"https://vendor.test/{name}", "key", name)


@dataclass
class Talk:
    """Calls to be made, and what came of them."""

    calls: tuple[str, ...] = ("key check", "read schema")
    replies: list[int] = field(default_factory=list)
    is_closed: bool = False

    def run(self) -> Generator[Request, Reply, str]:
        try:
            for name in self.calls:
                reply = yield ask(name)
                self.replies.append(reply.status)
        finally:
            self.is_closed = True
        return "all said"


def held(
    vendor: Vendor, talk: Generator[Request, Reply, str], stop: threading.Event | None = None
) -> tuple[str | None, FakeLimiter]:
    """What a conversation comes to; every call is settled after it."""
    limiter, policy = FakeLimiter(), Policy(attempts=3)
    try:
        result = converse(talk, vendor, vendor.journal, limiter, FakeClock(), RANDOM, policy, stop or threading.Event())
    finally:
        assert all(call.verdict for call in vendor.journal.calls.values())
        assert vendor.journal.settled == []
        assert vendor.journal.flushes
    return result, limiter


def test_each_reply_is_sent_into_the_conversation() -> None:
    talk, vendor = Talk(), Vendor()

    result, limiter = held(vendor, talk.run())

    assert result == "all said"
    assert talk.replies == [200, 200]
    assert [call.request.purpose for call in vendor.journal.calls.values()] == ["key check", "read schema"]
    assert limiter.acquired == [None, None]


@pytest.mark.parametrize("script", [["503"], ["429:5", "refused"], ["lost after", "lost before"]])
def test_calls_are_tried_again(script: list[str]) -> None:
    talk, vendor = Talk(), Vendor(script=list(script))

    held(vendor, talk.run())

    assert talk.replies == [200, 200]
    assert len(vendor.journal.calls) == 2 + len(script)


@pytest.mark.parametrize(
    ("then", "slug", "message", "calls"),
    [
        ("503", "destination-unavailable", "read schema: 503 (given up after 3 attempts)", 4),
        ("refused", "destination-unavailable", "read schema: connection refused (given up after 3 attempts)", 4),
        ("lost after", "destination-unavailable", "read schema: connection reset (given up after 3 attempts)", 4),
        ("401", "key-refused", "the key is gone", 2),
        ("400", "destination-refused", "read schema: 400", 2),
    ],
)
def test_a_call_without_a_reply_ends_the_conversation(then: str, slug: str, message: str, calls: int) -> None:
    talk, vendor = Talk(), Vendor(script=["ok"], then=then)

    with pytest.raises(DestinationError) as caught:
        held(vendor, talk.run())

    assert (caught.value.problem.slug, caught.value.problem.message) == (slug, message)
    assert caught.value.problem.hint
    assert len(vendor.journal.calls) == calls
    assert talk.is_closed


def test_a_conversation_may_go_on_after_an_error() -> None:
    def talk() -> Generator[Request, Reply, str]:
        try:
            yield ask("optional")
        except DestinationError as error:
            reply = yield ask("instead")
            return f"{error.problem.slug} {reply.status}"
        return "unreachable"

    result, _ = held(Vendor(script=["401"]), talk())

    assert result == "key-refused 200"


def test_a_conversation_may_end_after_an_error() -> None:
    def talk() -> Generator[Request, Reply, str]:
        with suppress(DestinationError):
            yield ask("optional")
        return "without it"

    result, _ = held(Vendor(script=["401"]), talk())

    assert result == "without it"


def test_an_error_of_the_conversation_reaches_the_caller() -> None:
    def talk() -> Generator[Request, Reply, str]:
        yield ask("read schema")
        raise ConfigError("no such field", slug="unknown-field")

    with pytest.raises(ConfigError, match="no such field"):
        held(Vendor(), talk())


@pytest.mark.parametrize("before", [0, 1])
def test_a_cancelled_conversation_is_closed_and_comes_to_nothing(before: int) -> None:
    stop = threading.Event()
    vendor = Vendor(on_send=lambda _: stop.set())
    talk = Talk()
    if not before:
        stop.set()

    result, _ = held(vendor, talk.run(), stop)

    assert result is None
    assert len(vendor.journal.calls) == before
    assert talk.is_closed


def test_a_cancelled_wait_ends_the_conversation() -> None:
    stop = threading.Event()
    vendor = Vendor(then="lost after", on_send=lambda _: stop.set())

    result, _ = held(vendor, Talk().run(), stop)

    assert result is None
    assert [call.verdict for call in vendor.journal.calls.values()] == ["unknown"]


def test_the_conversation_before_a_run_is_the_one_the_destination_asks_for() -> None:
    vendor = Vendor()

    converse(
        vendor.prepare(),
        vendor,
        vendor.journal,
        FakeLimiter(),
        FakeClock(),
        RANDOM,
        Policy(),
        threading.Event(),
    )

    assert [call.request.purpose for call in vendor.journal.calls.values()] == ["key check"]


def test_a_call_that_is_refused_says_what_was_said() -> None:
    class Strict(Vendor):
        def judge(self, request: Request, reply: Reply) -> Verdict:  # noqa: ARG002 - it never takes anything
            return Refused("no such type")

    with pytest.raises(DestinationError, match="key check: no such type"):
        held(Strict(), Talk().run())
