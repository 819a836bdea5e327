"""A run's progress on a terminal: one line that says what is going on, how much is done and how fast."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from connector.cli.figures import number
from connector.cli.screen import DIM
from connector.progress import Silent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connector.cli.screen import Stream
    from connector.ports import Outcome
    from connector.progress import Progress

NAME_WIDTH = 24
_SHOWN = {"rejected": "rejected", "skipped": "skipped", "in_doubt": "in doubt", "quarantined": "quarantined"}


@contextmanager
def watching(stream: Stream, sync: str, *, shown: bool) -> Iterator[Progress]:
    """What a run is to tell its progress; a bar on `stream` when it is `shown` and a terminal, else nothing."""
    if not (shown and stream.terminal):
        yield Silent()
        return
    from rich.progress import BarColumn, TextColumn  # noqa: PLC0415 - start-up
    from rich.progress import Progress as RichProgress  # noqa: PLC0415

    rich = RichProgress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[figures]}"),
        console=stream.console,
        transient=True,
    )
    with rich:
        yield Bar(rich, sync)


class Bar:
    """`connector.progress.Progress` drawn by rich, which may be told from any thread."""

    def __init__(self, rich: Any, sync: str) -> None:
        self._rich = rich
        self._name = sync if len(sync) <= NAME_WIDTH else sync[: NAME_WIDTH - 1] + "…"
        self._task = rich.add_task(self._titled("starting"), total=None, figures="")
        self._counts: dict[str, int] = {}

    def step(self, name: str, rows: int | None) -> None:
        """Nothing, after showing the step."""
        known = {} if rows is None else {"completed": 0}
        self._rich.update(self._task, description=self._titled(name), total=rows, **known)
        if name != "sending":
            self._rich.update(self._task, total=None, figures="")

    def rows(self, outcome: Outcome, count: int) -> None:
        """Nothing, after counting the rows."""
        self._counts[outcome.value] = self._counts.get(outcome.value, 0) + count
        self._rich.update(self._task, advance=count)
        self._rich.update(self._task, figures=self._figures())

    def _titled(self, step: str) -> str:
        return f"{self._name} [{DIM}]{step}[/]"

    def _figures(self) -> str:
        task = next(task for task in self._rich.tasks if task.id == self._task)
        parts = [f"{number(int(task.completed))}/{number(int(task.total or 0))} rows"]
        if task.speed:
            parts.append(f"{number(round(task.speed))}/s")
        parts += [f"{number(self._counts[name])} {words}" for name, words in _SHOWN.items() if self._counts.get(name)]
        return ", ".join(parts)
