"""What a run is asked, and what it works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping
    from pathlib import Path
    from random import Random

    from connector.ports import Clock, DestinationSystem, SourceSystem
    from connector.project.definition import Logs
    from connector.run.progress import Progress
    from connector.state.history import History


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked of a run, beside the sync itself. `run_id` is the name it was promised, where it was asked for."""

    full_resync: bool = False
    resend_events: bool = False
    key: str | None = None
    limit: int | None = None
    force: bool = False
    trigger: str = "cli"
    run_id: str | None = None

    def asked(self) -> dict[str, Any]:
        """What was asked for beyond a plain run, as the run history keeps it."""
        flags = {"full_resync": self.full_resync, "resend_events": self.resend_events, "force": self.force}
        asked: dict[str, Any] = {name: True for name, given in flags.items() if given}
        return asked | {name: value for name, value in (("row", self.key), ("limit", self.limit)) if value is not None}


@dataclass(frozen=True, slots=True)
class Means:
    """What a run works with: the systems, the state, and everything of the world that tests replace."""

    root: Path
    state_dir: Path
    sources: Mapping[str, SourceSystem]
    destinations: Mapping[str, DestinationSystem]
    history: History
    clock: Clock
    random: Random
    stop: threading.Event
    progress: Progress
    logs: Logs | None = None

    @property
    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return int(self.clock.now() * 1000)
