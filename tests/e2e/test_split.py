"""What bad rows, and an endpoint that takes no arrays, may cost in requests."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.project import ACCOUNTS, EVENT_SYNC, EVENTS, OBJECT_SYNC, Scene, outcomes

if TYPE_CHECKING:
    from connector.run.ending import RunResult

ROWS = 1_000


def with_bad_events(place: Scene, bad: set[int], rows: int = ROWS, **sync: Any) -> str:
    """The name of a sync of so many events, of which the sandbox refuses some."""
    place.events(rows)
    place.sql("UPDATE events SET visitor_id = 'user-' || event_id")
    refuse(place, bad)
    return place.write(EVENTS, EVENT_SYNC, **{"batch": {"rows": rows}, **sync})


def refuse(place: Scene, bad: set[int]) -> None:
    place.sandbox.state.failing_ids["track_event"].clear()
    place.sandbox.add({"failing_ids": {"track_event": {f"user-{number}": "no good" for number in bad}}})


def sent(result: RunResult) -> int:
    return int(result.json()["requests"]["sent"])


@pytest.mark.parametrize("bad", [0, 1, 499, 500, 998, 999, *(Random(5).sample(range(ROWS), 4))])  # noqa: S311
def test_one_bad_event_in_a_thousand_costs_at_most_22_requests(quick: Scene, bad: int) -> None:
    sync = with_bad_events(quick, {bad})

    result = quick.run(sync)

    assert outcomes(result) == {"succeeded": ROWS - 1, "rejected": 1}
    assert sent(result) <= 22
    assert set(quick.delivered().values()) == {1}
    assert set(range(ROWS)) - set(quick.delivered()) == {bad}


@pytest.mark.parametrize("seed", range(4))
def test_ten_bad_events_in_a_thousand_cost_about_150_requests(quick: Scene, seed: int) -> None:
    bad = set(Random(seed).sample(range(ROWS), 10))  # noqa: S311 - repeatable on purpose
    sync = with_bad_events(quick, bad)

    result = quick.run(sync)

    assert outcomes(result) == {"succeeded": ROWS - 10, "rejected": 10}
    assert sent(result) <= 160
    assert set(quick.delivered().values()) == {1}


@pytest.mark.parametrize("batch", [1000, 100])
@pytest.mark.parametrize("kind", [EVENTS, ACCOUNTS])
def test_when_every_row_is_refused_a_few_requests_say_so(quick: Scene, kind: str, batch: int) -> None:
    quick.events(ROWS)
    quick.accounts(ROWS)
    sync = quick.write(kind, EVENT_SYNC if kind == EVENTS else OBJECT_SYNC, batch={"rows": batch})
    quick.point_at(concurrency=1)
    quick.sandbox.add_faults({"path": "/data/track", "status": 400}, {"path": "*/value", "status": 400})

    result = quick.run(sync)
    quick.sandbox.clear_faults()
    quick.run(sync)

    assert not outcomes(result).get("succeeded")
    assert sent(result) <= 60
    if batch == 100:
        assert result.error is not None
        assert result.error.problem.slug == "every-row-refused"
    assert set(quick.delivered()) == set(range(ROWS)) if kind == EVENTS else quick.held() == quick.wanted()


def test_an_endpoint_without_arrays_costs_hardly_more_than_a_request_an_event(quick: Scene) -> None:
    quick.events(2_000)
    quick.sandbox.switch(track_arrays="single_only")
    sync = quick.write(EVENTS, EVENT_SYNC)

    first = quick.run(sync)
    quick.events(2_100)
    second = quick.run(sync)
    with quick.project() as project:
        purposes = {call.purpose for call in project.calls(second.run.run_id)}

    assert outcomes(first) == {"succeeded": 2_000}
    assert sent(first) <= 2_030
    assert sent(second) == 100
    assert purposes == {"send"}
    assert set(quick.delivered().values()) == {1}
    assert len(quick.delivered()) == 2_100


def test_an_endpoint_with_arrays_gets_them_after_a_bad_one(quick: Scene) -> None:
    sync = with_bad_events(quick, {3}, 2_000, batch={"rows": 100})

    result = quick.run(sync)

    assert outcomes(result) == {"succeeded": 1_999, "rejected": 1}
    assert sent(result) <= 20 + 22
    assert set(quick.delivered().values()) == {1}


def test_rows_known_to_be_bad_travel_alone_the_next_time(quick: Scene) -> None:
    sync = with_bad_events(quick, {10, 20})
    quick.run(sync)
    quick.sql(
        "INSERT INTO events SELECT * REPLACE (event_id + 1000 AS event_id, 'user-' || (event_id + 1000) AS visitor_id) "
        "FROM events WHERE event_id < 500"
    )
    before = len(quick.sandbox.requests)

    result = quick.run(sync)

    assert outcomes(result) == {"succeeded": 500, "rejected": 2}
    assert sorted(entry.rows for entry in quick.sandbox.requests[before:]) == [1, 1, 500]
    assert quick.undelivered(sync) == {"10": "rejected", "20": "rejected"}


def test_without_split_retries_the_whole_batch_is_rejected_and_offered_again(quick: Scene) -> None:
    sync = with_bad_events(quick, {5}, 100, batch={"rows": 20}, split_retries=False)
    quick.point_at(batching="array")

    first = quick.run(sync)
    refuse(quick, set())
    second = quick.run(sync)

    assert outcomes(first) == {"succeeded": 80, "rejected": 20}
    assert sent(first) == 5
    assert outcomes(second) == {"succeeded": 20}
    assert set(quick.delivered().values()) == {1}


def test_the_search_for_bad_rows_may_be_given_a_budget(quick: Scene) -> None:
    sync = with_bad_events(quick, {5, 50, 90}, 100, batch={"rows": 100}, max_split_requests=4)
    quick.point_at(batching="array")

    first = quick.run(sync)
    refuse(quick, set())
    second = quick.run(sync)

    assert 0 < first.json()["requests"]["split"] <= 4
    assert outcomes(first)["rejected"] > 3
    assert outcomes(second) == {"succeeded": outcomes(first)["rejected"]}
    assert set(quick.delivered().values()) == {1}


@pytest.mark.parametrize(
    ("switches", "fits"), [({"body_limit_bytes": 10_000}, 10_000), ({"seconds_per_record": 3.0}, 100)]
)
def test_what_is_too_large_is_halved_for_the_rest_of_the_run(quick: Scene, switches: dict[str, Any], fits: int) -> None:
    quick.accounts(3_000)
    quick.sandbox.switch(**switches)
    quick.point_at(concurrency=1)
    sync = quick.write(ACCOUNTS, OBJECT_SYNC)

    result = quick.run(sync)
    writes = [entry for entry in quick.sandbox.requests if entry.path.endswith("/value")]
    refused = [entry for entry in writes if entry.status in (408, 413)]

    assert outcomes(result) == {"succeeded": 3_000}
    assert quick.held() == quick.wanted()
    assert 1 <= len(refused) <= 4
    size = max(entry.rows if fits == 100 else entry.size_bytes for entry in writes if entry not in refused)
    assert fits / 2.5 <= size <= fits
    last = writes.index(refused[-1])
    assert len(writes) - last > 20


def test_a_bad_object_that_is_named_costs_one_request_more(quick: Scene) -> None:
    quick.accounts(ROWS)
    quick.sandbox.add({"failing_ids": {"account": {"acct-77": "no good"}}})
    sync = quick.write(ACCOUNTS, OBJECT_SYNC, batch={"rows": ROWS})

    result = quick.run(sync)
    again = quick.run(sync)

    writes = [entry.rows for entry in quick.sandbox.requests if entry.path.endswith("/value")]
    assert outcomes(result) == {"succeeded": ROWS - 1, "rejected": 1}
    assert outcomes(again) == {"rejected": 1}
    assert writes == [ROWS, 1]
