"""The scheduler's own loop looks every minute."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from connector.schedule.files import ProjectFiles
from connector.schedule.loop import Scheduler
from connector.serve.chores import Chores
from connector.state import open_history

if TYPE_CHECKING:
    from connector.schedule.children import Order
    from tests.alerts.conftest import Watched


class NeverBegins:
    """A process that hangs before its run begins."""

    pid = 1

    def exit_code(self) -> int | None:
        """It has not ended."""
        return None


def test_a_scheduled_run_that_does_not_begin_is_told(watched: Watched) -> None:
    watched.write("hook")
    watched.sync(schedule={"every": "1h"})
    orders: list[Order] = []

    def launch(order: Order) -> NeverBegins:
        orders.append(order)
        return NeverBegins()

    files = ProjectFiles(watched.scene.root, watched.scene.state_dir, {})
    with open_history(watched.scene.state_dir, clock=watched.clock) as history:
        chores = Chores(history, watched.clock)
        scheduler = Scheduler(files, history, watched.clock, Random(7), launch, chores=chores.all())  # noqa: S311 - repeatable
        for _ in range(80):
            scheduler.look()
            chores.join()
            watched.clock.sleep(60)
        due = history.due.all()

    assert [order.sync for order in orders] == ["accounts"]
    assert watched.told()[:1] == ["alert.warning"]
    assert watched.posted()[0]["data"]["condition"] == "missed"
    assert watched.posted()[0]["data"]["reason"] == "a process was started for it, which has not begun the run"
    assert due["accounts"] > 0
