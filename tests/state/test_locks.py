from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from connector.errors import StateError
from connector.state.locks import FileLock, held, run_lock, scheduler_lock, waited_for

from .child import ROOT
from .fake_clock import FakeClock

if TYPE_CHECKING:
    from pathlib import Path

HOLDER = """
import sys, time
from pathlib import Path
from connector.state.locks import FileLock
assert FileLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
time.sleep(600)
"""


def test_a_lock_has_one_holder_at_a_time(tmp_path: Path) -> None:
    one, other = scheduler_lock(tmp_path / "state"), scheduler_lock(tmp_path / "state")

    assert one.acquire()
    assert one.acquire()
    assert not other.acquire()
    assert other.holder() == str(os.getpid())

    one.release()
    one.release()

    assert other.acquire()
    assert (one.held, other.held) == (False, True)

    other.release()


def test_each_sync_has_a_lock_of_its_own(tmp_path: Path) -> None:
    lock = run_lock(tmp_path, "accounts")
    assert lock.acquire()
    with held(run_lock(tmp_path, "accounts").path) as first, held(run_lock(tmp_path, "events").path) as second:
        assert (first, second) == (False, True)

    lock.release()
    with held(lock.path) as free:
        assert free


def test_the_lock_of_a_process_that_is_killed_is_free(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], cwd=ROOT, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        taken = FileLock(path).acquire()
        child.kill()
        child.wait()
        lock = FileLock(path)

        assert not taken
        assert lock.acquire()
        lock.release()


def test_no_process_that_is_started_inherits_a_lock(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "a.lock")
    assert lock.acquire()
    words = [sys.executable, "-c", "print('begun', flush=True); input()"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False) as child:
        assert child.stdout is not None
        child.stdout.readline()
        lock.release()
        other = FileLock(tmp_path / "a.lock")

        assert other.acquire()
        other.release()
        child.communicate(b"\n")


def test_where_no_lock_can_be_made_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="ascii")

    with pytest.raises(StateError):
        FileLock(tmp_path / "file/a.lock").acquire()
    assert FileLock(tmp_path / "none").holder() == ""


def test_a_lock_is_waited_for_and_not_for_ever(tmp_path: Path) -> None:
    clock, lock = FakeClock(), FileLock(tmp_path / "here.lock")
    assert lock.acquire()
    began = clock.monotonic()
    with pytest.raises(StateError) as refused, waited_for(lock.path, clock, wait_s=60):
        pass
    waited_s = clock.monotonic() - began
    lock.release()
    with waited_for(lock.path, clock, wait_s=60):
        inside = FileLock(lock.path).acquire()

    assert refused.value.problem.slug == "state-locked"
    assert 60 <= waited_s < 61
    assert not inside
    assert FileLock(lock.path).acquire()
