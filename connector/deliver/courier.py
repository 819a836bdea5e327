"""One part of the plan, offered to the destination, and its rows settled as far as the answer settles them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from connector.deliver.attempt import Attempts, given_up_after, reason_of, verdict_name
from connector.deliver.sheet import Sheet, alike, judged
from connector.ports import Fault, Judged, Outcome, Refused, TryAgain, Unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connector.deliver.attempt import Answer, Means
    from connector.deliver.watch import Watch
    from connector.ports import Batch, Request, Settled

STOPPED = "the run ended before these rows were sent"


@dataclass(frozen=True, slots=True)
class Part:
    """Rows to be sent in one request.

    `parent`: the refused call whose part they are, None for rows that come straight from the plan. `carried`: the
    requests that have carried them so far. `in_doubt`: one of those may have been applied.
    """

    batch: Batch
    parent: int | None = None
    carried: int = 0
    in_doubt: bool = False

    def piece(self, start: int, stop: int) -> Part:
        """The rows from offset `start` up to `stop`, with the same past."""
        return Part(self.batch.part(start, stop), self.parent, self.carried, self.in_doubt)

    def after(self, answer: Answer) -> Part:
        """The same rows, as a part of the request that was answered."""
        in_doubt = self.in_doubt or answer.in_doubt
        return Part(self.batch, answer.call_id, self.carried + answer.attempts, in_doubt)

    def rejected(self, reason: str, cause: str) -> Settled:
        """All its rows, rejected by its parent.

        They are in doubt where an earlier attempt may have been applied: what was taken once is often refused the
        second time (an id that is queued for deletion, say).
        """
        outcome = Outcome.IN_DOUBT if self.in_doubt else Outcome.REJECTED
        return alike(self.batch, outcome, reason, self.parent, self.carried, cause)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A part that was refused, its rows and its call not settled yet. The call is the part's parent."""

    part: Part
    verdict: Refused

    def halves(self) -> list[Part]:
        """The rows in two parts, the second one the smaller by one where they are odd."""
        rows = len(self.part.batch)
        middle = (rows + 1) // 2
        return [self.part.piece(0, middle), self.part.piece(middle, rows)]


class Courier:
    """Sends parts and settles them. Each worker has its own."""

    def __init__(self, means: Means, watch: Watch) -> None:
        """Nothing is open yet; `open_sheet` comes first."""
        self._destination = means.destination
        self._journal = means.journal
        self._watch = watch
        self.attempts = Attempts(means, watch.ended)
        self._sheet = Sheet(0, 0, 0)

    def open_sheet(self, batches: Sequence[Batch]) -> Sheet:
        """A new sheet for these batches of one range; everything that is settled from now on is noted on it."""
        self._sheet = Sheet(batches[0].first, batches[0].stop, len(batches))
        return self._sheet

    def settle(self, call_id: int | None, verdict: str, reason: str | None, settled: Sequence[Settled] = ()) -> None:
        """Nothing, after telling the journal and the sheet."""
        self._journal.settle(call_id, verdict, reason, settled)
        self._sheet.note(settled)

    def offer(self, part: Part) -> Refusal | None:
        """None when all rows are settled, else the refusal that leaves them open."""
        return self.settled_by(part, self.send(self._destination.build(part.batch), part))

    def settled_by(self, part: Part, answer: Answer) -> Refusal | None:
        """None after settling all rows as the answer says, else the refusal that leaves them open."""
        if isinstance(answer.verdict, Refused):
            return Refusal(part.after(answer), answer.verdict)
        self.close(part, answer)
        return None

    def send(self, request: Request, part: Part) -> Answer:
        """The answer to a request that carries rows of `part`, its last call not settled yet."""
        return self.attempts.make(request, part.batch.route, part.parent)

    def close(self, part: Part, answer: Answer) -> None:
        """Nothing, after settling all rows of `part` as the answer says, a refusal as one of each row."""
        verdict, call_id = answer.verdict, answer.call_id
        match verdict:
            case Judged():
                self._watch.accepted()
                settled = judged(part.batch, verdict, call_id, part.carried + answer.attempts)
                self.settle(call_id, "judged", verdict.note, settled)
            case Refused():
                self.settle(call_id, "refused", verdict.reason, [part.after(answer).rejected(verdict.reason, "row")])
            case TryAgain() | Unknown() | Fault() | None:
                self.give_up(part, answer)
            case _:
                assert_never(verdict)

    def give_up(self, part: Part, answer: Answer) -> None:
        """Nothing, after settling rows of which no reply said what became of them."""
        verdict = answer.verdict
        outcome, cause = Outcome.NOT_ATTEMPTED, None
        reason = STOPPED if verdict is None else reason_of(verdict) or ""
        if answer.exhausted:
            reason = f"{reason} ({given_up_after(answer.attempts)})"
        if answer.in_doubt or part.in_doubt:
            outcome = Outcome.IN_DOUBT
        elif answer.exhausted:
            cause = "transient"
            outcome = Outcome.REJECTED if answer.reached else Outcome.NOT_ATTEMPTED
        call_id = answer.call_id if answer.call_id is not None else part.parent
        self.settle(
            answer.call_id if answer.open else None,
            "not_attempted" if verdict is None else verdict_name(verdict),
            reason,
            [alike(part.batch, outcome, reason, call_id, part.carried + answer.attempts, cause)],
        )
        answer.open = False
        if isinstance(verdict, Fault):
            self._watch.fault_of(verdict)
        elif isinstance(verdict, (TryAgain, Unknown)) and not answer.stopped:
            self._watch.unavailable(reason, sent=answer.reached, exhausted=answer.exhausted)
