from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from connector.errors import ConfigError, Problem
from connector.state.due import DueSync, Step
from connector.state.runs import NewRun

if TYPE_CHECKING:
    from connector.state.history import History

    from .fake_clock import FakeClock

DIED = Problem("its process died", "run-died")


def test_whoever_asks_for_a_run_knows_its_name_at_once(history: History, clock: FakeClock) -> None:
    asked = history.triggers.ask("accounts", trigger="api", options={"full_resync": True, "row": None, "force": False})

    assert (asked.state, asked.sync, asked.trigger, asked.asked_at) == ("waiting", "accounts", "api", clock.now())
    assert asked.options == {"full_resync": True}
    assert asked.run_id.startswith("20260101T000000Z-")
    assert history.triggers.get(asked.id) == asked
    assert history.triggers.by_run(asked.run_id) == asked
    assert history.triggers.by_run("20260101T000000Z-none") is None


def test_a_second_ask_while_one_waits_is_the_same_run(history: History) -> None:
    first = history.triggers.ask("accounts", trigger="schedule", due_at=100.0)
    second = history.triggers.ask("accounts", trigger="api", options={"full_resync": True})
    third = history.triggers.ask("accounts", trigger="schedule", due_at=160.0)
    other = history.triggers.ask("events", trigger="api")

    assert {first.id, second.id, third.id} == {first.id}
    assert third.options == {"full_resync": True}
    assert (third.trigger, third.due_at, third.last_due_at) == ("schedule", 100.0, 160.0)
    assert history.triggers.waiting() == (third, other)
    assert history.triggers.waiting("events") == (other,)


def test_a_run_of_other_rows_does_not_stand_for_a_whole_one(history: History) -> None:
    one_row = history.triggers.ask("accounts", trigger="api", options={"row": "a1", "force": True})
    whole = history.triggers.ask("accounts", trigger="schedule")
    limited = history.triggers.ask("accounts", trigger="web", options={"limit": 10})

    assert len({one_row.id, whole.id, limited.id}) == 3
    assert whole.options == {}
    assert history.triggers.ask("accounts", trigger="web", options={"row": "a1"}).id == one_row.id


def test_an_option_that_runs_do_not_have_is_refused(history: History) -> None:
    with pytest.raises(ConfigError, match="no option 'fullResync'"):
        history.triggers.ask("accounts", trigger="api", options={"fullResync": True})

    assert history.triggers.list() == ()


def test_while_a_run_goes_on_exactly_one_more_waits(history: History) -> None:
    first = history.triggers.ask("accounts", trigger="schedule")
    (started,) = history.triggers.claim("here", limit=10)
    second = history.triggers.ask("accounts", trigger="schedule")
    third = history.triggers.ask("accounts", trigger="api")

    assert started.id == first.id
    assert (started.state, started.owner, started.attempts) == ("started", "here", 1)
    assert second.id != first.id
    assert third.id == second.id
    assert history.triggers.claim("here", limit=10) == ()

    history.triggers.settle(first.id)

    assert [found.id for found in history.triggers.claim("here", limit=10)] == [second.id]


def test_triggers_are_claimed_oldest_first_up_to_the_limit_and_once(history: History) -> None:
    asked = [history.triggers.ask(name, trigger="schedule").id for name in ("c", "a", "b")]

    first = history.triggers.claim("one", limit=2)
    second = history.triggers.claim("two", limit=2)

    assert [found.id for found in first] == asked[:2]
    assert [found.id for found in second] == asked[2:]
    assert history.triggers.claim("one", limit=2) == ()
    assert history.triggers.claim("one", limit=0) == ()


def test_only_syncs_that_can_run_are_claimed(history: History) -> None:
    history.triggers.ask("broken", trigger="schedule")
    history.triggers.ask("fine", trigger="schedule")

    assert [found.sync for found in history.triggers.claim("here", limit=9, syncs={"fine"})] == ["fine"]


def test_a_run_that_was_in_the_way_makes_a_trigger_wait_and_not_vanish(history: History, clock: FakeClock) -> None:
    asked = history.triggers.ask("accounts", trigger="schedule")
    history.triggers.claim("here", limit=1)

    assert history.triggers.requeue(asked.id, not_before=clock.now() + 5, counted=False)
    assert history.triggers.claim("here", limit=1) == ()

    clock.sleep(5)
    (again,) = history.triggers.claim("here", limit=1)

    assert (again.id, again.run_id, again.attempts) == (asked.id, asked.run_id, 1)


def test_a_trigger_is_withdrawn_only_while_it_waits(history: History, clock: FakeClock) -> None:
    asked = history.triggers.ask("accounts", trigger="api")

    assert history.triggers.withdraw(asked.id)
    assert not history.triggers.withdraw(asked.id)
    assert history.triggers.claim("here", limit=1) == ()
    found = history.triggers.get(asked.id)
    assert found is not None
    assert (found.state, found.settled_at) == ("withdrawn", clock.now())

    other = history.triggers.ask("accounts", trigger="api")
    history.triggers.claim("here", limit=1)

    assert not history.triggers.withdraw(other.id)
    assert not history.triggers.settle(asked.id)


