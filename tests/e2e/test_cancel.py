"""Cancelling: requests in flight finish and are settled, a second signal stops at once, and nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.e2e.project import ACCOUNTS, EVENT_SYNC, EVENTS, OBJECT_SYNC, Scene, check_counts, outcomes

if TYPE_CHECKING:
    import subprocess

SINGLES = "singles"
"""The events again, each in a request of its own."""
SYNCS = (ACCOUNTS, EVENTS, SINGLES)
ROWS, BATCH, CONCURRENCY = 600, 10, 4
IN_FLIGHT = BATCH * CONCURRENCY


@pytest.fixture
def slow(real: Scene) -> Scene:
    """A project whose sandbox takes its time."""
    real.accounts(ROWS)
    real.events(ROWS)
    real.write(ACCOUNTS, OBJECT_SYNC, batch={"rows": BATCH})
    real.write(EVENTS, EVENT_SYNC, batch={"rows": BATCH})
    real.write(SINGLES, EVENT_SYNC, batch={"rows": 1})
    real.point_at(concurrency=CONCURRENCY)
    real.sandbox.add_faults({"latency_ms": 30})
    return real


def until_requests(place: Scene, count: int = 12) -> None:
    """Nothing, when the sandbox has received so many calls."""
    while len(place.sandbox.requests) < count:
        time.sleep(0.005)


def assert_the_next_run_brings_the_rest(place: Scene, sync: str, *, doubled: int = 0) -> None:
    place.sandbox.clear_faults()
    place.run(sync)

    if sync == ACCOUNTS:
        assert place.held() == place.wanted()
    else:
        delivered = place.delivered()
        assert set(delivered) == set(range(ROWS))
        assert delivered.total() - ROWS <= doubled


@pytest.mark.parametrize("sync", SYNCS)
def test_a_cancelled_run_settles_what_was_in_flight_and_doubles_nothing(slow: Scene, sync: str) -> None:
    with slow.project() as project:

        def stop() -> None:
            until_requests(slow)
            project.stop.set()

        stopper = threading.Thread(target=stop)
        stopper.start()
        result = project.run(sync)
        stopper.join()

    check_counts(result.json())
    assert (result.status, result.exit_code, result.error) == ("cancelled", 130, None)
    assert set(outcomes(result)) == {"succeeded", "not_attempted"}
    with slow.project() as project:
        assert all(call.answered for call in project.calls(result.run.run_id))
    assert slow.logged("all") == slow.received()
    assert_the_next_run_brings_the_rest(slow, sync)


def said(child: subprocess.Popen[str]) -> str:
    out, _ = child.communicate(timeout=30)
    return out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("sync", SYNCS)
def test_a_signal_ends_the_command_in_good_order(slow: Scene, sync: str, number: int) -> None:
    child = slow.start("run", sync, "--json")
    until_requests(slow)
    os.kill(child.pid, number)
    (result,) = json.loads(said(child))

    check_counts(result)
    assert (child.returncode, result["status"]) == (130, "cancelled")
    assert result["outcomes"]["not_attempted"]["added"] > 0
    assert sum(result["outcomes"]["in_doubt"].values()) == 0
    assert slow.logged("all") == slow.received()
    assert_the_next_run_brings_the_rest(slow, sync)


@pytest.mark.parametrize("sync", SYNCS)
def test_a_second_signal_ends_it_at_once_and_loses_nothing(slow: Scene, sync: str) -> None:
    slow.sandbox.clear_faults()
    slow.sandbox.add_faults({"connection": "hang", "hang_s": 60, "first": 12})
    child = slow.start("run", sync, "--json")
    until_requests(slow, 12)
    os.kill(child.pid, signal.SIGINT)
    time.sleep(0.2)
    still_there = child.poll() is None
    began = time.monotonic()
    os.kill(child.pid, signal.SIGINT)
    said(child)

    assert still_there
    assert child.returncode == 130
    assert time.monotonic() - began < 5
    assert_the_next_run_brings_the_rest(slow, sync, doubled=IN_FLIGHT)
    with slow.project() as project:
        dead = project.runs(sync)[1]
    assert dead.status == "interrupted"
    check_counts(dead.json())
