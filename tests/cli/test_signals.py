"""Ctrl-C and SIGTERM: the first finishes what is in flight and exits with 130, the second stops at once."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.e2e.project import OBJECT_SYNC

if TYPE_CHECKING:
    import subprocess

    from tests.e2e.project import Scene

ROWS = 60


@pytest.fixture
def slow(world: Scene) -> Scene:
    """A project with sixty accounts, each in a request of its own that takes its time."""
    world.accounts(ROWS)
    world.write("accounts", OBJECT_SYNC, batch={"rows": 1})
    world.point_at(concurrency=2)
    world.sandbox.add_faults({"path": "/api/v1/metadata/account/custom/value", "latency_ms": 300})
    return world


def wait_until_sending(world: Scene) -> None:
    while not any(request.path.endswith("/custom/value") for request in world.sandbox.requests):
        time.sleep(0.02)


def end(process: subprocess.Popen[str]) -> tuple[str, str]:
    out, err = process.communicate(timeout=30)
    return out, err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_lets_requests_in_flight_finish(slow: Scene, number: signal.Signals) -> None:
    process = slow.start("run", "accounts", "events", "--json")
    wait_until_sending(slow)
    process.send_signal(number)
    out, err = end(process)
    accounts, events = json.loads(out)
    settled = accounts["outcomes"]["succeeded"]["added"]

    assert process.returncode == 130
    assert "finishing the requests in flight; again to stop at once" in err
    assert accounts["status"] == "cancelled"
    assert 0 < settled < ROWS
    assert settled == len(slow.held())
    assert settled + accounts["outcomes"]["not_attempted"]["added"] == ROWS
    assert (events["run_id"], events["status"]) == (None, "cancelled")


def test_the_second_signal_stops_at_once_and_nothing_is_lost(slow: Scene) -> None:
    process = slow.start("run", "accounts")
    wait_until_sending(slow)
    process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    end(process)
    took = time.monotonic() - began
    slow.sandbox.clear_faults()
    slow.run("accounts")

    assert process.returncode == 130
    assert took < 5
    assert slow.held() == slow.wanted()


def test_a_command_that_waits_is_interrupted(world: Scene) -> None:
    world.sandbox.add_faults({"path": "/api/v1/token/verify", "latency_ms": 30_000})
    process = world.start("check", "--online")
    while not world.sandbox.requests:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, err = end(process)
    world.sandbox.clear_faults()

    assert process.returncode == 130
    assert err.endswith("cancelled\n")
