from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from connector.ports import Outcome, Settled
from connector.state import open_history
from connector.state.clock import SystemClock
from connector.state.runs import Finish

from .child import run_child, start_child, tell
from .fake_clock import OK, request
from .test_runs import RUN

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from connector.state.history import History


def write(history: History, run_id: str, calls: int) -> None:
    """So many calls, begun, answered and settled."""
    journal = history.journal(run_id)
    for row in range(calls):
        call_id = journal.begin(request(row, row + 1), attempt=1)
        journal.answer(call_id, OK)
        journal.settle(call_id, "judged", None, (Settled("custom", row, row + 1, Outcome.SUCCEEDED, call_id=call_id),))
    journal.flush()


def close(child: subprocess.Popen[str]) -> None:
    """Nothing, after the end of the child and of the pipes to it."""
    with child:
        pass


def test_two_processes_write_at_once_and_both_lose_nothing(state_dir: Path) -> None:
    with open_history(state_dir, clock=SystemClock()) as history:
        child = start_child("run_calls", state_dir, "theirs", "4", "200")
        tell(child, "go")
        write(history, "ours", 400)
        said, _ = child.communicate()

        assert child.returncode == 0
        assert {int(line) for line in said.splitlines()} == {call.id for call in history.calls.list("theirs")}
        assert (history.calls.count("ours"), history.calls.count("theirs")) == (400, 800)
        assert (history.ranges("ours").num_rows, history.ranges("theirs").num_rows) == (400, 800)
        assert [call.id for call in history.calls.list(None)] == list(range(1, 1201))


@pytest.mark.parametrize("after_s", [0.05, 0.3])
def test_a_killed_process_leaves_every_begun_call(state_dir: Path, after_s: float) -> None:
    open_history(state_dir, clock=SystemClock()).close()
    child = start_child("run_calls", state_dir, "run-1", "4", "100000")
    said: list[str] = []
    assert child.stdout is not None
    reader = threading.Thread(target=said.extend, args=[child.stdout])
    reader.start()
    tell(child, "go")
    while not said:
        time.sleep(0.01)
    time.sleep(after_s)
    os.kill(child.pid, signal.SIGKILL)
    reader.join()
    close(child)

    begun = {int(line) for line in said}
    with open_history(state_dir, clock=SystemClock()) as history:
        found = {call.id: call for call in history.calls.list("run-1")}
        ranges = history.ranges("run-1").to_pylist()
        write(history, "run-2", 1)
    in_doubt = {row["call_id"] for row in ranges if row["outcome"] is None}
    assert len(begun) > 4
    assert begun <= found.keys()
    assert {row["call_id"] for row in ranges} == found.keys()
    assert in_doubt == {call.id for call in found.values() if call.verdict is None}
    # Each of the four threads had one call under way, and one that it had settled but not written.
    assert len(in_doubt) <= 8


def test_a_reader_sees_a_run_while_it_goes_on(state_dir: Path) -> None:
    with open_history(state_dir, clock=SystemClock()) as history:
        history.runs.start(RUN)
        child = start_child("run_calls", state_dir, RUN.run_id, "2", "400")
        tell(child, "go")
        follow = history.calls.follow(RUN.run_id)
        live = []
        while child.poll() is None:
            live += follow.poll()
            assert [run.run_id for run in history.runs.unfinished()] == [RUN.run_id]
        close(child)
        history.runs.finish(RUN.run_id, Finish("success"))
        rest = follow.poll(final=True)

    ids = [call.id for call in live + rest]
    assert live
    assert sorted(ids) == list(range(1, 801))


def test_a_full_disk_is_an_error_and_loses_nothing_that_was_acknowledged(state_dir: Path) -> None:
    open_history(state_dir, clock=SystemClock()).close()

    said = run_child("run_calls_on_a_full_disk", state_dir, "run-1", "4", "3000000")

    begun = {int(line) for line in said if line.isdecimal()}
    assert [line for line in said if not line.isdecimal()] == ["state-disk-full"] * 5
    with open_history(state_dir, clock=SystemClock()) as history:
        found = {call.id for call in history.calls.list("run-1", bodies=False)}
        assert begun
        assert begun <= found
        write(history, "run-2", 1)


def test_a_history_cannot_be_made_on_a_full_disk(state_dir: Path) -> None:
    assert run_child("open_on_a_full_disk", state_dir) == ["state-disk-full"]
