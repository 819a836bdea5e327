"""Named moments at which a test can have this process killed, to see what the next run makes of the rest.

Nothing happens unless CONNECTOR_FAILPOINT=NAME or NAME:NTH is in the environment.
"""

from __future__ import annotations

import os
import signal
from threading import Lock

NAMES = (
    "run-started",
    "rows-staged",
    "plan-written",
    "prepared",
    "before-intent",
    "before-send",
    "before-answer",
    "before-verdict",
    "all-sent",
    "before-settling",
    "rows-file-written",
    "before-settle-commit",
    "settled",
    "finished",
    "recovered",
)
"""Every moment, in the order of a run. `recovered` is reached at the beginning of each run."""

KEEPING = ("before-snapshot-write", "snapshot-written")
"""The moments around the write of a snapshot that is kept in the warehouse; behind `settled`."""

LOGGED = "logs-written"
"""The moment between the warehouse's commit of a run's logs and the note of it; only with `logs:` in connector.yml."""

_wanted = ""
_left = 0
_lock = Lock()


def reach(name: str) -> None:
    """Nothing; the process ends here, as `kill -9` ends it, when that is what it was armed for."""
    if name == _wanted:
        _count_down()


def arm(failpoint: str) -> None:
    """Nothing; from now on the process ends when it reaches NAME, or NAME:NTH for the nth time."""
    global _wanted, _left  # noqa: PLW0603 - the moment is one for the whole process
    _wanted, _, nth = failpoint.partition(":")
    _left = int(nth or 1)


def _count_down() -> None:
    global _left  # noqa: PLW0603 - as above
    with _lock:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


arm(os.environ.get("CONNECTOR_FAILPOINT", ""))
