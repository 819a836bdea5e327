"""A run's progress on a terminal: one line that says what is going on, how much is done and how fast."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from connector.actions.figures import duration, number
from connector.cli.screen import DIM
from connector.run.progress import Silent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connector.cli.screen import Stream
    from connector.ports import Outcome
    from connector.run.progress import Progress

NAME_WIDTH = 24
WIDE = 100
FIRST_RATE_S = 1.0  # before that, a rate says nothing
SHOWN = {"rejected": "rejected", "skipped": "skipped", "in_doubt": "in doubt", "quarantined": "quarantined"}


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
        BarColumn(bar_width=10 if stream.width < WIDE else 30),
        TextColumn("{task.fields[figures]}"),
        console=stream.console,
        transient=True,
    )
    with rich:
        yield Bar(rich, sync)


class Bar:
    """`connector.run.progress.Progress` drawn by rich, which may be told from any thread."""

    def __init__(self, rich: Any, sync: str) -> None:
        self._rich = rich
        self._name = sync if len(sync) <= NAME_WIDTH else sync[: NAME_WIDTH - 1] + "…"
        self._task = rich.add_task(self._titled("starting"), total=None, figures="")
        self._counts: Counter[str] = Counter()
        self._total = 0
        self._began_s = 0.0

    def step(self, name: str, rows: int | None) -> None:
        """Nothing, after showing the step."""
        self._total, self._began_s = rows or 0, self._rich.get_time()
        figures = "" if rows is None else self._figures()
        self._rich.update(self._task, description=self._titled(name), total=rows, completed=0, figures=figures)

    def rows(self, outcome: Outcome, count: int) -> None:
        """Nothing, after counting the rows."""
        self._counts[outcome.value] += count
        self._rich.update(self._task, advance=count, figures=self._figures())

    def _titled(self, step: str) -> str:
        return f"{self._name} [{DIM}]{step}[/]"

    def _figures(self) -> str:
        done = self._counts.total()
        parts = [f"{number(done)}/{number(self._total)} rows"]
        seconds = self._rich.get_time() - self._began_s
        if done and seconds >= FIRST_RATE_S:
            left_s = (self._total - done) * seconds / done
            parts += [f"{number(round(done / seconds))}/s", f"{duration(round(left_s), whole=True)} left"]
        parts += [f"{number(self._counts[name])} {words}" for name, words in SHOWN.items() if self._counts[name]]
        return ", ".join(parts)
