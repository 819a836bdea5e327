"""A destination that keeps a vendor's rules, a journal that checks its promises, and what else a delivery needs."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, Any

from connector.deliver import Delivered, Policy, deliver
from connector.ports import (
    Batch,
    Change,
    Constant,
    Failure,
    Fault,
    Flight,
    Journal,
    Judged,
    NoReply,
    Outcome,
    ProbeAnswer,
    Refused,
    Reply,
    Request,
    Route,
    Settled,
    TryAgain,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

EVENTS = Route("track", frozenset({Change.ADDED}), Constant(0), max_rows=1000, max_bytes=10**6, repeatable=False)
CUSTOM = Route("custom", frozenset(Change), Constant(0), max_rows=1000, max_bytes=10**6)
AGENT = replace(CUSTOM, name="agent")

SEVERITY = list(Outcome)
ONE = Policy(concurrency=1)


class FakeClock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.time_s = 1000.0
        self.waits: list[float] = []
        self.on_sleep: Callable[[], None] = lambda: None
        self._lock = threading.Lock()

    def now(self) -> float:
        return self.time_s

    def monotonic(self) -> float:
        return self.time_s

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.time_s += seconds
        self.on_sleep()

    @property
    def passed_s(self) -> float:
        return self.time_s - 1000.0


@dataclass
class FakeLimiter:
    """A limiter that is never in the way and remembers what it was told."""

    acquired: list[str | None] = field(default_factory=list)
    slowed: list[float | None] = field(default_factory=list)
    well: int = 0
    refuses_after: int | None = None
    claims: list[float] = field(default_factory=list)

    def acquire(self, route: Route | None = None) -> bool:
        self.acquired.append(route.name if route else None)
        return self.refuses_after is None or len(self.acquired) <= self.refuses_after

    def claim(self) -> float:
        wait_s = self.claims.pop(0) if self.claims else 0.0
        if not wait_s:
            self.acquired.append(None)
        return wait_s

    def slow_down(self, after_s: float | None = None) -> None:
        self.slowed.append(after_s)

    def went_well(self) -> None:
        self.well += 1


@dataclass
class Call:
    """One call as the journal saw it."""

    call_id: int
    request: Request
    attempt: int
    parent: int | None
    thread: int
    answer: Reply | NoReply | None = None
    verdict: str | None = None
    reason: str | None = None


def is_lost(answer: Reply | NoReply | None) -> bool:
    """True when the request may have been applied all the same."""
    return isinstance(answer, NoReply) and answer.maybe_applied


class MemoryJournal:
    """A journal in memory that refuses to be used out of order."""

    def __init__(self) -> None:
        self.calls: dict[int, Call] = {}
        self.settled: list[Settled] = []
        self.together: list[int] = []
        self.flushes = 0
        self.durable_settles = 0
        self._lock = threading.RLock()

    def begin(self, request: Request, *, attempt: int, parent: int | None = None) -> int:
        with self._lock:
            thread = threading.get_ident()
            unsettled = [call for call in self.calls.values() if call.thread == thread and call.verdict is None]
            lost = {id(call.request) for call in self.calls.values() if is_lost(call.answer)}
            for call in unsettled:  # only what leaves a doubt may stay open until the next attempt
                assert call.request is request
                assert id(request) in lost
            assert parent is None or parent in self.calls
            call_id = len(self.calls) + 1
            self.calls[call_id] = Call(call_id, request, attempt, parent, thread)
            return call_id

    def begin_all(self, requests: Sequence[Request]) -> list[int]:
        with self._lock:
            self.together.append(len(requests))
            first = len(self.calls) + 1
            for call_id, request in enumerate(requests, first):
                assert not self.is_in_flight(request)
                self.calls[call_id] = Call(call_id, request, 1, None, threading.get_ident())
            return [*range(first, first + len(requests))]

    def answer(self, call_id: int, reply: Reply | NoReply) -> None:
        with self._lock:
            assert self.calls[call_id].answer is None
            self.calls[call_id].answer = reply

    def settle(
        self, call_id: int | None, verdict: str, reason: str | None = None, settled: Sequence[Settled] = ()
    ) -> None:
        with self._lock:
            if call_id is not None:
                call = self.calls[call_id]
                assert call.answer is not None, "settled before answered"
                assert call.verdict is None, "settled twice"
                call.verdict, call.reason = verdict, reason
            self.settled += settled

    def flush(self) -> None:
        self.flushes += 1

    def is_in_flight(self, request: Request) -> bool:
        """True when this very request was begun and is not answered yet."""
        with self._lock:
            return any(call.request is request and call.answer is None for call in self.calls.values())

    def was_just_answered(self, request: Request) -> bool:
        """True when this very request was answered and is not settled yet."""
        with self._lock:
            return any(
                call.request is request and call.answer is not None and call.verdict is None
                for call in self.calls.values()
            )

    def by_row(self, route: str) -> dict[int, Settled]:
        """What each row of a route was settled as; each must be settled once."""
        found: dict[int, Settled] = {}
        for each in self.settled:
            if each.route == route:
                for row in range(each.first, each.stop):
                    assert row not in found, f"row {row} was settled twice on {route}"
                    found[row] = each
        return found


@dataclass(frozen=True)
class Numbers:
    """Fragments whose JSON is the row's number in the plan."""

    first: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.first

    def joined(self, head: bytes = b"", tail: bytes = b"") -> bytes:
        return head + ",".join(map(str, range(self.first, self.stop))).encode() + tail

    def ids(self) -> list[str]:
        return [str(row) for row in range(self.first, self.stop)]

    def part(self, start: int, stop: int) -> Numbers:
        assert 0 <= start < stop <= len(self)
        return Numbers(self.first + start, self.first + stop)


