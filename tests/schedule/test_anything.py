"""Whatever happens in whatever order: one process and one run a sync at a time, and no due time is forgotten."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from .world import World, crash, world

if TYPE_CHECKING:
    from pathlib import Path

    from connector.schedule.loop import Scheduler
    from connector.state.triggers import Trigger

SYNCS = ("a", "b", "c", "follower")
PERIOD_S = 60.0


class Play:
    """One play: each move is something that can happen. `World` objects to two processes or two runs of a sync."""

    def __init__(self, place: World, random: Random) -> None:
        self.place = place
        self.random = random
        self.schedulers: list[Scheduler] = [place.scheduler(), place.scheduler()]

    def wait(self) -> None:
        self.place.clock.sleep(self.random.choice([0.5, 5, 59, 200]))

    def look(self) -> None:
        self.random.choice(self.schedulers).look()

    def kill_a_scheduler(self) -> None:
        at = self.random.randrange(len(self.schedulers))
        crash(self.schedulers[at])
        self.schedulers[at] = self.place.scheduler()

    def begin(self) -> None:
        for sync in self.some_going():
            if self.place.history.runs.find(self.place.trigger_of(sync).run_id) is None:
                self.place.recover(sync)
                self.place.begin(sync)

    def finish(self) -> None:
        for sync in self.some_going():
            self.place.finish(sync, self.random.choice(["success", "warning", "failed", "cancelled"]))

    def die(self) -> None:
        for sync in self.some_going():
            self.place.end(sync, -9)

    def busy(self) -> None:
        for sync in self.some_going():
            trigger = self.place.trigger_of(sync)
            if self.place.history.runs.find(trigger.run_id) is None:
                later = self.place.clock.now() + 5
                self.place.history.triggers.requeue(trigger.id, not_before=later, counted=False)
                self.place.end(sync, 0)

    def run_by_hand(self) -> None:
        sync = self.random.choice(SYNCS)
        if sync not in self.place.going:
            self.place.recover(sync)
            self.place.by_hand(sync)

    def ask(self) -> None:
        options: dict[str, Any] = self.random.choice([{}, {"full_resync": True}, {"row": "k"}])
        self.place.history.triggers.ask(self.random.choice(SYNCS), trigger="api", options=options)

    def some_going(self) -> list[str]:
        return [sync for sync in self.place.going if self.random.random() < 0.5]

    def to_its_end(self) -> None:
        """Nothing, after everything that was asked for has come to its end."""
        triggers = self.place.history.triggers
        while True:
            for scheduler in self.schedulers:
                scheduler.look()
            for sync in self.place.going:
                self.place.finish(sync)
            if not triggers.waiting() and not triggers.started():
                return
            self.place.clock.sleep(0.001)
            if not self.place.going:
                self.place.clock.sleep(1)


def since(trigger: Trigger) -> float:
    """When the trigger was settled."""
    assert trigger.settled_at is not None
    return trigger.settled_at


@pytest.mark.parametrize("seed", range(6))
def test_nothing_that_happens_makes_two_of_one_or_loses_a_due_time(tmp_path: Path, seed: int) -> None:
    random = Random(seed)  # noqa: S311 - a play that can be played again
    with world(tmp_path / "p", runs_at_once=3) as place:
        for sync in SYNCS[:3]:
            place.write(sync, {"every": "1m"})
        place.write("follower", {"after": "a", "if_failed": "go_on"})
        play = Play(place, random)
        moves = [play.wait, play.look, play.look, play.look, play.begin, play.finish, play.finish, play.die]
        moves += [play.busy, play.run_by_hand, play.ask, play.kill_a_scheduler]
        for _ in range(120):
            random.choice(moves)()
        play.to_its_end()
        triggers, runs = place.history.triggers.list(), place.history.runs.list(limit=None)

        assert len({trigger.run_id for trigger in triggers}) == len(triggers)
        for trigger in triggers:
            run = place.history.runs.find(trigger.run_id)
            # Each has had its run, or its process died again and again before it could begin.
            assert (run is not None) or (trigger.error is not None and trigger.attempts == 3), trigger
        for sync, next_at in place.history.due.all().items():
            last_due_at = next_at - PERIOD_S
            served = [run for run in runs if run.sync == sync and run.started_at >= last_due_at]
            died = [each for each in triggers if each.sync == sync and each.error and since(each) >= last_due_at]
            assert served or died, sync
