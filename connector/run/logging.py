"""What a warehouse is told of a run: noted before it, written after it, and never a reason for it to fail."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from connector.run.recover import rows_path

if TYPE_CHECKING:
    from connector.run.ending import RunResult
    from connector.run.means import Means


def note_for_logs(means: Means, run_id: str) -> None:
    """Nothing, after noting that this run is to be logged, whatever becomes of this process."""
    if means.logs is not None:
        means.history.unlogged.note(run_id)


def logged(result: RunResult, means: Means) -> RunResult:
    """The result, after writing it to the warehouse, where the project says so; with a warning when that failed."""
    if means.logs is None:
        return result
    from connector.audit.writing import Place, write_logs  # noqa: PLC0415 - start-up: only some projects have logs

    place = Place(means.logs, means.root, means.state_dir, means.sources, partial(rows_path, means.state_dir))
    means.progress.step("logging", None)
    problem = write_logs(place, means.history, means.clock, means.stop)
    return result if problem is None else result.warned(means.history.runs.warn(result.run.run_id, problem))