def test_what_kept_a_run_from_beginning_stays_with_its_trigger(history: History) -> None:
    asked = history.triggers.ask("accounts", trigger="api")
    history.triggers.claim("here", limit=1)
    history.triggers.settle(asked.id, Problem("the warehouse does not answer", "source-unreachable", hint="start it"))

    found = history.triggers.get(asked.id)

    assert found is not None
    assert found.state == "done"
    assert found.error == {
        "slug": "source-unreachable",
        "message": "the warehouse does not answer",
        "at": None,
        "hint": "start it",
    }


def test_after_a_death_the_same_rows_are_asked_for_once_more_without_force(history: History) -> None:
    asked = history.triggers.ask("accounts", trigger="api", options={"row": "a1", "force": True, "full_resync": True})
    history.triggers.claim("here", limit=1)

    again = history.triggers.settle_and_ask_again(asked.id, DIED, trigger="recovery")

    assert again is not None
    assert (again.trigger, again.options, again.attempts, again.state) == ("recovery", {"row": "a1"}, 1, "waiting")
    assert again.run_id != asked.run_id
    assert history.triggers.settle_and_ask_again(asked.id, DIED, trigger="recovery") is None
    assert len(history.triggers.list("accounts")) == 2


def test_names_of_runs_are_never_given_out_twice(history: History) -> None:
    # The source of randomness begins anew: the first name it gives is taken by a run, the second by a trigger.
    history.triggers._random = Random(1)  # noqa: S311, SLF001
    first = history.triggers.ask("a", trigger="api").run_id
    history.triggers._random = Random(1)  # noqa: S311, SLF001
    second = history.triggers.ask("b", trigger="api").run_id
    history.runs.start(NewRun("20260101T000000Z-" + f"{_third():06x}", "c", "cli", "m", "pendo", "account"))
    history.triggers._random = Random(1)  # noqa: S311, SLF001
    third = history.triggers.ask("d", trigger="api").run_id

    assert len({first, second, third, history.runs.list()[0].run_id}) == 4


def _third() -> int:
    random = Random(1)  # noqa: S311
    return [random.getrandbits(24) for _ in range(3)][2]


def test_old_triggers_are_forgotten_and_waiting_ones_never(history: History, clock: FakeClock) -> None:
    old = history.triggers.ask("a", trigger="api")
    waiting = history.triggers.ask("b", trigger="api")
    history.triggers.claim("here", limit=1)
    history.triggers.settle(old.id)
    clock.sleep(100)

    assert history.triggers.prune(clock.now()) == 1
    assert history.triggers.list() == (waiting,)


# --- due times, pauses, cancels ---------------------------------------------------------------------------------------


def test_a_due_time_is_taken_once_and_asks_for_one_run(history: History) -> None:
    before, after = DueSync("accounts", "every 1m", 60.0), DueSync("accounts", "every 1m", 120.0)
    history.due.put(before)

    first = history.due.take([Step(before, after, "schedule")])
    second = history.due.take([Step(before, after, "schedule")])

    assert [(found.sync, found.due_at, found.trigger) for found in first] == [("accounts", 60.0, "schedule")]
    assert second == ()
    assert history.due.all() == {"accounts": 120.0}
    assert len(history.triggers.list()) == 1


def test_a_due_time_can_pass_without_a_run(history: History) -> None:
    before, after = DueSync("accounts", "every 1m", 60.0), DueSync("accounts", "every 1m", 120.0)
    history.due.put(before)

    assert history.due.take([Step(before, after)]) == ()
    assert history.due.all() == {"accounts": 120.0}
    assert history.triggers.list() == ()


def test_a_sync_that_follows_another_has_no_due_time(history: History) -> None:
    before, after = DueSync("events", "after accounts"), DueSync("events", "after accounts", None, 50.0)
    history.due.put(before)

    assert len(history.due.take([Step(before, after, "after")])) == 1
    assert history.due.take([Step(before, after, "after")]) == ()
    assert history.due.all() == {}
    assert history.due.entries() == {"events": after}


def test_a_schedule_that_was_changed_takes_the_place_of_the_old_one(history: History) -> None:
    old, new = DueSync("accounts", "every 1m", 60.0), DueSync("accounts", "every 1h", 60.0)
    history.due.put(old)
    history.due.put(new)

    assert history.due.take([Step(old, DueSync("accounts", "every 1m", 120.0), "schedule")]) == ()
    assert history.due.entries() == {"accounts": new}

    history.due.forget("accounts")

    assert history.due.entries() == {}


def test_pauses_are_kept(history: History, clock: FakeClock) -> None:
    assert history.pauses.pause("accounts")
    assert not history.pauses.pause("accounts")
    assert history.pauses.since() == {"accounts": clock.now()}
    assert history.pauses.paused() == {"accounts"}
    assert history.pauses.resume("accounts")
    assert not history.pauses.resume("accounts")
    assert history.pauses.paused() == set()


def test_a_cancel_is_kept_until_it_is_forgotten(history: History) -> None:
    history.cancels.ask("one")
    history.cancels.ask("one")

    assert history.cancels.asked("one")
    assert not history.cancels.asked("two")

    history.cancels.forget("one")

    assert not history.cancels.asked("one")
