"""One run in a process of its own: it can be stopped as Ctrl-C stops it, and gives its memory back."""

from __future__ import annotations

import json
import signal
import subprocess
import sysconfig
import threading
from collections import deque
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from connector.errors import ConnectorError
from connector.integrations.ends import End

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

CONNECTOR = (str(Path(sysconfig.get_path("scripts")) / "connector"),)
"""The command that was installed with this package."""

GRACE_S = 60.0
"""How long a run that is to stop may wait for the requests that are under way, and settle."""

_LAST_LINES = 20


class ChildRun:
    """A run that was started. `say` gets each line that the command writes for people."""

    def __init__(
        self,
        project: str | Path,
        sync: str,
        *,
        options: Sequence[str] = (),
        say: Callable[[str], None],
        command: Sequence[str] = CONNECTOR,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Start `connector run SYNC --json`; `options` are further ones of that command."""
        self._say = say
        self._last: deque[str] = deque(maxlen=_LAST_LINES)
        self._written: list[str] = []
        line = [*command, "--project", str(project), "run", sync, "--json", *options]
        # A session of its own: a Ctrl-C meant for the orchestrator must not arrive twice.
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            line,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=None if environ is None else dict(environ),
            start_new_session=True,
        )
        self._readers = [threading.Thread(target=read, daemon=True) for read in (self._read, self._listen)]
        for reader in self._readers:
            reader.start()

    def end(self) -> End:
        """How the run ended, after waiting for it. Raises ConnectorError where the command gave no result.

        An exception from outside while it waits (a time limit of the orchestrator) stops the run and goes on its way.
        """
        try:
            self._process.wait()
        except BaseException:
            self.stop()
            raise
        for reader in self._readers:
            reader.join()
        return End(self._result(), self._process.returncode)

    def interrupt(self) -> None:
        """Nothing, after asking the run to stop as Ctrl-C does. It waits for nothing: signal handlers may do it."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGINT)

    def stop(self, grace_s: float = GRACE_S) -> None:
        """Nothing, after the run has stopped, or was killed when it did not within that time (seconds)."""
        self.interrupt()
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _result(self) -> Any:
        try:
            (entry,) = json.loads("".join(self._written))
        except ValueError:
            said = "\n".join(self._last) or "it said nothing"
            raise ConnectorError(
                f"`connector run` ended with exit code {self._process.returncode} and without a result",
                slug="no-result",
                hint=said,
            ) from None
        return entry

    def _read(self) -> None:
        with self._pipe(self._process.stdout) as stdout:
            self._written.append(stdout.read())

    def _listen(self) -> None:
        with self._pipe(self._process.stderr) as stderr:
            for line in stderr:
                self._last.append(line.rstrip())
                self._say(line.rstrip())

    @staticmethod
    def _pipe(stream: IO[str] | None) -> IO[str]:
        assert stream is not None, "it was started with pipes"  # noqa: S101 - for the type check
        return stream
