"""What every part of the server works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from connector.api import Project
    from connector.ports import Clock
    from connector.state.history import History


@dataclass(frozen=True, slots=True)
class Serving:
    """One served project.

    `project()` gives the project as it is on disk now, however wrong (`strict=False`); close it after use. `history` is
    one for the whole process. `token` is None where anybody on this machine may do anything. `read_only` refuses
    everything that would change or send something.
    """

    root: Path
    state_dir: Path
    history: History
    clock: Clock
    project: Callable[[], Project]
    token: str | None = None
    read_only: bool = False