class FakeWork:
    """`rows` rows, cut into batches of `batch_rows`; every third row is changed, every seventh removed."""

    def __init__(self, rows: int, routes: Sequence[Route], batch_rows: int, alone: Iterable[int] = ()) -> None:
        self.rows, self.routes, self.batch_rows, self.alone = rows, routes, batch_rows, set(alone)
        self.at = 0
        self.asked: list[dict[str, int]] = []
        self._lock = threading.Lock()

    def take(self, max_rows: Mapping[str, int]) -> tuple[Batch, ...] | None:
        with self._lock:
            self.asked.append(dict(max_rows))
            if self.at >= self.rows:
                return None
            most = min([self.batch_rows, *(max_rows.get(route.name, route.max_rows) for route in self.routes)])
            stop = min(self.at + most, self.rows)
            bad = next((row for row in range(self.at, stop) if row in self.alone), stop)
            first, self.at = self.at, (self.at + 1 if bad == self.at else bad)
            return tuple(Batch(route, first, self.at, Numbers(first, self.at)) for route in self.routes)

    @staticmethod
    def change(row: int) -> Change:
        if row % 7 == 6:
            return Change.REMOVED
        return Change.CHANGED if row % 3 == 2 else Change.ADDED

    def changes(self, first: int, stop: int) -> Mapping[Change, int]:
        return Counter(self.change(row) for row in range(first, stop))


Effect = str
"""What happens to a request: ok, 200 without looking at the rows' rules is not one of them.

`503`, `429`, `429:SECONDS`: not applied, come again. `refused`: no connection. `lost before`, `lost after`: the
connection broke before or after it was applied, which nobody can tell. `401`: the key is gone. `400`: refused
whatever its rows are. `raise`: a defect in the code that sends.
"""


