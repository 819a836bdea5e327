"""Runs whose process died: what their journal says is settled before anything else happens to their sync."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.errors import Problem, StateError
from connector.failpoints import reach
from connector.plan.settle import all_in_doubt, nothing, settle, summary
from connector.project.settings import EventSync
from connector.state.runs import Finish

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from connector.project.definition import Sync
    from connector.state.history import History
    from connector.state.snapshot import Snapshot


def rows_path(state_dir: Path, run_id: str) -> Path:
    """Where the row outcomes of a run are kept."""
    return state_dir / "rows" / f"{run_id}.parquet"


def refuse_lost_ledger(sync: Sync, snapshot: Snapshot, history: History) -> None:
    """Nothing, unless events of the sync were accepted that its file does not know of. Raises StateError.

    They would go out a second time: all of them where the file is new, the latest where it was put back from a backup.
    """
    if snapshot.info("reset") is not None or not isinstance(sync.settings, EventSync):
        return
    last = snapshot.info("last_settled")
    if last is not None:
        _refuse_older_ledger(sync, snapshot, history, last.get("last_call"))
        return
    accepted = sum(sum(run.outcomes["succeeded"].values()) for run in history.runs.list(sync.name) if run.outcomes)
    if accepted:
        raise StateError(
            f"{snapshot.path} is gone: which events of '{sync.name}' were sent is not known any more; the run history "
            f"counts {accepted:,}",
            slug="state-lost",
            hint=f"restore the file from a backup; or take the present result as sent: connector reset {sync.name} "
            f"--baseline; or send everything again: connector reset {sync.name}",
        )


def _refuse_older_ledger(sync: Sync, snapshot: Snapshot, history: History, last_call: int | None) -> None:
    """The ids of calls only rise, whatever the clocks say; an older connector has not noted the last one."""
    newest = history.calls.newest_judged(sync.name)
    if last_call is not None and newest is not None and newest > last_call:
        raise StateError(
            f"{snapshot.path} is older than the run history: it does not know which events of '{sync.name}' the calls "
            f"behind {last_call} have sent, up to {newest}",
            slug="state-lost",
            hint="was the file alone restored from a backup? Put back the newer one, or restore all of the state "
            f"(connector restore); or take the present result as sent: connector reset {sync.name} --baseline; or send "
            f"everything again: connector reset {sync.name}",
        )


def journal_of(snapshot: Snapshot, history: History) -> pa.Table:
    """What is known of the rows of the plan that stands in the file; see `History.ranges`.

    A run is in the history before it has a plan. Where it is not, the history was lost or is another one, and the
    journal with it: any row may have been sent.
    """
    run_id = snapshot.info("plan")["run_id"]
    return all_in_doubt(snapshot) if history.runs.find(run_id) is None else history.ranges(run_id)


def recover(snapshot: Snapshot, sync: str, history: History, state_dir: Path, now_ms: int) -> None:
    """Nothing, after settling what a dead run of this sync left behind.

    The open file is the proof that no other process runs this sync, so every unfinished run of it is dead.
    """
    settled = None
    if snapshot.has_plan():
        path = rows_path(state_dir, snapshot.info("plan")["run_id"])
        settled = summary(settle(snapshot, journal_of(snapshot, history), path, now_ms, stopped=True))
    else:
        settled = snapshot.info("last_settled")
    reach("recovered")
    for run in history.runs.unfinished(sync):
        # A run without a plan had counted nothing yet.
        known = settled if settled is not None and settled["run_id"] == run.run_id else summary(nothing(run.run_id))
        history.runs.finish(
            run.run_id,
            Finish(
                status="interrupted",
                error=Problem(
                    f"process {run.pid} on {run.host} ended before it could settle this run",
                    "interrupted",
                    hint="its rows were settled from its journal; those in doubt are offered again",
                ),
                rows=known["rows"],
                outcomes=known["outcomes"],
                requests={"sent": history.calls.count(run.run_id), "retried": 0, "split": 0},
            ),
        )
        history.forget(run.run_id)
