"""Locks that the operating system takes back from a process that dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from connector.errors import StateError
from connector.state.sqlite_errors import state_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from connector.ports import Clock

SCHEDULER = "scheduler.lock"
RUNS = "running"
_PAUSE_S = 0.1


class FileLock:
    """A lock on one file, for one holder at a time on this machine. No process that is started later inherits it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds it."""
        return self._handle is not None

    def acquire(self) -> bool:
        """Whether this object holds it now; False, at once, where another one does. Raises StateError."""
        if self._handle is not None:
            return True
        handle = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.truncate(handle, 0)
            os.write(handle, f"{os.getpid()}\n".encode())
        except BlockingIOError:
            if handle is not None:
                os.close(handle)
            return False
        except OSError as error:
            if handle is not None:
                os.close(handle)
            raise state_error(error, self.path) from error
        self._handle = handle
        return True

    def release(self) -> None:
        """Nothing, after giving it back. The file stays: another holder may have it open already."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def holder(self) -> str:
        """What the file says about its last holder: a process id, or nothing."""
        try:
            return self.path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            return ""


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Whether the lock was free, and is held until the end of the block. Raises StateError."""
    lock = FileLock(path)
    try:
        yield lock.acquire()
    finally:
        lock.release()


@contextmanager
def waited_for(path: Path, clock: Clock, *, wait_s: float) -> Iterator[None]:
    """Nothing; inside it nobody else holds this lock. Raises StateError `state-locked` when it is not free in time."""
    lock = FileLock(path)
    deadline = clock.monotonic() + wait_s
    while not lock.acquire():
        if clock.monotonic() >= deadline:
            raise StateError(
                f"{path} is held by another process ({lock.holder() or 'unknown'})",
                slug="state-locked",
                hint="it has been at work for too long: end it; nothing was lost",
            )
        clock.sleep(_PAUSE_S)
    try:
        yield
    finally:
        lock.release()


def scheduler_lock(state_dir: Path) -> FileLock:
    """The lock of whoever starts the syncs of this state directory."""
    return FileLock(state_dir / SCHEDULER)


def run_lock(state_dir: Path, sync: str) -> FileLock:
    """The lock that a process holds as long as it works on a run that was asked for."""
    return FileLock(state_dir / RUNS / f"{sync}.lock")