@dataclass
class Vendor:
    """A destination with rules. A request is applied as a whole or not at all.

    `poison`: rows for whose sake a request is refused. `named`: it says which ones they are. `unknown`: rows that are
    skipped. `single_only`: takes no arrays. `most`: a larger request is too large. `script`: effects of the first
    requests, then `then`. `flies`: one thread may have many in flight, `in_the_air` at most so far.
    """

    journal: MemoryJournal = field(default_factory=MemoryJournal)
    routes: tuple[Route, ...] = (CUSTOM,)
    secrets: tuple[str, ...] = ()
    poison: frozenset[int] = frozenset()
    named: bool = False
    unknown: frozenset[int] = frozenset()
    single_only: bool = False
    auto: bool = False
    most: int | None = None
    reason: Callable[[list[int]], str] = lambda rows: "cannot read the body"  # noqa: ARG005
    script: list[Effect] = field(default_factory=list)
    then: Effect = "ok"
    on_send: Callable[[Vendor], object] = lambda vendor: None  # noqa: ARG005
    received: list[tuple[str, list[int]]] = field(default_factory=list)
    applied: Counter[tuple[str, int]] = field(default_factory=Counter)
    form: str = "unknown"
    flies: bool = False
    in_the_air: int = 0
    probes: int = 0
    doubts: set[tuple[str, int]] = field(default_factory=set)
    lock: threading.RLock = field(default_factory=threading.RLock)
    probing: threading.Lock = field(default_factory=threading.Lock)

    def limits(self) -> Mapping[str, int]:
        return {route.name: 1 for route in self.routes} if self.form == "single" else {}

    def prepare(self) -> Generator[Request, Reply, None]:
        reply = yield Request("GET", "https://vendor.test/verify", "key", "key check")
        assert reply.status == 200

    def build(self, batch: Batch) -> Request:
        return self._request(batch, as_object=self.form == "single")

    def _request(self, batch: Batch, *, as_object: bool, purpose: str = "send") -> Request:
        body = batch.fragments.joined()
        url = f"https://vendor.test/{batch.route.name}"
        return Request("POST", url, "key", purpose, body if as_object else b"[" + body + b"]", batch=batch)

    def send(self, request: Request) -> Reply | NoReply:
        assert self.journal.is_in_flight(request), "sent before its intent was durable"
        self.on_send(self)
        with self.lock:
            body = json.loads(request.body or b"[]")
            rows = body if isinstance(body, list) else [body]
            route = request.batch.route.name if request.batch else ""
            effect = self.script.pop(0) if self.script else self.then
            if effect == "raise":
                raise ZeroDivisionError
            if effect == "refused":
                return NoReply("connection refused", maybe_applied=False, ms=1.0)
            self.received.append((route, rows))
            if effect == "lost before":
                self.doubts.update((route, row) for row in rows)
                return NoReply("connection reset", maybe_applied=True, ms=1.0)
            if effect not in {"ok", "lost after"}:
                status, _, after = effect.partition(":")
                return Reply(int(status), {"retry-after": after} if after else {}, b"{}", 1.0)
            reply = self._take(route, rows, is_array=isinstance(body, list))
            if effect == "lost after":
                self.doubts.update((route, row) for row in rows)
                return NoReply("connection reset", maybe_applied=True, ms=1.0)
            return reply

    def flight(self, most: int) -> Flight | None:
        return FakeFlight(self, most) if self.flies else None

    def _take(self, route: str, rows: list[int], *, is_array: bool) -> Reply:
        if self.single_only and is_array and rows:
            return _reply(400, {"reason": self.reason(rows)})
        if self.most is not None and len(rows) > self.most:
            return _reply(413, {"reason": "too large"})
        bad = [row for row in rows if row in self.poison]
        if bad:
            return _reply(400, {"reason": self.reason(bad), "bad": bad if self.named else []})
        self.applied.update((route, row) for row in rows if row not in self.unknown)
        return _reply(200, {"missing": [row for row in rows if row in self.unknown]})

    def judge(self, request: Request, reply: Reply) -> Verdict:
        assert self.journal.was_just_answered(request), "judged before the answer was noted"
        body: dict[str, Any] = json.loads(reply.body)
        first = request.batch.first if request.batch else 0
        after = reply.headers.get("retry-after")
        match reply.status:
            case 200:
                missing = {row - first: Failure(Outcome.SKIPPED, "not found") for row in body.get("missing", [])}
                return Judged(missing)
            case 400:
                culprits = {row - first: f"row {row} is bad" for row in body.get("bad", [])}
                return Refused(body.get("reason", "400"), culprits)
            case 413:
                return Refused("too large", too_large=True)
            case 401:
                return Fault("the key is gone", "key-refused", "make a new one")
            case status:
                return TryAgain(str(status), float(after) if after else None, slow_down=status == 429)

    def probe(self, batch: Batch) -> Generator[Request, Verdict, ProbeAnswer] | None:
        return self._probe(batch.part(0, 1)) if self.auto and self.form == "unknown" else None

    def _probe(self, row: Batch) -> Generator[Request, Verdict, ProbeAnswer]:
        assert self.probing.acquire(blocking=False), "two workers probe at once"
        try:
            self.probes += 1
            verdict = yield self._request(row, as_object=False, purpose="probe")
            if isinstance(verdict, Judged):
                self.form = "array"
                return ProbeAnswer(verdict, {"batching": "array"})
            verdict = yield self._request(row, as_object=True, purpose="probe")
            if isinstance(verdict, Judged):
                self.form = "single"
                return ProbeAnswer(verdict, {"batching": "single"})
            return ProbeAnswer(verdict)
        finally:
            self.probing.release()

    def close(self) -> None:
        raise AssertionError("the one who opened it closes it")


