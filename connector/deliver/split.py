"""Split retries: a refused batch is cut until every row is settled, without spending 2n requests on n rows."""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING

from connector.deliver.courier import Courier, Part, Refusal
from connector.deliver.probe import Prober
from connector.deliver.sheet import alike
from connector.ports import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from connector.deliver.attempt import Means
    from connector.deliver.watch import Watch
    from connector.ports import Batch, Settled

_VARYING = re.compile(r"[\w.:-]*\d[\w.:-]*")


def signature(reason: str) -> str:
    """The reason without what differs from row to row: every word with a digit in it (ids, offsets, times)."""
    return _VARYING.sub("#", reason)


class Splitter:
    """Sends batches, and the parts of those that are refused. Each worker has its own."""

    def __init__(self, courier: Courier, means: Means, watch: Watch) -> None:
        """Send by `courier`."""
        self._courier = courier
        self._policy = means.policy
        self._watch = watch
        self._prober = Prober(courier, means.destination, watch)

    def send(self, batch: Batch) -> None:
        """Nothing, when every row of the batch is settled."""
        waiting = deque((Part(batch),))
        while waiting:
            part = waiting.popleft()
            rows = len(part.batch)
            # What fits may have changed since the batch was cut.
            fits = max(1, self._watch.limits.get(batch.route.name, rows))
            if fits < rows:
                waiting.extendleft(part.piece(at, min(at + fits, rows)) for at in reversed(range(0, rows, fits)))
                continue
            refusal = self._courier.offer(part)
            if refusal is not None:
                waiting.extend(self._resolve(refusal))

    def _resolve(self, refusal: Refusal) -> list[Part]:
        """The parts of a refused batch that are to be sent like batches; all its other rows are settled."""
        if refusal.verdict.too_large or refusal.verdict.culprits or len(refusal.part.batch) == 1:
            return self._settle_what_is_clear(refusal)
        call_id, reason = refusal.call_id, refusal.verdict.reason
        self._courier.settle(call_id, "refused", reason)
        rest = self._prober.probe(refusal.piece(0, len(refusal.part.batch)))
        rows = len(rest.batch)
        if self._watch.taught_rows(rest.batch.route.name, rows) < rows:
            return [rest]  # the destination takes fewer rows a request than we sent: no row is to blame
        if not self._policy.split_retries:
            self._courier.settle(None, "refused", reason, [_rejected(rest, reason)])
            return []
        if rows == 1:
            return [rest]
        self._bisect(Refusal(rest, refusal.verdict, call_id, rest.carried))
        return []

    def _settle_what_is_clear(self, refusal: Refusal) -> list[Part]:
        """The parts that are left when the rows to blame are settled; two halves when none is to blame."""
        call_id, verdict, batch = refusal.call_id, refusal.verdict, refusal.part.batch
        rows = len(batch)
        if rows == 1:
            reason = verdict.culprits.get(0, verdict.reason)
            self._courier.settle(call_id, "refused", verdict.reason, [refusal.rejected(reason, "row")])
            return []
        if verdict.too_large:
            self._watch.shrink(batch.route.name, (rows + 1) // 2)
        culprits = {at: reason for at, reason in verdict.culprits.items() if 0 <= at < rows}
        if verdict.too_large or not culprits:
            self._courier.settle(call_id, "refused", verdict.reason)
            return refusal.halves()
        settled = [
            alike(batch.part(at, at + 1), Outcome.REJECTED, culprits[at], call_id, refusal.carried, "row")
            for at in sorted(culprits)
        ]
        rest = list(_without([refusal.piece(0, rows)], {batch.first + at for at in culprits}))
        if not self._policy.split_retries:
            settled += [_rejected(part, verdict.reason) for part in rest]
            rest = []
        self._courier.settle(call_id, "refused", verdict.reason, settled)
        return rest

    def _bisect(self, refusal: Refusal) -> None:
        """Nothing, when every row of a refused part is settled, breadth first."""
        reason = refusal.verdict.reason
        first_two = [self._search(half, reason) for half in refusal.halves()]
        waiting: deque[Part] = deque()
        for refused in first_two:
            if refused is not None:
                waiting.extend(self._settle_what_is_clear(refused))
        left, right = map(_common_cause, first_two)
        if left is not None and right is not None and signature(left) == signature(right):
            waiting = self._sample(waiting, left)
        while waiting:
            refused = self._search(waiting.popleft(), reason)
            if refused is not None:
                waiting.extend(self._settle_what_is_clear(refused))

    def _search(self, part: Part, reason: str) -> Refusal | None:
        """What `Courier.offer` returns, unless the budget for the search is used up: then the part is rejected."""
        if self._watch.may_search():
            return self._courier.offer(part)
        over = f"{reason} (the search for the bad rows ended after {self._policy.max_split_requests} requests)"
        self._courier.settle(None, "refused", over, [_rejected(part, over)])
        return None

    def _sample(self, parts: deque[Part], reason: str) -> deque[Part]:
        """The parts without the rows that were tried alone; none when all of those were refused for one reason.

        Both halves of a batch were refused alike: it may be the request that is refused, whatever its rows are.
        """
        refused: list[Refusal] = []
        tried: set[int] = set()
        singles = _spread(parts, self._policy.sample_rows)
        for single in singles:
            tried.add(single.batch.first)
            refusal = self._search(single, reason)
            if refusal is None:
                break
            self._courier.settle(refusal.call_id, "refused", refusal.verdict.reason)
            refused.append(refusal)
            if signature(refusal.verdict.reason) != signature(reason):
                break
        rest = deque(_without(parts, tried))
        is_whole = len(refused) == len(singles) and all(
            signature(refusal.verdict.reason) == signature(reason) for refusal in refused
        )
        if not is_whole:
            settled = [refusal.rejected(refusal.verdict.reason, "row") for refusal in refused]
            self._courier.settle(None, "refused", reason, settled)
            return rest
        cause, said = "row", reason
        if rest:
            cause, said = "batch", f"every one of {len(refused)} sampled rows was refused with: {reason}"
        settled = [refusal.rejected(said, cause) for refusal in refused]
        settled += [_rejected(part, said) for part in rest]
        if settled:
            self._courier.settle(None, "refused", said, settled)
        self._watch.refused_as_a_whole(reason, signature(reason))
        return deque()


def _rejected(part: Part, reason: str) -> Settled:
    """All rows of a part of a refused call, rejected without having been sent alone."""
    return alike(part.batch, Outcome.REJECTED, reason, part.parent, part.carried, "batch")


def _common_cause(refusal: Refusal | None) -> str | None:
    """The reason of a refusal that blames no row in particular, and not the size."""
    if refusal is None or refusal.verdict.too_large or refusal.verdict.culprits:
        return None
    return refusal.verdict.reason


def _without(parts: Iterable[Part], rows: set[int]) -> Iterator[Part]:
    """The parts cut around these rows of the plan."""
    for part in parts:
        first, stop = part.batch.first, part.batch.stop
        start = first
        for row in sorted(row for row in rows if first <= row < stop):
            if start < row:
                yield part.piece(start - first, row - first)
            start = row + 1
        if start < stop:
            yield part.piece(start - first, stop - first)


def _spread(parts: Iterable[Part], most: int) -> list[Part]:
    """Single rows of the parts: the first, the last, and others evenly spaced between them."""
    listed = list(parts)
    total = sum(len(part.batch) for part in listed)
    count = min(most, total)
    places = [round(at * (total - 1) / max(count - 1, 1)) for at in range(count)]
    ordered = places[:1] + places[-1:] + places[1:-1] if count > 1 else places
    return [_single(listed, place) for place in ordered]


def _single(parts: list[Part], place: int) -> Part:
    for part in parts:
        if place < len(part.batch):
            return part.piece(place, place + 1)
        place -= len(part.batch)
    raise IndexError(place)
