"""A scheduler in a process of its own whose clock stands in a file: `python -m tests.schedule.stepping ROOT FILE`."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from random import SystemRandom

from connector.schedule.files import ProjectFiles
from connector.schedule.loop import Scheduler
from connector.serve.launcher import Launcher
from connector.state import open_history


class FileClock:
    """Shows what the file says; only waiting is real."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def now(self) -> float:
        """Seconds since 1970, as the test wants them."""
        return float(self._file.read_text(encoding="ascii"))

    def monotonic(self) -> float:
        """Seconds on a real clock."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Nothing, after that time."""
        time.sleep(seconds)


def main(root: Path, file: Path) -> None:
    """Nothing: it goes on until it is killed."""
    clock, state_dir = FileClock(file), root / ".connector"
    with open_history(state_dir, clock=clock) as history:
        scheduler = Scheduler(ProjectFiles(root, state_dir, {}), history, clock, SystemRandom(), Launcher())
        while True:
            scheduler.look()
            threading.Event().wait(0.02)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