class FakeFlight:
    """Answers come in any order, some of them together."""

    def __init__(self, vendor: Vendor, most: int) -> None:
        self.vendor, self.most, self.random = vendor, most, Random(most)  # noqa: S311 - no secret hangs on it
        self.waiting: list[tuple[int, Reply | NoReply]] = []
        self.is_closed = False

    def start(self, call_id: int, request: Request) -> None:
        self.waiting.append((call_id, self.vendor.send(request)))
        self.vendor.in_the_air = max(self.vendor.in_the_air, len(self.waiting))
        assert len(self.waiting) <= self.most

    def arrived(self, wait_s: float) -> list[tuple[int, Reply | NoReply]]:
        assert not self.is_closed
        if not self.waiting:
            time.sleep(min(wait_s, 0.001))
            return []
        self.random.shuffle(self.waiting)
        some = self.random.randint(1, len(self.waiting))
        came, self.waiting = self.waiting[:some], self.waiting[some:]
        return came

    def close(self) -> None:
        assert not self.waiting
        self.is_closed = True


def _reply(status: int, body: dict[str, Any]) -> Reply:
    return Reply(status, {}, json.dumps(body).encode(), 1.0)


@dataclass
class World:
    """A delivery, ready to go, and the checks that hold after each one."""

    vendor: Vendor
    rows: int = 1000
    batch_rows: int = 1000
    policy: Policy = ONE
    alone: Iterable[int] = ()
    clock: FakeClock = field(default_factory=FakeClock)
    limiter: FakeLimiter = field(default_factory=FakeLimiter)
    stop: threading.Event = field(default_factory=threading.Event)
    told: Counter[Outcome] = field(default_factory=Counter)
    random_seed: int = 7

    def __post_init__(self) -> None:
        self.work = FakeWork(self.rows, self.vendor.routes, self.batch_rows, self.alone)

    @property
    def journal(self) -> MemoryJournal:
        return self.vendor.journal

    def deliver(self) -> Delivered:
        """The delivery's result, after checking all that must hold whatever happened."""

        def progress(outcome: Outcome, rows: int) -> None:
            self.told[outcome] += rows

        journal: Journal = self.journal
        delivered = deliver(
            self.work,
            self.vendor,
            journal,
            self.limiter,
            self.clock,
            Random(self.random_seed),  # noqa: S311 - no secret hangs on it
            self.policy,
            self.stop,
            progress,
        )
        self.check(delivered)
        return delivered

    def check(self, delivered: Delivered) -> None:
        settled = {route.name: self.journal.by_row(route.name) for route in self.vendor.routes}
        tally: Counter[tuple[Outcome, Change]] = Counter()
        for row in range(self.work.at):
            outcomes = [by_row[row].outcome for by_row in settled.values()]
            tally[max(outcomes, key=SEVERITY.index), self.work.change(row)] += 1
        assert all(set(by_row) == set(range(self.work.at)) for by_row in settled.values())
        assert delivered.tally == {
            outcome: {change: tally[outcome, change] for change in Change} for outcome in Outcome
        }
        assert self.told == Counter({o: sum(c.values()) for o, c in delivered.tally.items() if sum(c.values())})
        self._check_calls(delivered)
        for route in self.vendor.routes:
            self._check_truth(route, settled[route.name])
        left = sum(delivered.tally[Outcome.NOT_ATTEMPTED].values())
        assert not left or delivered.fault or delivered.cancelled

    def _check_calls(self, delivered: Delivered) -> None:
        calls = list(self.journal.calls.values())
        assert all(call.verdict is not None for call in calls)
        assert delivered.sent == len(calls)
        assert delivered.retried == sum(call.attempt > 1 for call in calls)
        assert self.journal.flushes

    def _check_truth(self, route: Route, by_row: Mapping[int, Settled]) -> None:
        """What was settled is what the vendor did."""
        carried: Counter[int] = Counter()
        for call in self.journal.calls.values():
            batch = call.request.batch
            assert batch is not None
            if batch.route is route:
                carried.update(range(batch.first, batch.stop))
        for row, settled in by_row.items():
            times = self.vendor.applied[route.name, row]
            if settled.outcome is Outcome.SUCCEEDED:
                assert times >= 1
            elif settled.outcome is not Outcome.IN_DOUBT:
                assert times == 0
            if times > 1:
                assert (route.name, row) in self.vendor.doubts
                assert route.repeatable or self.policy.in_doubt == "resend"
            assert settled.attempts == carried[row]
            assert (settled.call_id is None) == (carried[row] == 0)


def outcomes(delivered: Delivered) -> dict[str, int]:
    """Rows by outcome, without the outcomes that none has."""
    return {o.value: sum(c.values()) for o, c in delivered.tally.items() if sum(c.values())}
