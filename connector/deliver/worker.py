"""Ranges of the plan, sent one after another by one thread, and their rows counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.deliver.courier import Courier
from connector.deliver.sheet import empty_tally
from connector.deliver.split import Splitter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from connector.deliver.attempt import Answer, Attempts, Means
    from connector.deliver.courier import Part
    from connector.deliver.sheet import Sheet, Tally
    from connector.deliver.watch import Watch
    from connector.ports import Batch, Outcome, Work

    Progress = Callable[[Outcome, int], None]


class Worker:
    """Sends and counts; for one thread at a time."""

    def __init__(self, work: Work, means: Means, watch: Watch, tell: Progress) -> None:
        """Nothing is sent yet; `tell` hears each outcome and the rows that have it."""
        self._work = work
        self._watch = watch
        self._tell = tell
        self._courier = Courier(means, watch)
        self._splitter = Splitter(self._courier, means, watch)
        self.tally: Tally = empty_tally()

    @property
    def attempts(self) -> Attempts:
        """What it sends with, and the count of what it sent."""
        return self._courier.attempts

    def run(self) -> None:
        """Nothing, after the last range this worker took; an exception is left with the watch."""
        try:
            while not self._watch.ended():
                batches = self._work.take(self._watch.limits)
                if batches is None:
                    return
                self.deliver(batches)
        except BaseException as defect:  # noqa: BLE001 - `deliver` raises it again
            self._watch.fail(defect)

    def deliver(self, batches: Sequence[Batch]) -> None:
        """Nothing, when every row of a range is settled on all its routes and counted."""
        sheet = self._courier.open_sheet(batches)
        for batch in batches:
            self._splitter.send(batch)
        self._count(sheet)

    def settle(self, part: Part, answer: Answer) -> None:
        """Nothing, when every row of a range of one route is settled and counted, of which an answer has come."""
        sheet = self._courier.open_sheet((part.batch,))
        self._splitter.settle(part, answer)
        self._count(sheet)

    def pursue(self, part: Part, answer: Answer) -> None:
        """What `settle` does, after as many further attempts as are worth it."""
        self.attempts.pursue(answer)
        self.settle(part, answer)

    def _count(self, sheet: Sheet) -> None:
        sheet.count(self.tally, self._work.changes)
        for first, stop, outcome in sheet.runs():
            self._tell(outcome, stop - first)
