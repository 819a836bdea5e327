from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.deliver.sheet import Sheet, empty_tally, judged
from connector.errors import CountsError
from connector.ports import Batch, Change, Failure, Judged, Outcome, Settled

from .world import CUSTOM, Numbers

if TYPE_CHECKING:
    from collections.abc import Mapping

SEVERITY = list(Outcome)


def one_change(first: int, stop: int) -> Mapping[Change, int]:
    return {Change.ADDED: stop - first}


def settled(first: int, stop: int, outcome: Outcome) -> Settled:
    return Settled("r", first, stop, outcome)


@st.composite
def notes(draw: st.DrawFn) -> tuple[int, list[list[Settled]]]:
    """A number of rows, and for each of some routes the rows cut into ranges with outcomes."""
    rows = draw(st.integers(1, 30))
    routes = []
    for _ in range(draw(st.integers(1, 3))):
        cuts = sorted({0, rows, *draw(st.lists(st.integers(1, rows), max_size=5))})
        outcomes = st.sampled_from(SEVERITY)
        ranges = [settled(100 + a, 100 + b, draw(outcomes)) for a, b in pairwise(cuts)]
        routes.append(draw(st.permutations(ranges)))
    return rows, routes


@given(notes())
def test_each_row_has_the_worst_outcome_of_its_routes(given_notes: tuple[int, list[list[Settled]]]) -> None:
    rows, routes = given_notes
    sheet = Sheet(100, 100 + rows, len(routes))
    for ranges in routes:
        for each in ranges:
            sheet.note([each])
    expected = [
        max((each.outcome for r in routes for each in r if each.first <= row < each.stop), key=SEVERITY.index)
        for row in range(100, 100 + rows)
    ]

    runs = list(sheet.runs())
    tally = empty_tally()
    sheet.count(tally, one_change)

    assert [outcome for first, stop, outcome in runs for _ in range(first, stop)] == expected
    assert all(one[2] != other[2] for one, other in pairwise(runs))
    assert {o: c[Change.ADDED] for o, c in tally.items() if c[Change.ADDED]} == dict(Counter(expected))


@pytest.mark.parametrize(
    ("noted", "said"),
    [
        ([], "10 outcomes are missing for the rows 0 to 9"),
        ([(0, 4)], "6 outcomes are missing for the rows 0 to 9"),
        ([(0, 10), (3, 5)], "2 outcomes too many for the rows 0 to 9"),
    ],
)
def test_a_row_without_an_outcome_or_with_two_is_an_error(noted: list[tuple[int, int]], said: str) -> None:
    sheet = Sheet(0, 10, 1)
    sheet.note([settled(first, stop, Outcome.REJECTED) for first, stop in noted])

    with pytest.raises(CountsError, match=said):
        sheet.count(empty_tally(), one_change)


@given(
    st.integers(1, 40),
    st.dictionaries(st.integers(0, 39), st.sampled_from([Outcome.SKIPPED, Outcome.REJECTED]), max_size=20),
)
def test_an_answered_batch_is_settled_as_few_ranges(rows: int, outcomes: dict[int, Outcome]) -> None:
    failures = {at: Failure(outcome, f"{outcome} here") for at, outcome in outcomes.items() if at < rows}
    batch = Batch(CUSTOM, 50, 50 + rows, Numbers(50, 50 + rows))

    ranges = judged(batch, Judged(failures), 9, 2)

    by_row = [each for each in ranges for _ in range(each.first, each.stop)]
    assert [each.outcome for each in by_row] == [
        failures[at].outcome if at in failures else Outcome.SUCCEEDED for at in range(rows)
    ]
    assert [each.cause for each in by_row] == [
        "row" if at in failures and failures[at].outcome is Outcome.REJECTED else None for at in range(rows)
    ]
    assert (ranges[0].first, ranges[-1].stop) == (50, 50 + rows)
    for one, other in pairwise(ranges):
        assert one.stop == other.first
        assert (one.outcome, one.reason) != (other.outcome, other.reason)
    assert {(each.route, each.call_id, each.attempts) for each in ranges} == {("custom", 9, 2)}
