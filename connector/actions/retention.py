"""What of the past is kept: runs with their calls and rows, by age and by size, and never less than is needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from connector.errors import BusyError, StateError
from connector.plan.rows_file import sort_rows
from connector.run.recover import rows_path
from connector.state.snapshot import named_runs

if TYPE_CHECKING:
    from pathlib import Path

    from connector.ports import Clock
    from connector.project.definition import Definition
    from connector.state.history import History
    from connector.state.pruning import Kept

DAY_S = 86_400.0
SORTED_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was taken out, or would be (`dry_run`). `needed` are old runs that stay, by id with the reason."""

    dry_run: bool
    runs: tuple[str, ...]
    calls: int
    size_bytes: int
    freed_bytes: int = 0
    needed: dict[str, str] = field(default_factory=dict)

    def json(self) -> dict[str, Any]:
        """What `connector prune --json` prints."""
        return {
            "dry_run": self.dry_run,
            "runs": list(self.runs),
            "calls": self.calls,
            "size_bytes": self.size_bytes,
            "freed_bytes": self.freed_bytes,
            "needed": self.needed,
        }


def prune(
    definition: Definition,
    history: History,
    clock: Clock,
    *,
    dry_run: bool = False,
    keep_days: int | None = None,
    sync: str | None = None,
) -> Pruned:
    """What was taken out of the history: runs that ended too long ago, and the oldest ones until the rest has room.

    `keep_days` stands in for the project's own; `sync` names the only one whose runs are looked at. Kept whatever their
    age: the newest run of each sync, the newest that delivered something (without it nobody could tell that a sync's
    state was lost), runs that an undelivered row names, those that the warehouse logs do not have yet, and those of a
    sync that is running now. Raises StateError.
    """
    settings, pruning = definition.history, history.pruning
    days = settings.keep_days if keep_days is None else keep_days
    oldest = None if days is None else clock.now() - days * DAY_S
    ended = pruning.ended()
    needed = _needed(definition.state_dir, ended)
    if definition.logs is not None:
        needed |= dict.fromkeys(history.unlogged.names(), "the warehouse logs do not have it yet")
    sizes = {kept.run_id: kept.size_bytes + _size(rows_path(definition.state_dir, kept.run_id)) for kept in ended}
    total = sum(sizes.values())
    gone: list[str] = []
    stay: dict[str, str] = {}
    for kept in ended:
        is_old = oldest is not None and kept.ended_at < oldest
        is_much = sync is None and settings.keep_bytes is not None and total > settings.keep_bytes
        if (not is_old and not is_much) or (sync is not None and kept.sync != sync):
            continue
        if kept.run_id in needed:
            stay[kept.run_id] = needed[kept.run_id]
            continue
        gone.append(kept.run_id)
        total -= sizes[kept.run_id]
    taken = sum(sizes[run_id] for run_id in gone)
    if dry_run:
        return Pruned(dry_run, tuple(gone), sum(map(history.calls.count, gone)), taken, needed=stay)
    calls = 0
    for run_id in gone:
        # The rows first: without its run, a file of rows would be found by nobody.
        rows_path(definition.state_dir, run_id).unlink(missing_ok=True)
        calls += pruning.forget(run_id)
    _remove_strays(definition.state_dir, history)
    return Pruned(dry_run, tuple(gone), calls, taken, pruning.give_back(), stay)


def tidy(definition: Definition, history: History, *, most: int = SORTED_AT_ONCE) -> int:
    """How many of the newest runs' large row files were put in the order of their keys, so that a search reads less."""
    done = 0
    for run in history.runs.list(limit=200):
        path = rows_path(definition.state_dir, run.run_id)
        if done < most and path.exists():
            done += sort_rows(path)
    return done


def _needed(state_dir: Path, ended: list[Kept]) -> dict[str, str]:
    """The runs that must stay, each with the reason."""
    found: dict[str, str] = {}
    newest = {kept.sync: kept.run_id for kept in ended}
    found |= dict.fromkeys(newest.values(), "the newest run of its sync")
    accepted = {kept.sync: kept.run_id for kept in ended if kept.accepted}
    found |= dict.fromkeys(accepted.values(), "the newest run of its sync that delivered something")
    for name in newest:
        try:
            found |= dict.fromkeys(named_runs(state_dir, name), "a row that is not delivered names it")
        except BusyError:
            going = [kept.run_id for kept in ended if kept.sync == name]
            found |= dict.fromkeys(going, "its sync is running now")
        except StateError:
            damaged = [kept.run_id for kept in ended if kept.sync == name]
            found |= dict.fromkeys(damaged, "the state of its sync cannot be read")
    return found


def _remove_strays(state_dir: Path, history: History) -> None:
    """Nothing, after deleting the row files whose run is not in the history any more: a pruning was interrupted."""
    # Before the runs: one that begins meanwhile is in the history before it has a file.
    found = list((state_dir / "rows").glob("*.parquet"))
    known = {run.run_id for run in history.runs.list()}
    for path in found:
        if path.stem not in known:
            path.unlink(missing_ok=True)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
