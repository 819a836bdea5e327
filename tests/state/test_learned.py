from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from connector.state.history import History

    from .fake_clock import FakeClock


def test_a_fact_is_remembered_with_when_and_why(history: History, clock: FakeClock) -> None:
    history.learned.put("pendo", "batching", "single", "an array of one event was refused with 400")

    (fact,) = history.learned.facts()

    assert history.learned.get("pendo") == {"batching": "single"}
    assert (fact.why, fact.learned_at) == ("an array of one event was refused with 400", clock.now())


def test_a_newer_fact_takes_the_place_of_an_older_one(history: History) -> None:
    history.learned.put("pendo", "batching", "single", "first")
    history.learned.put("pendo", "batching", "array", "second")

    assert history.learned.get("pendo") == {"batching": "array"}


def test_destinations_do_not_share_facts(history: History) -> None:
    history.learned.put("pendo", "batching", "single", "probe")

    assert history.learned.get("pendo-eu") == {}


def test_facts_are_forgotten_one_by_one_or_all_of_a_destination(history: History) -> None:
    for name in ("a", "b", "c"):
        history.learned.put("pendo", name, "1", "probe")
    history.learned.put("other", "a", "1", "probe")

    assert history.learned.forget("pendo", "a") == 1
    assert history.learned.get("pendo") == {"b": "1", "c": "1"}
    assert history.learned.forget("pendo") == 2
    assert history.learned.get("other") == {"a": "1"}
