"""What a project remembers between runs: run history, API call log, journals, rates, learned facts, snapshots.

This package imports nothing heavy until a history is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.state.version import STATE_VERSION, check_version

if TYPE_CHECKING:
    from pathlib import Path

    from connector.ports import Clock
    from connector.state.history import History

__all__ = ["STATE_VERSION", "check_version", "open_history"]


def open_history(state_dir: Path, *, clock: Clock, busy_timeout_s: float = 30.0) -> History:
    """The history in `state_dir`, made where there is none: history.db, its tables, and a .gitignore that hides all.

    A write waits `busy_timeout_s` seconds for other processes. Raises StateError, now and at any later call:
    `state-not-writable`, `state-locked`, `state-disk-full`, `state-corrupt`, `state-newer`, `state-failed`.
    """
    from connector.state import history  # noqa: PLC0415  sqlalchemy takes half a second to import

    return history.open_history(state_dir, clock=clock, busy_timeout_s=busy_timeout_s)
