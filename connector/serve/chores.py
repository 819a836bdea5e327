"""What the server does once in a while, besides starting runs: in threads, so that no due time waits for it."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from connector import alerts
from connector.actions import retention
from connector.errors import ConnectorError
from connector.schedule.loop import Chore

if TYPE_CHECKING:
    from collections.abc import Callable

    from connector.ports import Clock
    from connector.project.definition import Definition
    from connector.schedule.files import Loaded
    from connector.state.history import History

MINUTE_S = 60.0
DAY_S = 86_400.0
KEEP_TRIGGERS_S = 90 * DAY_S

_log = logging.getLogger("connector.serve")


class Chores:
    """The chores of a project with this history."""

    def __init__(self, history: History, clock: Clock) -> None:
        self._history = history
        self._clock = clock
        self._threads: dict[str, threading.Thread] = {}

    def all(self) -> tuple[Chore, ...]:
        """Each of them, for the scheduler to start when its time has come."""
        return (self._chore("alerts", MINUTE_S, self._alerts), self._chore("history", DAY_S, self._tidy))

    def join(self) -> None:
        """Nothing, after what goes on has come to its end."""
        for thread in self._threads.values():
            thread.join()

    def _alerts(self, definition: Definition) -> None:
        """Nothing, after looking for runs that are overdue."""
        for problem in alerts.look(definition, self._history, self._clock):
            _log.warning("%s", problem)

    def _tidy(self, definition: Definition) -> None:
        """Nothing, after taking out of the history what is kept no longer."""
        before = self._clock.now() - KEEP_TRIGGERS_S
        self._history.triggers.prune(before)
        self._history.cancels.prune(before)
        pruned = retention.prune(definition, self._history, self._clock)
        if pruned.runs:
            _log.info("%d old runs were taken out of the history", len(pruned.runs))
        retention.tidy(definition, self._history)

    def _chore(self, name: str, every_s: float, do: Callable[[Definition], None]) -> Chore:
        def start(loaded: Loaded) -> None:
            last, definition = self._threads.get(name), loaded.definition
            if definition is None or (last is not None and last.is_alive()):
                return
            thread = threading.Thread(target=_guarded, args=(name, do, definition), name=name, daemon=True)
            self._threads[name] = thread
            thread.start()

        return Chore(name, every_s, start)


def _guarded(name: str, do: Callable[[Definition], None], definition: Definition) -> None:
    """Nothing. What goes wrong is said, and met again the next time: it ends neither the server nor its runs."""
    try:
        do(definition)
    except ConnectorError as error:
        _log.error("%s: %s", name, error)
    except Exception:  # noqa: BLE001 - a defect here must not stop what is due
        _log.exception("%s: something here is broken", name)
