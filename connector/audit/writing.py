"""After a run: the runs that the warehouse does not have yet are written there, each in one transaction.

A run is noted before it begins and forgotten after the warehouse has committed it. Whoever dies in between leaves it to
the next run, which writes it again in the place of what may be there.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from connector.audit.rows import change_rows, run_row
from connector.audit.tables import CHANGELOG, SNAPSHOT, SYNC_RUNS
from connector.errors import ConnectorError, Problem, StateError
from connector.failpoints import LOGGED, reach
from connector.ports import Into, Load
from connector.state.locks import waited_for

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping

    from connector.ports import Clock, Loader, SourceSystem
    from connector.project.definition import Logs
    from connector.state.history import History
    from connector.state.runs import Run

WAIT_S = 60.0  # for another process that writes
PATIENCE_S = 300.0  # for runs that could not be written before: the rest waits for the next run


@dataclass(frozen=True, slots=True)
class Place:
    """Where the logs come from and where they go. `rows_of` says where the row outcomes of a run are."""

    logs: Logs
    root: Path
    state_dir: Path
    sources: Mapping[str, SourceSystem]
    rows_of: Callable[[str], Path]


def write_logs(place: Place, history: History, clock: Clock, stop: threading.Event) -> Problem | None:
    """What kept some run from being written; None when the warehouse has them all. Raises nothing a user could cause.

    The oldest comes first, so that the newest change of a row is the last one that is written.
    """
    try:
        with waited_for(place.state_dir / "logs.lock", clock, wait_s=WAIT_S):
            return _write_all(place, history, clock, stop)
    except StateError as error:
        return _problem(place, error.problem)


def _write_all(place: Place, history: History, clock: Clock, stop: threading.Event) -> Problem | None:
    loader = place.sources[place.logs.source.type].loader(place.logs.source.settings, place.root, place.logs.schema)
    began, first = clock.monotonic(), None
    waiting = history.unlogged.ended()
    held: set[str] = set()
    for at, run in enumerate(waiting):
        if run.sync in held:
            continue
        # The run that has just ended is the last one of them; what waits behind an impatient user can wait longer.
        if at and (stop.is_set() or clock.monotonic() - began > PATIENCE_S):
            left = Problem(f"{len(waiting) - at} runs are still to be written", "logs-not-written")
            return first or _problem(place, left)
        try:
            _write(place, loader, history, run)
        except (ConnectorError, duckdb.Error, OSError) as error:
            cause = error.problem if isinstance(error, ConnectorError) else _own(error)
            first = first or _problem(place, cause)
            if cause.slug != "logs-broke-off":
                return first
            # The warehouse takes no rows like these. Later runs of the sync would put them in the wrong order.
            held.add(run.sync)
    return first


def _write(place: Place, loader: Loader, history: History, run: Run) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="connector-logs-") as folder,
        change_rows(run, place.rows_of(run.run_id), history, Path(folder)) as changes,
    ):
        loader.load(
            [
                Load(run_row(run), (Into(SYNC_RUNS, ("run_id",)),)),
                Load(changes, (Into(CHANGELOG, ("run_id",)), Into(SNAPSHOT, ("sync", "row_key")))),
            ]
        )
    reach(LOGGED)
    history.unlogged.forget(run.run_id)


def _own(error: Exception) -> Problem:
    """What went wrong here, before anything reached the warehouse: no memory, or no space for what did not fit."""
    said = str(error).strip().splitlines() or [type(error).__name__]
    return Problem(said[0], "logs-broke-off")


def _problem(place: Place, cause: Problem) -> Problem:
    hint = f"{cause.hint}; " if cause.hint else ""
    return Problem(
        f"the logs could not be written to {place.logs.source.name}: {cause.message}",
        "logs-not-written",
        place.logs.at,
        f"{hint}the next run of any sync writes them",
    )
