"""What every part of the server works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from connector.api import Project
    from connector.ports import Clock
    from connector.schedule.loop import SchedulerState
    from connector.state.history import History


@dataclass(frozen=True, slots=True)
class Serving:
    """One served project.

    `project()` gives the project as it is on disk now, however wrong (`strict=False`); close it after use. `history` is
    one for the whole process. `token` is None where anybody on this machine may do anything. `read_only` refuses
    everything that would change or send something. `host` is the address that is listened on; `allowed_hosts` are
    further names under which a browser may know it. `trusted_header` carries the name of whoever a reverse proxy at one
    of `trusted_proxies` (addresses) has logged in. `scheduler()` says what the scheduler is doing; None without one.
    """

    root: Path
    state_dir: Path
    history: History
    clock: Clock
    project: Callable[[], Project]
    token: str | None = None
    read_only: bool = False
    host: str = "127.0.0.1"
    allowed_hosts: tuple[str, ...] = ()
    trusted_header: str | None = None
    trusted_proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    scheduler: Callable[[], SchedulerState] | None = None
