"""A clock that was far ahead and is set right: nothing waits for the time that it showed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from connector.schedule.loop import Chore

from .world import World, world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from connector.schedule.files import Loaded

YEAR_S = 365 * 86_400.0


@pytest.fixture
def place(tmp_path: Path) -> Iterator[World]:
    """A project with no sync yet."""
    with world(tmp_path / "p") as made:
        yield made


def test_a_sync_is_due_again_when_the_clock_is_right(place: World) -> None:
    place.write("accounts", {"every": "1h"})
    right = place.clock.now()
    place.clock.time += YEAR_S
    scheduler = place.scheduler()
    scheduler.look()
    place.clock.sleep(3600)
    scheduler.look()
    place.finish("accounts")
    place.clock.time = right
    scheduler.look()

    assert place.history.due.all() == {"accounts": right + 3600}

    place.clock.sleep(3600)
    scheduler.look()

    assert place.asked("accounts") == [("schedule", "done"), ("schedule", "started")]


def test_a_small_step_back_repeats_no_due_time(place: World) -> None:
    place.write("accounts", {"every": "1h"})
    scheduler = place.scheduler()
    scheduler.look()
    place.clock.sleep(3600)
    scheduler.look()
    place.finish("accounts")
    place.clock.time -= 5
    for _ in range(20):
        scheduler.look()
        place.clock.sleep(1)

    assert place.asked("accounts") == [("schedule", "done")]


def test_a_sequence_goes_on_when_the_clock_is_right(place: World) -> None:
    place.write("first")
    place.write("second", {"after": "first"})
    right = place.clock.now()
    place.clock.time += YEAR_S
    scheduler = place.scheduler()
    scheduler.look()
    place.by_hand("first")
    scheduler.look()
    place.finish("second")
    place.clock.time = right
    for _ in range(3):
        scheduler.look()

    assert place.asked("second") == [("after", "done")]

    place.clock.sleep(10)
    place.by_hand("first")
    for _ in range(3):
        scheduler.look()

    assert place.asked("second") == [("after", "done"), ("after", "started")]


def test_chores_are_done_however_the_clock_is_set(place: World) -> None:
    done: list[float] = []

    def note(_: Loaded) -> None:
        done.append(place.clock.monotonic() - began)

    place.clock.time += YEAR_S
    began = place.clock.monotonic()
    scheduler = place.scheduler(Chore("note", 60, note))
    place.clock.time -= YEAR_S
    for _ in range(70):
        scheduler.look()
        place.clock.sleep(1)
    place.clock.time += YEAR_S
    scheduler.look()

    assert done == [60]
