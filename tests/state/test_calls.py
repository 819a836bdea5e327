from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from connector.errors import ConfigError
from connector.ports import NoReply, Outcome, Reply, Settled
from connector.state.bodies import REPLY_LIMIT_BYTES
from connector.state.calls import CallFilter

from .fake_clock import OK, ROUTE, request

if TYPE_CHECKING:
    from connector.state.history import History
    from connector.state.journal import RunJournal

    from .fake_clock import FakeClock

KEY = "0f9c2a41-made-up-key"
CONTRACT = (
    *("id", "run_id", "started_at", "ms", "attempt", "method", "url", "request_headers", "request_body"),
    *("status", "response_headers", "response_body", "error", "rows", "reason"),
)


@pytest.fixture
def journal(history: History) -> RunJournal:
    """The journal of a run."""
    return history.journal("run-1", secrets=(KEY,))


def call(
    journal: RunJournal, first: int | None = 0, stop: int = 1, *, reply: Reply | NoReply = OK, verdict: str = "judged"
) -> int:
    """A call that was made, answered and judged."""
    call_id = journal.begin(request(first, stop, f'[{{"row": {first}}}]'.encode()), attempt=1)
    journal.answer(call_id, reply)
    journal.settle(call_id, verdict)
    journal.flush()
    return call_id


def test_a_call_is_shown_with_the_keys_of_the_contract(history: History, journal: RunJournal, clock: FakeClock) -> None:
    clock.sleep(0.25)
    call_id = call(journal, 500, 1000)

    shown = history.calls.get(call_id).json()

    assert tuple(shown)[: len(CONTRACT)] == CONTRACT
    assert shown == {
        "id": call_id,
        "run_id": "run-1",
        "started_at": "2026-01-01T00:00:00.250Z",
        "ms": 12.5,
        "attempt": 1,
        "method": "POST",
        "url": "http://127.0.0.1:8090/api/v1/metadata/account/custom/value",
        "request_headers": {"content-type": "application/json", "x-pendo-integration-key": "***"},
        "request_body": '[{"row": 500}]',
        "status": 200,
        "response_headers": {"content-type": "application/json"},
        "response_body": '{"missing": []}',
        "error": None,
        "rows": 500,
        "reason": None,
        "route": "custom",
        "purpose": "send",
        "parent_id": None,
        "verdict": "judged",
        "first": 500,
        "stop": 1000,
        "request_bytes": 14,
        "response_bytes": 15,
        "bodies": None,
    }


def test_a_call_without_rows_says_so(history: History, journal: RunJournal) -> None:
    found = history.calls.get(call(journal, None))

    assert (found.first, found.stop, found.rows, found.route, found.purpose) == (None, None, 0, None, "key check")


def test_a_call_that_is_under_way_has_no_answer_yet(history: History, journal: RunJournal) -> None:
    found = history.calls.get(journal.begin(request(body=b""), attempt=2, parent=7))

    assert not found.answered
    assert (found.attempt, found.parent_id, found.request_body) == (2, 7, None)
    assert (found.status, found.ms, found.response_headers, found.response_body) == (None, None, None, None)
    assert found.json()["ms"] is None


def test_a_call_that_got_no_answer_says_why(history: History, journal: RunJournal) -> None:
    lost = call(journal, reply=NoReply("the connection was reset", maybe_applied=True, ms=3.0), verdict="unknown")

    found = history.calls.get(lost)

    assert found.answered
    assert (found.error, found.status, found.ms, found.verdict) == ("the connection was reset", None, 3.0, "unknown")


def test_no_secret_is_stored_anywhere(history: History, journal: RunJournal) -> None:
    asked = request(body=f'{{"k": "{KEY}"}}'.encode())
    call_id = journal.begin(asked, attempt=1)
    journal.answer(call_id, Reply(401, {"x-echo": KEY, "set-cookie": "session=1"}, f"bad key {KEY}".encode(), 1.0))
    settled = Settled("custom", 0, 1, Outcome.REJECTED, f"refused {KEY}")
    journal.settle(call_id, "fault", f"the key {KEY} is not valid", (settled,))
    second = journal.begin(request(), attempt=2)
    journal.answer(second, NoReply(f"cannot reach http://{KEY}@host", maybe_applied=False, ms=1.0))
    journal.flush()

    shown = json.dumps([found.json() for found in history.calls.list("run-1")])

    assert KEY not in shown
    assert '"x-echo": "***", "set-cookie": "***"' in shown
    assert history.ranges("run-1").column("reason").to_pylist() == ["refused ***", None]
    for file in history.state_dir.iterdir():
        assert KEY.encode() not in file.read_bytes()


def test_a_large_reply_is_kept_up_to_a_limit(history: History, journal: RunJournal) -> None:
    body = b"x" * (REPLY_LIMIT_BYTES + 1)
    found = history.calls.get(call(journal, reply=Reply(502, {}, body, 1.0)))

    assert found.response_body is not None
    assert found.response_body.endswith(f"[cut here: {REPLY_LIMIT_BYTES} of {len(body)} bytes are kept]")
    assert found.response_bytes == len(body)


