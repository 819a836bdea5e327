"""The API call log as pages read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from connector.ports import NoReply, Outcome, Reply, Settled
from connector.state.calls import CallFilter

from .fake_clock import OK, ROUTE, request

if TYPE_CHECKING:
    from connector.state.history import History
    from connector.state.journal import RunJournal

RUN = "run-1"


@pytest.fixture
def journal(history: History) -> RunJournal:
    return history.journal(RUN)


def begin(journal: RunJournal, first: int, stop: int, *, attempt: int = 1, parent: int | None = None) -> int:
    return journal.begin(request(first, stop, b"[]"), attempt=attempt, parent=parent)


def answer(journal: RunJournal, call: int, reply: Reply | NoReply = OK, verdict: str = "judged") -> int:
    journal.answer(call, reply)
    journal.settle(call, verdict)
    journal.flush()
    return call


def test_a_family_is_found_from_each_of_its_calls(history: History, journal: RunJournal) -> None:
    root = answer(journal, begin(journal, 0, 8), Reply(400, {}, b"no", 1.0), "refused")
    left = answer(journal, begin(journal, 0, 4, parent=root), Reply(429, {}, b"", 1.0), "try_again")
    right = answer(journal, begin(journal, 4, 8, parent=root))
    again = answer(journal, begin(journal, 0, 4, attempt=2, parent=left))
    alone = answer(journal, begin(journal, 8, 9))

    for member in (root, left, right, again):
        family = history.windows.family(member)
        assert [line.id for line in family] == [root, left, right, again]
        assert [line.is_part for line in family] == [False, True, True, False]
    assert [line.id for line in history.windows.family(alone)] == [alone]
    assert history.windows.family(10**9) == []


def test_what_is_new_in_a_run_is_told_once_and_counts_add_up(history: History, journal: RunJournal) -> None:
    one = answer(journal, begin(journal, 0, 2))
    two = begin(journal, 2, 4)
    going, points = history.windows.going(RUN)
    assert [point.id for point in points] == [one, two]
    assert going.kinds == {"ok": 1, "open": 1}

    going, points = history.windows.going(RUN, going)
    assert [point.id for point in points] == [two]  # nobody knows yet what came of it
    journal.answer(two, Reply(429, {}, b"", 1.0))
    rows = Settled(ROUTE.name, 0, 2, Outcome.SUCCEEDED, None, None, one, 1)
    journal.settle(two, "try_again", settled=[rows])
    three = begin(journal, 2, 4, attempt=2, parent=two)
    answer(journal, three, NoReply("reset", maybe_applied=True, ms=1.0), "unknown")
    going, points = history.windows.going(RUN, going)

    assert [point.kind for point in points] == ["limited", "failed"]
    assert going.kinds == {"ok": 1, "limited": 1, "failed": 1} == history.windows.kinds(RUN)
    assert going.settled == {(ROUTE.name, "succeeded"): 2}
    assert history.windows.going(RUN, going)[1] == []


def test_of_many_points_those_that_went_well_are_thinned_out(history: History, journal: RunJournal) -> None:
    made = [begin(journal, at, at + 1) for at in range(60)]
    for call in made:
        journal.answer(call, Reply(503, {}, b"", 1.0) if call % 20 == 3 else OK)
    journal.flush()
    points = history.windows.points(RUN, most=20)

    assert len(points) < 35
    failed = [point.id for point in points if point.kind == "failed"]
    assert failed == [call for call in made if call % 20 == 3]
    assert len(history.windows.points(RUN)) == 60


def test_ids_and_lines_are_those_of_the_filter_in_order(history: History, journal: RunJournal) -> None:
    made = [answer(journal, begin(journal, at, at + 1), Reply(200 + 200 * (at % 2), {}, b"", 1.0)) for at in range(6)]
    ids = history.windows.ids(RUN, CallFilter(status="4xx"))

    assert list(ids) == made[1::2]
    assert [line.id for line in history.windows.lines(ids[1:])] == made[3::2]
    assert [line.rows for line in history.windows.lines(ids)] == [1, 1, 1]
    assert len(history.windows.endpoints(RUN)) == 1
