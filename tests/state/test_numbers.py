"""Whole numbers for what is known by name: given once, and never again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.state import open_history
from connector.state.numbers import RunFilter
from connector.state.runs import Finish, NewRun

if TYPE_CHECKING:
    from pathlib import Path

    from connector.state.history import History

    from .fake_clock import FakeClock


def start(history: History, run_id: str, sync: str = "one") -> None:
    history.runs.start(NewRun(run_id, sync, "cli", "m", "pendo", "account", {}, pid=1, host="here"))


def test_names_are_numbered_from_one_in_the_order_in_which_they_come(history: History, clock: FakeClock) -> None:
    first = history.numbers.of("sync", ["b", "a", "b"])
    clock.sleep(60)
    again = history.numbers.of("sync", ["c", "a"])

    assert {name: found.number for name, found in first.items()} == {"b": 1, "a": 2}
    assert {name: found.number for name, found in again.items()} == {"c": 3, "a": 2}
    assert again["c"].since - again["a"].since == 60


def test_each_kind_counts_for_itself(history: History) -> None:
    assert history.numbers.one("sync", "accounts").number == 1
    assert history.numbers.one("model", "accounts").number == 1


def test_a_number_leads_back_to_its_name(history: History) -> None:
    history.numbers.of("sync", ["a", "b"])
    found = history.numbers.find("sync", 2)

    assert found is not None
    assert found.name == "b"
    assert history.numbers.find("sync", 3) is None
    assert history.numbers.find("model", 2) is None
    assert (history.numbers.has("sync", "b"), history.numbers.has("model", "b")) == (True, False)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=5), max_size=6))
def test_no_number_is_given_twice_and_none_changes(tmp_path: Path, clock: FakeClock, batches: list[list[str]]) -> None:
    with open_history(tmp_path / str(abs(hash(str(batches)))), clock=clock) as history:
        seen: dict[str, int] = {}
        for names in batches:
            found = {name: number.number for name, number in history.numbers.of("sync", names).items()}
            assert all(seen.get(name, number) == number for name, number in found.items())
            seen |= found

    assert sorted(seen.values()) == list(range(1, len(seen) + 1))


def test_many_at_once_agree(state_dir: Path, clock: FakeClock) -> None:
    names = [f"sync-{at}" for at in range(600)]

    def ask(_: int) -> dict[str, int]:
        with open_history(state_dir, clock=clock, busy_timeout_s=30) as history:
            return {name: found.number for name, found in history.numbers.of("sync", names).items()}

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(ask, range(8)))

    assert all(answer == found[0] for answer in found)
    assert sorted(found[0].values()) == list(range(1, 601))


def test_runs_are_numbered_by_when_they_started_and_listed_newest_first(history: History, clock: FakeClock) -> None:
    for run_id in ("z", "y", "x"):
        start(history, run_id)
        clock.sleep(10)
    start(history, "other", sync="two")
    found = history.numbers.runs(RunFilter("one"), limit=10)

    assert [(number.number, run.run_id) for number, run in found] == [(3, "x"), (2, "y"), (1, "z")]
    assert history.numbers.find("run", 4) is None


def test_a_run_that_was_promised_a_number_keeps_it(history: History, clock: FakeClock) -> None:
    promised = history.numbers.one("run", "later").number
    start(history, "earlier")
    clock.sleep(10)
    start(history, "later")
    found = history.numbers.runs(RunFilter("one", order="started_at"), limit=10)

    assert [(number.number, run.run_id) for number, run in found] == [(promised, "later"), (promised + 1, "earlier")]


def test_runs_are_cut_and_filtered_in_the_database(history: History, clock: FakeClock) -> None:
    times = []
    for at in range(6):
        times.append(clock.now())
        start(history, f"run-{at}")
        clock.sleep(10)

    def names(wanted: RunFilter, limit: int = 10, offset: int = 0) -> list[str]:
        return [run.run_id for _, run in history.numbers.runs(wanted, limit=limit, offset=offset)]

    assert names(RunFilter("one"), limit=2, offset=1) == ["run-4", "run-3"]
    assert names(RunFilter("one", after=times[3])) == ["run-5", "run-4"]
    assert names(RunFilter("one", before=times[2])) == ["run-1", "run-0"]
    assert names(RunFilter("nothing")) == []


def test_a_run_that_goes_on_is_the_newest_by_its_end(history: History, clock: FakeClock) -> None:
    start(history, "goes-on")
    clock.sleep(10)
    start(history, "ended")
    history.runs.finish("ended", Finish("success"))
    found = history.numbers.runs(RunFilter("one", order="finished_at"), limit=10)

    assert [run.run_id for _, run in found] == ["goes-on", "ended"]


def test_a_plan_is_shown_before_the_run_has_ended(history: History) -> None:
    start(history, "a")
    history.runs.plan("a", {"queried": 30, "added": 20, "changed": 0, "removed": 0})
    run = history.runs.find("a")

    assert run is not None
    assert (run.status, run.outcomes) == ("running", None)
    assert run.rows == {"queried": 30, "added": 20, "changed": 0, "removed": 0}
    assert history.runs.find("b") is None
