"""The history of a state directory: its database, opened once a process, and everything that is kept in it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from sqlalchemy import insert, inspect, select

from connector.errors import StateError
from connector.state.alerts import AlertStore
from connector.state.calls import Calls
from connector.state.cancels import Cancels
from connector.state.database import Database
from connector.state.due import Due
from connector.state.ended import EndedRuns
from connector.state.journal import RunJournal, forget, ranges, settled_rows
from connector.state.learned import Learned
from connector.state.numbers import Numbers
from connector.state.pauses import Pauses
from connector.state.pruning import Pruning
from connector.state.rate import SharedRate
from connector.state.runs import Runs
from connector.state.sqlite_errors import state_error
from connector.state.tables import counters, state_version
from connector.state.triggers import Triggers
from connector.state.unlogged import Unlogged
from connector.state.upgrade import complete, is_complete
from connector.state.version import STATE_VERSION, check_version
from connector.state.windows import Windows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow as pa

    from connector.ports import Clock
    from connector.state.hiding import Hiding

FILE_NAME = "history.db"
_SETUP_PAUSE_S = 0.05


class History:
    """Runs, calls, journals, rates and learned facts of one state directory. Safe to use from several threads."""

    def __init__(self, state_dir: Path, *, clock: Clock, busy_timeout_s: float) -> None:
        self.state_dir = state_dir
        self._clock = clock
        self._busy_timeout_s = busy_timeout_s
        file = state_dir / FILE_NAME
        writer = threading.Lock()
        self._database = Database(file, writer=writer, busy_timeout_s=busy_timeout_s)
        # A rate may be lost in a power cut; and dozens of reservations a second need not wait for the disk.
        self._hasty = Database(file, writer=writer, busy_timeout_s=busy_timeout_s, synchronous="NORMAL")
        self.runs = Runs(self._database, clock)
        self.calls = Calls(self._database)
        self.windows = Windows(self._database)
        self.learned = Learned(self._database, clock)
        self.pruning = Pruning(self._database, clock)
        self.unlogged = Unlogged(self._database, clock)
        self.alerts = AlertStore(self._database, clock)
        self.ended = EndedRuns(self._database)
        self.triggers = Triggers(self._database, clock)
        self.due = Due(self._database, self.triggers)
        self.pauses = Pauses(self._database, clock)
        self.cancels = Cancels(self._database, clock)
        self.numbers = Numbers(self._database, clock)

    def journal(
        self,
        run_id: str,
        *,
        secrets: Sequence[str] = (),
        auth_header: str = "x-pendo-integration-key",
        hiding: Hiding | None = None,
        payloads: bool = True,
    ) -> RunJournal:
        """The journal of a run. `secrets` are masked in everything it writes; `auth_header` is shown, masked too.

        `hiding` says what stands in the place of redacted values; without `payloads` no body is kept.
        """
        return RunJournal(
            self._database,
            run_id,
            clock=self._clock,
            secrets=secrets,
            auth_header=auth_header,
            hiding=hiding,
            payloads=payloads,
        )

    def ranges(self, run_id: str) -> pa.Table:
        """What a run's journal says about the plan's rows; see `journal.ranges`."""
        return ranges(self._database, run_id)

    def settled_rows(self, run_id: str) -> int:
        """How many rows of a run that goes on are settled so far; see `journal.settled_rows`."""
        return settled_rows(self._database, run_id)

    def forget(self, run_id: str) -> None:
        """Nothing, after deleting the run's journal (not its calls): its outcomes are in the snapshot now."""
        forget(self._database, run_id)

    def rate(self, destination: str, *, max_requests_per_second: float | None, stop: threading.Event) -> SharedRate:
        """The limiter of a destination, shared with every process on this state directory."""
        return SharedRate(self._hasty, destination, max_requests_per_second, clock=self._clock, stop=stop)

    def prepare(self) -> None:
        """Nothing, after making the tables where there are none yet. Raises StateError."""
        deadline = self._clock.monotonic() + self._busy_timeout_s
        while True:
            try:
                return self._prepare()
            except StateError as error:
                # Two processes that make the file at once: SQLite refuses one of them without any waiting.
                if error.problem.slug != "state-locked" or self._clock.monotonic() >= deadline:
                    raise
            self._clock.sleep(_SETUP_PAUSE_S)

    def _prepare(self) -> None:
        if self._is_ready():
            return
        self._database.use_wal()
        with self._database.write() as connection:
            complete(connection)
            if connection.execute(select(state_version.c.version)).first() is None:
                created = {"version": STATE_VERSION, "created_at": self._clock.now()}
                connection.execute(insert(state_version).values(created))
                connection.execute(insert(counters).values(name="calls", value=0))

    def _is_ready(self) -> bool:
        """Whether nothing has to be made. Raises StateError where a newer connector wrote the file."""
        with self._database.read() as connection:
            if not inspect(connection).has_table(state_version.name):
                return False
            found = connection.execute(select(state_version.c.version)).scalars().first()
            if found is None:
                return False
            check_version(found, self._database.file)
            # A file that was taken out of a backup by hand is in no WAL: readers and writers would shut each other out.
            in_wal = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
            return in_wal and is_complete(connection)

    def close(self) -> None:
        """Nothing, after closing the connections."""
        self._hasty.close()
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def restoring(state_dir: Path) -> Path:
    """Where the state of a backup stands, whole, for the moment in which there is none in its place."""
    return state_dir.with_name(f"{state_dir.name}.restoring")


def open_history(state_dir: Path, *, clock: Clock, busy_timeout_s: float) -> History:
    """The history in `state_dir`; see `connector.state.open_history`."""
    try:
        if not state_dir.exists() and restoring(state_dir).is_dir():
            restoring(state_dir).replace(state_dir)  # whoever restored it died before its last step
        state_dir.mkdir(parents=True, exist_ok=True)
        ignore = state_dir / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise state_error(error, state_dir) from error
    history = History(state_dir, clock=clock, busy_timeout_s=busy_timeout_s)
    try:
        history.prepare()
    except BaseException:
        history.close()
        raise
    return history
