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
    "before-settling",
    "all-sent",
    "before-settle-commit",
    "rows-file-written",
    "settled",
    "finished",
    "recovered",
)
"""Every moment, in the order of a run. `recovered` is reached by the run after a dead one."""

_wanted, _, _nth = os.environ.get("CONNECTOR_FAILPOINT", "").partition(":")
_left = int(_nth or 1)
_lock = Lock()


def reach(name: str) -> None:
    """Nothing; the process ends here, as `kill -9` ends it, when the environment wants it so."""
    if name == _wanted:
        _count_down()


def _count_down() -> None:
    global _left  # noqa: PLW0603 - the moment is one for the whole process
    with _lock:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
