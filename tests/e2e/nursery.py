"""A process that has imported everything and starts the command line as a copy of itself, so that a run begins at once.

`python -m tests.e2e.nursery` reads a line of JSON for each run, [failpoint, words], and answers with the line
`pid NUMBER` and, after its end, `code NUMBER` (negative: the signal).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from connector import failpoints
from connector.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.project import Scene


class Nursery:
    """The process from outside: one run at a time."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self._child = child
        self._pid = 0  # of the run that goes on

    def start(self, place: Scene, *words: str, failpoint: str = "") -> None:
        """Nothing; the command line runs now. One that a failed test left behind is killed first."""
        if self._pid:
            self.kill()
            self.wait()
        full = ["--project", str(place.root), *words]
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps([failpoint, full]) + "\n")
        self._child.stdin.flush()
        self._pid = self._answer("pid")

    def kill(self) -> None:
        """Nothing, after killing the run that goes on."""
        assert self._pid > 0
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)

    def wait(self) -> int:
        """The exit code of the run that was started last; negative: the signal that ended it."""
        self._pid = 0
        return self._answer("code")

    def _answer(self, wanted: str) -> int:
        assert self._child.stdout is not None
        what, number = self._child.stdout.readline().split()
        assert what == wanted
        return int(number)


@contextmanager
def nursery(root: str) -> Iterator[Nursery]:
    """A nursery that is there until the end of the block."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.nursery"],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        yield Nursery(child)
        assert child.stdin is not None
        child.stdin.close()


def serve() -> None:
    """Nothing, when there is nothing more to read."""
    out = os.fdopen(os.dup(1), "w")
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    for line in sys.stdin:
        failpoint, words = json.loads(line)
        pid = os.fork()
        if pid == 0:
            failpoints.arm(failpoint)
            code = 70  # should `main` raise
            try:
                code = main(words)
            finally:
                os._exit(code)
        out.write(f"pid {pid}\n")
        out.flush()
        _, status = os.waitpid(pid, 0)
        out.write(f"code {os.waitstatus_to_exitcode(status)}\n")
        out.flush()


if __name__ == "__main__":
    import connector.api
    import connector.run.steps
    import connector.systems.warehouse.duckdb

    del connector
    serve()
