"""What became of rows: as ranges for the journal, and counted for the run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from connector.errors import CountsError
from connector.ports import Change, Outcome, Settled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from connector.ports import Batch, Judged

_OUTCOMES = tuple(Outcome)  # from the best to the worst
_RANK = {outcome: rank for rank, outcome in enumerate(_OUTCOMES)}
_AT_LEAST = [bytes(max(rank, other) for other in range(256)) for rank in range(len(_OUTCOMES))]
_RUNS = re.compile(rb"(.)\1*", re.DOTALL)

Tally = dict[Outcome, dict[Change, int]]


def empty_tally() -> Tally:
    """No row of any change with any outcome."""
    return {outcome: dict.fromkeys(Change, 0) for outcome in Outcome}


class Sheet:
    """The outcome of each row of one taken range: the worst over its routes."""

    __slots__ = ("_marks", "_open", "_rank", "first", "stop")

    def __init__(self, first: int, stop: int, routes: int) -> None:
        """Rows `first` up to `stop`, of which each is to be noted once a route."""
        self.first = first
        self.stop = stop
        self._open = (stop - first) * routes  # notes that are still missing
        self._rank = 0  # of all rows, while they are alike
        self._marks: bytearray | None = None  # a rank a row, as soon as they are not

    def note(self, settled: Sequence[Settled]) -> None:
        """Nothing, after lowering these rows to the outcomes given."""
        for each in settled:
            self._open -= each.stop - each.first
            rank = _RANK[each.outcome]
            if not rank or (rank <= self._rank and self._marks is None):
                continue
            if self._marks is None and each.first == self.first and each.stop == self.stop:
                self._rank = rank
                continue
            if self._marks is None:
                self._marks = bytearray([self._rank]) * (self.stop - self.first)
            start, stop = each.first - self.first, each.stop - self.first
            self._marks[start:stop] = self._marks[start:stop].translate(_AT_LEAST[rank])

    def runs(self) -> Iterator[tuple[int, int, Outcome]]:
        """First row, stop and outcome of each longest run of rows with one outcome."""
        if self._marks is None:
            yield self.first, self.stop, _OUTCOMES[self._rank]
            return
        for run in _RUNS.finditer(self._marks):
            yield self.first + run.start(), self.first + run.end(), _OUTCOMES[self._marks[run.start()]]

    def count(self, tally: Tally, changes: Callable[[int, int], Mapping[Change, int]]) -> None:
        """Nothing, after adding the rows to `tally`. Raises CountsError when a row has no outcome, or two."""
        if self._open:
            raise CountsError(
                f"{abs(self._open)} outcomes {'are missing' if self._open > 0 else 'too many'} "
                f"for the rows {self.first} to {self.stop - 1}",
                slug="counts",
                hint="this is a defect of the connector: please report it with the run's log",
            )
        for first, stop, outcome in self.runs():
            counts = tally[outcome]
            for change, rows in changes(first, stop).items():
                counts[change] += rows


def alike(
    batch: Batch, outcome: Outcome, reason: str | None, call_id: int | None, attempts: int, cause: str | None = None
) -> Settled:
    """All rows of a batch with one outcome."""
    return Settled(batch.route.name, batch.first, batch.stop, outcome, reason, cause, call_id, attempts)


def judged(batch: Batch, verdict: Judged, call_id: int | None, attempts: int) -> list[Settled]:
    """The rows of an answered batch, neighbours that fared alike as one range."""
    if not verdict.failures:
        return [alike(batch, Outcome.SUCCEEDED, None, call_id, attempts)]
    found: list[tuple[int, int, Outcome, str | None]] = []
    covered = 0
    for offset in sorted(verdict.failures):
        failure = verdict.failures[offset]
        if covered < offset:
            found.append((covered, offset, Outcome.SUCCEEDED, None))
        if found and found[-1][1:] == (offset, failure.outcome, failure.reason):
            found[-1] = (found[-1][0], offset + 1, failure.outcome, failure.reason)
        else:
            found.append((offset, offset + 1, failure.outcome, failure.reason))
        covered = offset + 1
    if covered < len(batch):
        found.append((covered, len(batch), Outcome.SUCCEEDED, None))
    name, first = batch.route.name, batch.first
    return [
        Settled(name, first + start, first + stop, outcome, reason, _cause(outcome), call_id, attempts)
        for start, stop, outcome, reason in found
    ]


def _cause(outcome: Outcome) -> str | None:
    return "row" if outcome is Outcome.REJECTED else None