def test_a_reply_that_is_not_text_can_be_shown(history: History, journal: RunJournal) -> None:
    found = history.calls.get(call(journal, reply=Reply(200, {}, b"caf\xe9 \0", 1.0)))

    assert found.response_body == "caf\N{REPLACEMENT CHARACTER} \0"


def test_a_reason_that_no_database_takes_is_stored_all_the_same(history: History, journal: RunJournal) -> None:
    call_id = journal.begin(request(), attempt=1)
    journal.settle(call_id, "refused", "half a pair \ud83d and a \0")
    journal.flush()

    assert history.calls.get(call_id).reason == "half a pair ? and a \N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    ("which", "found"),
    [
        (CallFilter(), [1, 2, 3, 4, 5]),
        (CallFilter(status="200"), [1, 2]),
        (CallFilter(status="4xx"), [3, 4]),
        (CallFilter(status="429"), [4]),
        (CallFilter(status="none"), [5]),
        (CallFilter(route="custom"), [2, 3, 4, 5]),
        (CallFilter(purpose="key check"), [1]),
        (CallFilter(verdict="refused"), [3]),
        (CallFilter(rows=(499, 500)), [2]),
        (CallFilter(rows=(499, 501)), [2, 3]),
        (CallFilter(rows=(2000, 2001)), []),
        (CallFilter(min_ms=100), [3, 4]),
        (CallFilter(after=3), [4, 5]),
        (CallFilter(text="TOO LARGE"), [3]),
        (CallFilter(text='"row": 1000'), [4]),
        (CallFilter(text="metadata/account"), [1, 2, 3, 4, 5]),
        (CallFilter(text="RESET"), [5]),
        (CallFilter(text="nowhere"), []),
        (CallFilter(status="4xx", min_ms=200), [4]),
    ],
)
def test_calls_are_filtered(history: History, journal: RunJournal, which: CallFilter, found: list[int]) -> None:
    call(journal, None)
    call(journal, 0, 500)
    call(journal, 500, 1000, reply=Reply(413, {}, b"body too large", 100.0), verdict="refused")
    call(journal, 1000, 1500, reply=Reply(429, {}, b"slow down", 200.0), verdict="try_again")
    call(journal, 1500, 2000, reply=NoReply("connection reset", maybe_applied=True, ms=1.0), verdict="unknown")
    call(history.journal("run-2"), 0, 500)

    assert [one.id for one in history.calls.list("run-1", which)] == found
    assert history.calls.count("run-1", which) == len(found)


def test_the_calls_of_all_runs_can_be_listed(history: History, journal: RunJournal) -> None:
    ids = [call(journal), call(history.journal("run-2")), call(journal)]

    assert [one.id for one in history.calls.list(None)] == ids
    assert ids == [1, 2, 3]


@pytest.mark.parametrize("bodies", [True, False])
def test_calls_are_listed_page_by_page(history: History, journal: RunJournal, *, bodies: bool) -> None:
    for row in range(120):
        journal.settle(journal.begin(request(row, row + 1), attempt=1), "judged")
    journal.flush()

    assert [one.first for one in history.calls.list("run-1", bodies=bodies)] == list(range(120))
    found = history.calls.list("run-1", CallFilter(rows=(10, 110)), limit=60, offset=30, bodies=bodies)
    assert [one.first for one in found] == list(range(40, 100))


def test_bodies_are_read_only_when_they_are_asked_for(history: History, journal: RunJournal) -> None:
    call(journal)

    (found,) = history.calls.list("run-1", bodies=False)

    assert (found.request_body, found.response_body, found.status) == (None, None, 200)


def test_an_unknown_call_is_refused(history: History) -> None:
    with pytest.raises(ConfigError) as refused:
        history.calls.get(99)

    assert refused.value.problem.slug == "unknown-call"


@pytest.mark.parametrize("status", ["abc", "", "xx", "4x"])
def test_a_status_that_is_none_is_refused(history: History, status: str) -> None:
    with pytest.raises(ConfigError) as refused:
        history.calls.list("run-1", CallFilter(status=status))

    assert refused.value.problem.slug == "bad-status-filter"


def test_who_follows_a_run_sees_each_call_once_when_it_is_answered(history: History, journal: RunJournal) -> None:
    follow = history.calls.follow("run-1")
    slow, quick = (journal.begin(request(row, row + 1, route=ROUTE), attempt=1) for row in range(2))
    journal.answer(quick, OK)
    journal.flush()

    assert [one.id for one in follow.poll()] == [quick]
    assert follow.poll() == []

    journal.answer(slow, OK)
    never = journal.begin(request(2, 3), attempt=1)

    assert [one.id for one in follow.poll()] == [slow]
    assert [one.id for one in follow.poll(final=True)] == [never]
    assert follow.poll(final=True) == []


def test_who_follows_may_skip_what_is_known(history: History, journal: RunJournal) -> None:
    first, second = call(journal), call(journal)

    assert [one.id for one in history.calls.follow("run-1", after=first).poll()] == [second]
