"""A run that somebody else asks to stop, through the history."""

from __future__ import annotations

import json
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import duckdb
import pytest

from connector.errors import BusyError
from tests.e2e.project import ACCOUNTS, OBJECT_SYNC, Scene, check_counts, outcomes

if TYPE_CHECKING:
    from connector.state.history import History

ROWS = 600


@pytest.fixture
def slow(real: Scene) -> Scene:
    """A project whose sandbox takes its time."""
    real.accounts(ROWS)
    real.write(ACCOUNTS, OBJECT_SYNC, batch={"rows": 10})
    real.point_at(concurrency=4)
    real.sandbox.add_faults({"latency_ms": 100})
    return real


def until_running(place: Scene, history: History) -> str:
    """The run that goes on, once the sandbox has received some calls of it."""
    while len(place.sandbox.requests) < 8:
        time.sleep(0.005)
    (run,) = history.runs.unfinished()
    return run.run_id


def test_a_run_in_another_process_is_cancelled_as_ctrl_c_cancels_it(slow: Scene) -> None:
    child = slow.start("run", ACCOUNTS, "--json")
    with slow.project() as project:
        history = project.history
        run_id = until_running(slow, history)
        history.cancels.ask(run_id)
        out, _ = child.communicate(timeout=30)
        (result,) = json.loads(out)

        assert not history.cancels.asked(run_id)
    check_counts(result)
    assert (child.returncode, result["status"], result["run_id"]) == (130, "cancelled", run_id)
    assert result["outcomes"]["not_attempted"]["added"] > 0
    slow.sandbox.clear_faults()
    slow.run(ACCOUNTS)
    assert slow.held() == slow.wanted()


def test_a_cancel_ends_one_run_and_not_those_that_come_after_it(slow: Scene) -> None:
    with slow.project() as project:
        canceller = threading.Thread(target=lambda: project.history.cancels.ask(until_running(slow, project.history)))
        canceller.start()
        first = project.run(ACCOUNTS)
        canceller.join()
        slow.sandbox.clear_faults()
        second = project.run(ACCOUNTS)

    assert (first.status, second.status) == ("cancelled", "success")
    assert slow.held() == slow.wanted()


def test_a_run_that_was_cancelled_before_it_began_sends_nothing(slow: Scene) -> None:
    with slow.project() as project:
        asked = project.history.triggers.ask(ACCOUNTS, trigger="api")
        project.history.cancels.ask(asked.run_id)
        result = project.run(ACCOUNTS, run_id=asked.run_id)

    assert (result.status, result.run.run_id) == ("cancelled", asked.run_id)
    assert outcomes(result) == {"not_attempted": ROWS}
    assert not slow.held()


def test_a_cancel_of_a_run_that_was_put_off_holds_until_it_begins(slow: Scene) -> None:
    (slow.state_dir / "syncs").mkdir(parents=True)
    with slow.project() as project:
        asked = project.history.triggers.ask(ACCOUNTS, trigger="api")
        project.history.cancels.ask(asked.run_id)
        with (
            closing(duckdb.connect(str(slow.state_dir / f"syncs/{ACCOUNTS}.duckdb"))),
            pytest.raises(BusyError),
        ):
            project.run(ACCOUNTS, run_id=asked.run_id)

        assert project.run(ACCOUNTS, run_id=asked.run_id).status == "cancelled"
        assert not project.history.cancels.asked(asked.run_id)
