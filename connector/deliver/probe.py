"""Probing: a batch was refused as a whole, and the destination knows calls that tell why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.deliver.attempt import reason_of, verdict_name
from connector.ports import Judged, ProbeAnswer, Refused

if TYPE_CHECKING:
    from collections.abc import Generator

    from connector.deliver.courier import Courier, Part
    from connector.deliver.watch import Watch
    from connector.ports import Destination, Request, Verdict

    Calls = Generator[Request, Verdict, ProbeAnswer]

PROBES = 3
"""Probes of one refused batch at most: one that has a bad row tells nothing, three such are a bad batch."""


class Prober:
    """Makes the calls of a destination's probe, one worker at a time."""

    def __init__(self, courier: Courier, destination: Destination, watch: Watch) -> None:
        """Send by `courier`."""
        self._courier = courier
        self._destination = destination
        self._watch = watch

    def probe(self, part: Part) -> Part:
        """The part without the rows that probing has settled; at least one row is left.

        Waits while another worker probes: its answer is for all of them.
        """
        for _ in range(PROBES):
            rows = len(part.batch)
            with self._watch.alone() as may_ask:
                calls = self._destination.probe(part.batch) if may_ask and rows > 1 else None
                request = next(calls, None) if calls is not None else None
                if calls is None or request is None:
                    return part
                told_nothing = self._ask(part.piece(0, 1), calls, request)
            part = part.piece(1, rows)
            if not told_nothing:
                break
        return part

    def _ask(self, row: Part, calls: Calls, request: Request) -> bool:
        """True when the probe told nothing, or only that its own row is bad. The row is settled."""
        while True:
            answer = self._courier.send(request, row)
            verdict = answer.verdict
            if not isinstance(verdict, (Judged, Refused)):
                calls.close()
                self._courier.close(row, answer)
                return True
            told = _next(calls, verdict)
            if isinstance(told, ProbeAnswer):
                break
            self._courier.settle(answer.call_id, verdict_name(verdict), reason_of(verdict))
            request, row = told, row.after(answer)
        answer.verdict = told.first_row if isinstance(told.first_row, (Judged, Refused)) else verdict
        self._courier.close(row, answer)
        self._watch.learn(told.learned, self._destination.limits())
        return not told.learned and isinstance(answer.verdict, Refused)


def _next(calls: Calls, verdict: Verdict) -> Request | ProbeAnswer:
    """The probe's next call, or what it found."""
    try:
        return calls.send(verdict)
    except StopIteration as end:
        answer: ProbeAnswer = end.value
        return answer
