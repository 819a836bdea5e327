"""A run in a process of its own."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from connector.errors import ConnectorError
from connector.integrations.child import ChildRun
from tests.e2e.project import OBJECT_SYNC, Scene, scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path / "p") as made:
        made.accounts(20)
        made.write("account_health", OBJECT_SYNC)
        yield made


def silent(_line: str) -> None:
    pass


def test_its_end_is_the_run_s(place: Scene) -> None:
    lines: list[str] = []
    end = ChildRun(place.root, "account_health", options=["--limit=5"], say=lines.append).end()

    assert (end.status, end.exit_code, end.counts["succeeded"]) == ("success", 0, 5)
    with place.project() as project:
        assert project.runs("account_health")[0].run_id == end.result["run_id"]


def test_a_sync_that_there_is_not_ends_with_its_error(place: Scene) -> None:
    lines: list[str] = []
    end = ChildRun(place.root, "no_such_sync", say=lines.append).end()

    assert (end.status, end.exit_code, end.result["run_id"]) == ("failed", 1, None)
    assert any("no_such_sync" in line for line in lines)


def test_a_run_that_is_interrupted_settles_what_it_sent(place: Scene) -> None:
    place.accounts(2000)
    place.write("account_health", OBJECT_SYNC, batch={"rows": 10})
    place.point_at(concurrency=1, max_requests_per_second=10)
    child = ChildRun(place.root, "account_health", say=silent)
    sent = threading.Event()
    threading.Thread(target=wait_for_a_request, args=(place, sent), daemon=True).start()
    assert sent.wait(60)
    child.interrupt()
    end = child.end()

    assert (end.status, end.exit_code) == ("cancelled", 130)
    assert 0 < end.counts["succeeded"] < 2000
    assert end.counts["succeeded"] + end.counts["not_attempted"] == 2000


def wait_for_a_request(place: Scene, sent: threading.Event) -> None:
    while not place.held():
        sent.wait(0.02)
    sent.set()


def test_a_command_without_a_result_says_what_it_said(tmp_path: Path) -> None:
    program = "import sys; sys.stderr.write('no room on the disk\\n'); sys.exit(7)"
    child = ChildRun(tmp_path, "x", say=silent, command=[sys.executable, "-c", program])

    with pytest.raises(ConnectorError, match="exit code 7") as caught:
        child.end()

    assert caught.value.problem.hint == "no room on the disk"


def test_one_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    program = (
        "import signal, sys, time; signal.signal(signal.SIGINT, signal.SIG_IGN); "
        "sys.stderr.write('ready\\n'); sys.stderr.flush(); time.sleep(600)"
    )
    ready = threading.Event()
    child = ChildRun(tmp_path, "x", say=lambda _line: ready.set(), command=[sys.executable, "-c", program])
    assert ready.wait(60)
    child.stop(grace_s=0.2)

    with pytest.raises(ConnectorError, match="exit code -9"):
        child.end()


def test_an_exception_while_it_waits_stops_the_run(place: Scene) -> None:
    """Airflow's time limit is an exception that a signal handler raises in whatever the task is doing."""
    program = (
        "import sys\n"
        "import signal\n"
        "from connector.integrations.child import ChildRun\n"
        "def late(*_):\n"
        "    raise TimeoutError\n"
        "signal.signal(signal.SIGALRM, late)\n"
        "def say(line):\n"
        "    print(line, flush=True)\n"
        "command = [sys.executable, '-c', 'import signal, sys, time\\n'\n"
        "    'sys.stderr.write(str(__import__(\"os\").getpid()) + chr(10)); sys.stderr.flush(); time.sleep(600)']\n"
        "child = ChildRun('.', 'x', say=say, command=command)\n"
        "signal.setitimer(signal.ITIMER_REAL, 1)\n"
        "child.end()\n"
    )
    import subprocess  # noqa: PLC0415

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=place.root)

    assert "TimeoutError" in done.stderr
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout.split()[0]), 0)
