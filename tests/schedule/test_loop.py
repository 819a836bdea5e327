"""The scheduler, look by look: time is set by hand, and processes do what the test says."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from connector.schedule.loop import Chore

from .world import World, crash, world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from connector.schedule.files import Loaded


@pytest.fixture
def place(tmp_path: Path) -> Iterator[World]:
    """A project with no sync yet."""
    with world(tmp_path / "p") as made:
        yield made


# --- due times --------------------------------------------------------------------------------------------------------


def test_a_due_time_starts_one_run_and_the_next_one_another(place: World) -> None:
    place.write("accounts", {"every": "1m"})
    scheduler = place.scheduler()
    for _ in range(3):
        scheduler.look()

    assert place.going == []

    place.clock.sleep(60)
    for _ in range(3):
        scheduler.look()

    assert place.going == ["accounts"]
    assert place.asked("accounts") == [("schedule", "started")]
    assert scheduler.state.running == {"accounts": place.trigger_of("accounts").run_id}

    place.finish("accounts")
    place.clock.sleep(60)
    scheduler.look()

    assert place.asked("accounts") == [("schedule", "done"), ("schedule", "started")]
    assert place.history.due.all() == {"accounts": place.clock.now() + 60}


def test_what_was_missed_while_nobody_was_there_runs_once(place: World) -> None:
    place.write("accounts", {"every": "1m"})
    scheduler = place.scheduler()
    scheduler.look()
    due_at = place.history.due.all()["accounts"]
    crash(scheduler)
    place.clock.sleep(3600)

    again = place.scheduler()
    for _ in range(3):
        again.look()

    trigger = place.trigger_of("accounts")
    assert place.asked("accounts") == [("schedule", "started")]
    assert trigger.due_at == due_at
    assert place.history.due.all()["accounts"] > place.clock.now()


def test_due_times_during_a_run_make_exactly_one_more(place: World) -> None:
    place.write("accounts", {"every": "1m"})
    scheduler = place.scheduler()
    scheduler.look()
    for _ in range(6):
        place.clock.sleep(60)
        scheduler.look()
    place.history.triggers.ask("accounts", trigger="api")
    scheduler.look()

    assert place.asked("accounts") == [("schedule", "started"), ("schedule", "waiting")]

    place.finish("accounts")
    scheduler.look()
    place.finish("accounts")
    scheduler.look()

    assert place.going == []
    assert len(place.runs("accounts")) == 2


def test_no_more_runs_go_on_at_once_than_allowed_and_the_oldest_comes_first(tmp_path: Path) -> None:
    with world(tmp_path / "p", runs_at_once=2) as place:
        for name in ("a", "b", "c", "d"):
            place.write(name)
        scheduler = place.scheduler()
        scheduler.look()
        for name in ("d", "c", "b", "a"):
            place.history.triggers.ask(name, trigger="api")
        scheduler.look()

        assert place.going == ["c", "d"]

        place.finish("d")
        scheduler.look()

        assert place.going == ["b", "c"]


def test_a_paused_sync_passes_its_times_and_runs_when_it_is_asked_to(place: World) -> None:
    place.write("accounts", {"every": "1m"})
    place.history.pauses.pause("accounts")
    scheduler = place.scheduler()
    scheduler.look()
    place.clock.sleep(180)
    scheduler.look()

    assert place.asked("accounts") == []

    place.history.triggers.ask("accounts", trigger="web")
    scheduler.look()
    place.finish("accounts")
    place.history.pauses.resume("accounts")
    scheduler.look()

    assert place.asked("accounts") == [("web", "done")]

    place.clock.sleep(60)
    scheduler.look()

    assert place.asked("accounts") == [("web", "done"), ("schedule", "started")]


def test_a_chore_is_done_once_in_a_while(place: World) -> None:
    done: list[float] = []

    def note(loaded: Loaded) -> None:
        assert loaded.definition is not None
        done.append(place.clock.now())

    began = place.clock.now()
    scheduler = place.scheduler(Chore("note", 60, note))
    for _ in range(150):
        scheduler.look()
        place.clock.sleep(1)

    assert done == [began + 60, began + 120]


# --- one after another ------------------------------------------------------------------------------------------------


def chain(place: World, **if_failed: Any) -> None:
    place.write("first", {"every": "1h"})
    place.write("second", {"after": "first", **if_failed})
    place.write("third", {"after": "second"})


def test_a_sequence_runs_one_after_the_other(place: World) -> None:
    chain(place)
    scheduler = place.scheduler()
    scheduler.look()
    place.clock.sleep(3600)
    for name in ("first", "second", "third"):
        scheduler.look()
        assert place.going == [name]
        place.clock.sleep(1)
        place.finish(name)
    for _ in range(3):
        scheduler.look()

    assert place.going == []
    assert place.asked("third") == [("after", "done")]


@pytest.mark.parametrize("status", ["failed", "held", "cancelled", "interrupted"])
def test_a_run_that_did_not_succeed_ends_the_sequence(place: World, status: str) -> None:
    chain(place)
    scheduler = place.scheduler()
    scheduler.look()
    place.by_hand("first", status)
    for _ in range(3):
        scheduler.look()

    assert place.asked("second") == []

    place.clock.sleep(1)
    place.by_hand("first", "warning")
    scheduler.look()

    assert place.going == ["second"]


def test_a_sequence_may_go_on_however_a_run_ended(place: World) -> None:
    chain(place, if_failed="go_on")
    scheduler = place.scheduler()
    scheduler.look()
    place.by_hand("first", "failed")
    scheduler.look()

    assert place.going == ["second"]


def test_a_run_that_ended_while_nobody_was_there_is_followed_once(place: World) -> None:
    chain(place)
    place.by_hand("first")
    place.clock.sleep(10)
    scheduler = place.scheduler()
    scheduler.look()

    assert place.going == []  # that run was before anything followed it

    crash(scheduler)
    for _ in range(3):
        place.clock.sleep(10)
        place.by_hand("first")
    again = place.scheduler()
    for _ in range(3):
        again.look()

    assert place.asked("second") == [("after", "started")]


def test_a_paused_sync_follows_nobody(place: World) -> None:
    chain(place)
    place.history.pauses.pause("second")
    scheduler = place.scheduler()
    scheduler.look()
    place.by_hand("first")
    scheduler.look()
    place.history.pauses.resume("second")
    scheduler.look()

    assert place.asked("second") == []


# --- files that change ------------------------------------------------------------------------------------------------


def test_a_changed_schedule_counts_from_the_next_look_on(place: World) -> None:
    place.write("accounts", {"every": "1d"})
    scheduler = place.scheduler()
    scheduler.look()
    place.write("accounts", {"every": "1m", "jitter": "30s"})
    scheduler.look()

    assert place.history.due.all()["accounts"] < place.clock.now() + 120

    place.write("accounts")
    scheduler.look()

    assert place.history.due.all() == {}


def test_a_broken_sync_waits_and_the_others_go_on(place: World) -> None:
    place.write("broken", {"every": "1m"})
    place.write("fine", {"every": "1m"})
    scheduler = place.scheduler()
    scheduler.look()
    place.write("broken", {"every": "1m"}, object="acount")
    place.clock.sleep(300)
    scheduler.look()

    assert place.going == ["fine"]
    assert [problem.slug for problem in scheduler.state.problems] == ["wrong-choice"]
    assert place.asked("broken") == []

    place.write("broken", {"every": "1m"})
    scheduler.look()

    assert place.going == ["broken", "fine"]
    assert place.asked("broken") == [("schedule", "started")]
    assert scheduler.state.problems == ()


def test_a_cron_line_that_never_comes_breaks_its_own_sync_only(place: World) -> None:
    place.write("never", {"cron": "0 0 30 2 *"})
    place.write("fine", {"every": "1m"})
    scheduler = place.scheduler()
    scheduler.look()
    place.clock.sleep(60)
    scheduler.look()

    assert place.going == ["fine"]
    assert [problem.slug for problem in scheduler.state.problems] == ["bad-schedule"]


def test_whoever_asks_for_a_broken_sync_is_told_why_it_cannot_run(place: World) -> None:
    place.write("broken", object="acount")
    place.write("other", match="")
    asked = {name: place.history.triggers.ask(name, trigger="api") for name in ("broken", "gone")}
    due = place.history.triggers.ask("other", trigger="schedule", due_at=1.0)
    place.scheduler().look()

    broken, gone = (place.history.triggers.get(asked[name].id) for name in ("broken", "gone"))
    assert broken is not None
    assert broken.error is not None
    assert (broken.state, broken.error["slug"]) == ("done", "wrong-choice")
    assert broken.error["at"].startswith("sync_configs/broken.yml:")
    assert gone is not None
    assert gone.error is not None
    assert (gone.state, gone.error["slug"]) == ("done", "unknown-sync")
    assert place.history.triggers.waiting() == (due,)


def test_a_broken_connector_yml_stops_everything_until_it_is_mended(place: World) -> None:
    place.write("accounts", {"every": "1m"})
    scheduler = place.scheduler()
    scheduler.look()
    written = (place.root / "connector.yml").read_text(encoding="utf-8")
    (place.root / "connector.yml").write_text("sources: [", encoding="utf-8")
    place.clock.sleep(60)
    scheduler.look()

    assert place.going == []

    (place.root / "connector.yml").unlink()
    scheduler.look()

    assert [problem.slug for problem in scheduler.state.problems] == ["no-project"]
    assert place.history.due.all() != {}

    (place.root / "connector.yml").write_text(written, encoding="utf-8")
    scheduler.look()

    assert place.going == ["accounts"]


def test_a_sync_that_is_gone_is_forgotten(place: World) -> None:
    place.write("accounts", {"every": "1m"})
    scheduler = place.scheduler()
    scheduler.look()
    place.history.triggers.ask("accounts", trigger="schedule", due_at=1.0)
    (place.root / "sync_configs/accounts.yml").unlink()
    scheduler.look()

    assert place.history.due.all() == {}
    assert place.asked("accounts") == [("schedule", "done")]


# --- processes that die -----------------------------------------------------------------------------------------------


def test_a_process_that_dies_before_its_run_begins_is_started_anew_three_times_in_all(place: World) -> None:
    place.write("accounts")
    asked = place.history.triggers.ask("accounts", trigger="api")
    scheduler = place.scheduler()
    for attempt in (1, 2, 3):
        scheduler.look()

        assert place.trigger_of("accounts").attempts == attempt

        place.end("accounts", -9)
    for _ in range(3):
        scheduler.look()

    found = place.history.triggers.get(asked.id)
    assert found is not None
    assert found.error is not None
    assert (found.state, found.error["slug"]) == ("done", "run-died")
    assert place.going == []


def test_a_process_that_dies_in_its_run_is_gone_on_with(place: World) -> None:
    place.write("accounts")
    place.history.triggers.ask("accounts", trigger="api", options={"limit": 5, "force": True})
    scheduler = place.scheduler()
    scheduler.look()
    place.begin("accounts")
    place.end("accounts", -9)
    place.clock.sleep(1)
    scheduler.look()

    assert place.asked("accounts") == [("api", "done"), ("recovery", "started")]
    assert place.trigger_of("accounts").options == {"limit": 5}

    place.finish("accounts")
    scheduler.look()

    assert [run.status for run in place.runs("accounts")] == ["interrupted", "success"]
    assert place.going == []


def test_a_run_that_dies_again_and_again_is_left_alone_after_three_times(place: World) -> None:
    place.write("accounts")
    place.history.triggers.ask("accounts", trigger="api")
    scheduler = place.scheduler()
    for _ in range(3):
        scheduler.look()
        place.recover("accounts")
        place.begin("accounts")
        place.end("accounts", -11)
        place.clock.sleep(1)
    for _ in range(3):
        scheduler.look()

    assert place.going == []
    assert place.asked("accounts") == [("api", "done"), ("recovery", "done"), ("recovery", "done")]
    last = place.history.triggers.list("accounts")[0]
    assert last.error is not None
    assert last.error["slug"] == "run-died"


def test_a_process_that_dies_after_its_run_has_ended_lost_nothing(place: World) -> None:
    place.write("accounts")
    place.history.triggers.ask("accounts", trigger="api")
    scheduler = place.scheduler()
    scheduler.look()
    place.by_hand("accounts")  # only to have something before it
    run_id = place.begin("accounts")
    place.recover("accounts")
    place.end("accounts", -9)
    scheduler.look()

    found = place.history.triggers.by_run(run_id)
    assert found is not None
    assert (found.state, found.error) == ("done", None)
    assert place.going == []


def test_a_run_that_was_in_the_way_is_waited_for(place: World) -> None:
    place.write("accounts")
    place.history.triggers.ask("accounts", trigger="api")
    scheduler = place.scheduler()
    scheduler.look()
    child = place.children["accounts"]
    place.history.triggers.requeue(child.order.trigger_id, not_before=place.clock.now() + 5, counted=False)
    place.end("accounts", 0)
    scheduler.look()

    assert place.going == []

    place.clock.sleep(5)
    scheduler.look()

    assert place.going == ["accounts"]
    assert place.trigger_of("accounts").attempts == 1


def test_a_process_that_cannot_be_started_is_tried_again_later(place: World) -> None:
    place.write("accounts")
    place.history.triggers.ask("accounts", trigger="api")
    scheduler = place.scheduler()
    works = place.launch

    def refuse(_: object) -> Any:
        raise OSError("no room for another process")

    scheduler._children._launch = refuse  # noqa: SLF001
    scheduler.look()

    assert place.asked("accounts") == [("api", "waiting")]

    scheduler._children._launch = works  # noqa: SLF001
    scheduler.look()
    place.clock.sleep(5)
    scheduler.look()

    assert place.going == ["accounts"]
    assert place.trigger_of("accounts").attempts == 1


# --- schedulers that die ----------------------------------------------------------------------------------------------


def test_a_second_scheduler_stands_by_and_takes_over(place: World) -> None:
    place.write("accounts", {"every": "1m"})
    first, second = place.scheduler(), place.scheduler()
    for _ in range(3):
        place.clock.sleep(60)
        first.look()
        second.look()

    assert (first.state.active, second.state.active) == (True, False)
    assert len(place.history.triggers.list()) == 2

    crash(first)
    second.look()

    assert second.state.active
    assert place.going == ["accounts"]


def test_what_a_dead_scheduler_has_started_goes_on_and_is_followed_to_its_end(place: World) -> None:
    place.write("accounts", {"every": "1m"})
    scheduler = place.scheduler()
    scheduler.look()
    place.clock.sleep(60)
    scheduler.look()
    place.begin("accounts")
    crash(scheduler)
    place.clock.sleep(60)
    again = place.scheduler()
    again.look()

    assert place.asked("accounts") == [("schedule", "started"), ("schedule", "waiting")]
    assert again.state.running == {"accounts": place.trigger_of("accounts").run_id}

    place.finish("accounts")
    again.look()

    assert place.asked("accounts") == [("schedule", "done"), ("schedule", "started")]


def test_what_died_with_its_scheduler_is_taken_up_again(place: World) -> None:
    for name in ("begun", "ended", "waiting"):
        place.write(name)
        place.history.triggers.ask(name, trigger="api")
    scheduler = place.scheduler()
    scheduler.look()
    place.begin("begun")
    place.begin("ended")
    place.recover("ended")
    for name in ("begun", "ended", "waiting"):
        place.end(name, -9)
    crash(scheduler)
    place.clock.sleep(60)
    place.scheduler().look()

    assert place.asked("begun") == [("api", "done"), ("recovery", "started")]
    assert place.asked("ended") == [("api", "done")]
    assert place.asked("waiting") == [("api", "started")]
    assert place.trigger_of("waiting").attempts == 1


# --- the end ----------------------------------------------------------------------------------------------------------


def test_a_graceful_stop_starts_nothing_and_waits_for_what_goes_on(place: World) -> None:
    for name in ("one", "two"):
        place.write(name)
    place.history.triggers.ask("one", trigger="api")
    scheduler = place.scheduler()
    scheduler.look()
    place.history.triggers.ask("two", trigger="api")
    ender = threading.Timer(0.2, lambda: place.finish("one"))
    place.clock.sleep = _in_real_time(place)  # type: ignore[method-assign]
    ender.start()
    scheduler.drain(grace_s=3600)
    ender.join()

    assert scheduler.state.stopping
    assert place.asked("one") == [("api", "done")]
    assert place.asked("two") == [("api", "waiting")]
    assert not place.history.cancels.asked(place.runs("one")[0].run_id)


def test_what_does_not_end_in_time_is_cancelled_and_asked_for_again(place: World) -> None:
    place.write("accounts")
    place.history.triggers.ask("accounts", trigger="api", options={"row": "a1", "full_resync": True})
    scheduler = place.scheduler()
    scheduler.look()
    run_id = place.begin("accounts")
    began = place.clock.now()

    def sleep(seconds: float) -> None:
        place.clock.time += seconds
        place.clock.ticks += seconds
        if place.history.cancels.asked(run_id):
            place.finish("accounts", "cancelled")

    place.clock.sleep = sleep  # type: ignore[method-assign]
    scheduler.drain(grace_s=30)

    assert 30 <= place.clock.now() - began < 31
    assert place.asked("accounts") == [("api", "done"), ("recovery", "waiting")]
    assert place.history.triggers.waiting()[0].options == {"row": "a1"}


def test_a_stopped_scheduler_lets_the_next_one_begin(place: World) -> None:
    place.write("accounts", {"every": "1m"})
    scheduler, stop = place.scheduler(), threading.Event()
    thread = threading.Thread(target=scheduler.run, args=(stop,))
    thread.start()
    while not scheduler.state.active:
        stop.wait(0.01)
    stop.set()
    thread.join()
    again = place.scheduler()
    again.look()

    assert again.state.active


def test_a_database_that_is_locked_for_a_while_is_trouble_and_no_end(place: World) -> None:
    place.write("accounts", {"every": "1m"})
    scheduler, stop = place.scheduler(), threading.Event()
    scheduler.look()
    with closing(sqlite3.connect(place.root / ".connector/history.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        place.clock.sleep(60)
        thread = threading.Thread(target=scheduler.run, args=(stop,))
        thread.start()
        while scheduler.state.trouble is None:
            stop.wait(0.01)
        slug = scheduler.state.trouble.slug
        other.execute("ROLLBACK")
    while not place.children:
        stop.wait(0.01)
    place.finish("accounts")
    stop.set()
    thread.join()

    assert slug == "state-locked"
    assert scheduler.state.trouble is None


def _in_real_time(place: World) -> Any:
    def sleep(seconds: float) -> None:
        place.clock.ticks += seconds
        threading.Event().wait(0.02)

    return sleep
