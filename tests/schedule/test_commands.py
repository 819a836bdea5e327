"""`connector serve` and `connector schedule` as the programs that they are."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.e2e.project import ACCOUNTS, EVENT_SYNC, EVENTS, OBJECT_SYNC, Scene

if TYPE_CHECKING:
    import subprocess


@pytest.fixture
def place(real: Scene) -> Scene:
    """A project with two syncs, one a second and one behind it."""
    real.accounts(20)
    real.events(10)
    real.write(ACCOUNTS, OBJECT_SYNC, schedule={"every": "1s"})
    real.write(EVENTS, EVENT_SYNC, schedule={"after": ACCOUNTS})
    return real


def stopped(child: subprocess.Popen[str], number: int = signal.SIGTERM) -> tuple[str, str]:
    """What the server said, after it was told to stop."""
    os.kill(child.pid, number)
    return child.communicate(timeout=60)


def until_both_ran(place: Scene) -> None:
    """Nothing, once the sandbox holds what both syncs send."""
    while place.held() != place.wanted() or len(place.delivered()) < 10:
        time.sleep(0.05)


def listening(child: subprocess.Popen[str]) -> str:
    """The address, once the port takes connections."""
    assert child.stdout is not None
    text = ""
    while not text.rstrip().endswith("}"):
        line = child.stdout.readline()
        assert line, child.communicate()[1]
        text += line
    return str(json.loads(text)["url"])


def test_serve_runs_what_is_due_and_what_follows_and_ends_in_good_order(place: Scene) -> None:
    child = place.start("serve", "--port", "0", "--json", "--log-format", "json")
    url = listening(child)
    assert httpx.get(url, headers={"accept": "text/html"}, follow_redirects=True).status_code < 500
    until_both_ran(place)
    _, said = stopped(child)
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]

    assert child.returncode == 0
    assert {line["level"] for line in lines} <= {"info"}
    assert {"time", "level", "logger", "message", "sync", "run_id", "trigger"} <= set().union(*lines)
    with place.project() as project:
        assert {run.status for run in project.runs()} == {"success"}
        assert {run.trigger for run in project.runs(ACCOUNTS)} <= {"schedule", "recovery"}
        assert {run.trigger for run in project.runs(EVENTS)} <= {"after", "recovery"}
        assert not project.history.triggers.started()


def test_schedule_does_the_same_without_the_web(place: Scene) -> None:
    child = place.start("schedule")
    until_both_ran(place)
    out, said = stopped(child, signal.SIGINT)

    assert (child.returncode, out) == (0, "")
    assert "the scheduler has started" in said
    assert "Traceback" not in said


def test_serve_without_schedule_starts_nothing(place: Scene) -> None:
    child = place.start("serve", "--port", "0", "--json", "--no-schedule")
    listening(child)
    time.sleep(1.5)
    stopped(child)

    assert child.returncode == 0
    assert not place.sandbox.requests


def test_a_port_that_is_taken_is_said_in_one_line(place: Scene) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        child = place.start("serve", "--port", str(taken.getsockname()[1]))
        _, said = child.communicate(timeout=60)

    assert child.returncode == 1
    assert "[port-unavailable]" in said
    assert "Traceback" not in said


def test_other_machines_are_let_in_only_with_a_login(place: Scene) -> None:
    child = place.start("serve", "--port", "0", "--host", "0.0.0.0")  # noqa: S104 - refused
    _, said = child.communicate(timeout=60)

    assert child.returncode == 1
    assert "[serve-needs-token]" in said


def test_a_folder_without_a_project_cannot_be_served(place: Scene) -> None:
    (place.root / "connector.yml").unlink()
    child = place.start("schedule")
    _, said = child.communicate(timeout=60)

    assert child.returncode == 1
    assert "[no-project]" in said


def explained(place: Scene, *words: str) -> dict[str, dict[str, Any]]:
    child = place.start("schedule", "--json", *words)
    out, said = child.communicate(timeout=60)
    assert child.returncode == 0, said
    return {each["sync"]: each for each in json.loads(out)}


def test_explain_says_each_schedule_in_words_with_the_next_five_times(place: Scene) -> None:
    place.write("daily", OBJECT_SYNC, schedule={"cron": "30 2 * * *", "timezone": "Europe/Berlin"})
    found = explained(place, "--explain")
    child = place.start("schedule", "--explain")
    out, _ = child.communicate(timeout=60)

    assert found["daily"]["words"] == "at 02:30 every day, Europe/Berlin time"
    assert len(found["daily"]["next"]) == 5
    assert found[EVENTS] == {
        "sync": EVENTS,
        "schedule": {"after": ACCOUNTS},
        "words": f"after each run of {ACCOUNTS} that succeeded",
        "next": [],
        "paused": False,
        "waiting": None,
    }
    assert "daily  at 02:30 every day, Europe/Berlin time\n" in out
    assert out.count(" 02:30:00+0") >= 4


def test_a_sync_is_paused_and_resumed(place: Scene) -> None:
    assert explained(place, "--pause", ACCOUNTS)[ACCOUNTS]["paused"]
    assert explained(place, "--explain")[ACCOUNTS]["paused"]
    assert not explained(place, "--resume", ACCOUNTS)[ACCOUNTS]["paused"]

    child = place.start("schedule", "--pause", "acounts")
    _, said = child.communicate(timeout=60)

    assert child.returncode == 1
    assert "did you mean 'accounts'?" in said
