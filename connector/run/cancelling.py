"""The stop of one run: Ctrl-C in its own process, or somebody who asked for it through the history."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from connector.errors import BusyError, StateError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connector.state.cancels import Cancels

LOOK_S = 0.5
SLICE_S = 0.05


class RunStop(threading.Event):
    """The stop of one run, which is set as well when that of everything here is."""

    def __init__(self, everything: threading.Event) -> None:
        super().__init__()
        self._everything = everything

    def is_set(self) -> bool:
        """Whether the run is to stop."""
        return super().is_set() or self._everything.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Whether the run is to stop, at the latest after `timeout` seconds."""
        left_s = timeout
        while not self.is_set() and (left_s is None or left_s > 0):
            slice_s = SLICE_S if left_s is None else min(SLICE_S, left_s)
            self._everything.wait(slice_s)
            left_s = None if left_s is None else left_s - slice_s
        return self.is_set()


@contextmanager
def cancellable(cancels: Cancels, run_id: str, everything: threading.Event) -> Iterator[RunStop]:
    """The stop of the run: set with `everything`, or when `cancels` names the run, which it then forgets."""
    stop, over = RunStop(everything), threading.Event()

    def look() -> bool:
        try:
            asked = cancels.asked(run_id)
        except StateError:
            # A moment without the database is the run's own matter, which it meets itself; this looks again.
            return False
        if asked:
            stop.set()
        return asked

    def watch() -> None:
        while not over.wait(LOOK_S):
            if look():
                return

    look()
    watcher = threading.Thread(target=watch, name="cancels", daemon=True)
    watcher.start()
    begun = True
    try:
        yield stop
    except BusyError:
        begun = False  # whoever begins the run later finds that it is to stop
        raise
    finally:
        over.set()
        watcher.join()
        if begun and threading.Event.is_set(stop):
            cancels.forget(run_id)
