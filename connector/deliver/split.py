"""Split retries: a refused batch is cut until every row is settled, without spending 2n requests on n rows."""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING

from connector.deliver.courier import Courier, Part, Refusal
from connector.deliver.probe import Prober

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from connector.deliver.attempt import Answer, Means
    from connector.deliver.watch import Watch
    from connector.ports import Batch

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
        self._send(deque((Part(batch),)))

    def settle(self, part: Part, answer: Answer) -> None:
        """Nothing, when every row of a part is settled that was answered; sends on where a refusal leaves several."""
        refusal = self._courier.settled_by(part, answer)
        if refusal is not None:
            self._send(deque(self._resolve(refusal)))

    def _send(self, waiting: deque[Part]) -> None:
        while waiting:
            part = waiting.popleft()
            rows = len(part.batch)
            # What fits may have changed since the batch was cut.
            fits = max(1, self._watch.limits.get(part.batch.route.name, rows))
            if fits < rows:
                waiting.extendleft(part.piece(at, min(at + fits, rows)) for at in reversed(range(0, rows, fits)))
                continue
            refusal = self._courier.offer(part)
            if refusal is not None:
                waiting.extend(self._resolve(refusal))

    def _resolve(self, refusal: Refusal) -> list[Part]:
        """The parts of a refused batch that are to be sent like batches; all its other rows are settled."""
        part, verdict = refusal.part, refusal.verdict
        if verdict.too_large or verdict.culprits or len(part.batch) == 1:
            return self._settle_what_is_clear(refusal)
        self._courier.settle(part.parent, "refused", verdict.reason)
        rest = self._prober.probe(part)
        rows = len(rest.batch)
        if self._watch.taught_rows(rest.batch.route.name, rows) < rows:
            return [rest]  # the destination takes fewer rows a request than we sent: no row is to blame
        if not self._policy.split_retries:
            self._courier.settle(None, "refused", verdict.reason, [rest.rejected(verdict.reason, "batch")])
            return []
        if rows == 1:
            return [rest]
        self._bisect(Refusal(rest, verdict))
        return []

    def _settle_what_is_clear(self, refusal: Refusal) -> list[Part]:
        """The parts that are left when the rows to blame are settled; two halves when none is to blame."""
        part, verdict = refusal.part, refusal.verdict
        rows = len(part.batch)
        culprits = {at: reason for at, reason in verdict.culprits.items() if 0 <= at < rows}
        if rows == 1:
            culprits = culprits or {0: verdict.reason}
        elif verdict.too_large:
            self._watch.shrink(part.batch.route.name, (rows + 1) // 2)
        if not culprits or (verdict.too_large and rows > 1):
            self._courier.settle(part.parent, "refused", verdict.reason)
            return refusal.halves()
        settled = [part.piece(at, at + 1).rejected(culprits[at], "row") for at in sorted(culprits)]
        rest = list(_without([part], {part.batch.first + at for at in culprits}))
        if not self._policy.split_retries:
            settled += [left.rejected(verdict.reason, "batch") for left in rest]
            rest = []
        self._courier.settle(part.parent, "refused", verdict.reason, settled)
        return rest

    def _bisect(self, refusal: Refusal) -> None:
        """Nothing, when every row of a refused part is settled, breadth first."""
        reason = refusal.verdict.reason
        waiting: deque[Part] = deque()
        causes: list[str | None] = []
        for half in refusal.halves():
            refused = self._search(half, reason)
            causes.append(_common_cause(refused))
            if refused is not None:
                waiting.extend(self._settle_what_is_clear(refused))
        left, right = causes
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
        self._courier.settle(None, "refused", over, [part.rejected(over, "batch")])
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
            self._courier.settle(refusal.part.parent, "refused", refusal.verdict.reason)
            refused.append(refusal)
            if signature(refusal.verdict.reason) != signature(reason):
                break
        rest = deque(_without(parts, tried))
        is_whole = len(refused) == len(singles) and all(
            signature(refusal.verdict.reason) == signature(reason) for refusal in refused
        )
        if is_whole and rest:
            said = f"every one of {len(refused)} sampled rows was refused with: {reason}"
            rejected = [part.rejected(said, "batch") for part in (*(refusal.part for refusal in refused), *rest)]
            self._courier.settle(None, "refused", said, rejected)
            rest.clear()
        else:
            rejected = [refusal.part.rejected(refusal.verdict.reason, "row") for refusal in refused]
            self._courier.settle(None, "refused", reason, rejected)
        if is_whole:
            self._watch.refused_as_a_whole(reason, signature(reason))
        return rest


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
    at = 0
    while place >= len(parts[at].batch):
        place -= len(parts[at].batch)
        at += 1
    return parts[at].piece(place, place + 1)
