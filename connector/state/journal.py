"""The journal and the API call log of one run, written together by group commit.

Every thread notes what it has to say in a list; whoever needs it to be durable first writes all of it in one
transaction, for everybody. Eight threads that each begin a call wait for one commit then, not for eight. Each waits at
a gate of its own, and is told there what came of it: no crowd that wakes up for one lock.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import bindparam, delete, func, insert, null, select, update

from connector.errors import StateError
from connector.state.database import Prepared
from connector.state.records import Begun, Records
from connector.state.tables import calls, counters, intents, request_bodies, settled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connector.errors import DestinationError
    from connector.ports import Clock, NoReply, Reply, Request, Settled
    from connector.state.database import Database
    from connector.state.hiding import Hiding

    Row = dict[str, Any]

RANGE_TYPES = pa.schema(
    [
        ("route", pa.string()),
        ("first", pa.int64()),
        ("stop", pa.int64()),
        ("outcome", pa.string()),
        ("reason", pa.string()),
        ("cause", pa.string()),
        ("call_id", pa.int64()),
        ("attempts", pa.int64()),
    ]
)
RANGE_COLUMNS = RANGE_TYPES.names

# Made once: building a statement costs more than running it.
_TAKE_IDS = Prepared(
    update(counters)
    .where(counters.c.name == bindparam("counter"))
    .values(value=counters.c.value + bindparam("taken"))
    .returning(counters.c.value)
)
_BEGUN = [
    "id",
    "run_id",
    "route",
    "purpose",
    "parent_id",
    "attempt",
    "first",
    "stop",
    "started_at",
    "method",
    "url",
    "request_headers",
    "request_bytes",
    "auth",
    "bodies",
]
_ANSWER = ["ms", "status", "response_headers", "response_bytes", "error", "response_body"]
_VERDICT = ["verdict", "reason"]
_OF_CALL = update(calls).where(calls.c.id == bindparam("call"))
_ADD_CALLS = Prepared(insert(calls), *_BEGUN)
_ADD_BODIES = Prepared(insert(request_bodies), "call_id", "body")
_ADD_INTENTS = Prepared(insert(intents), "call_id", "run_id", "route", "first", "stop", "attempt")
_ADD_ANSWERS = Prepared(_OF_CALL, *_ANSWER)
_ADD_VERDICTS = Prepared(_OF_CALL, *_VERDICT)
_ADD_BOTH = Prepared(_OF_CALL, *_ANSWER, *_VERDICT)
_CLOSE_INTENTS = Prepared(delete(intents).where(intents.c.call_id == bindparam("call")))
_ADD_SETTLED = Prepared(insert(settled), "run_id", *RANGE_COLUMNS)


@dataclass(slots=True)
class _Notes:
    """What was noted and is not written yet."""

    begun: list[Begun] = field(default_factory=list)
    answers: dict[int, Row] = field(default_factory=dict)
    verdicts: dict[int, Row] = field(default_factory=dict)
    settled: list[Row] = field(default_factory=list)


class _Gate:
    """Where one thread waits for the note of that number. Who opens it says whether to go, or to write."""

    __slots__ = ("closed", "is_written", "number", "writes")

    def __init__(self, number: int) -> None:
        self.number = number
        self.closed = threading.Lock()
        self.closed.acquire()
        self.is_written = False
        self.writes = False


class RunJournal:
    """One run's `ports.Journal`. Thread-safe.

    The first commit that fails breaks it: the waiting threads and all later calls raise the StateError, and nothing
    that was acknowledged before is lost.
    """

    def __init__(
        self,
        database: Database,
        run_id: str,
        *,
        clock: Clock,
        secrets: Sequence[str] = (),
        auth_header: str,
        hiding: Hiding | None = None,
        payloads: bool = True,
    ) -> None:
        self._database = database
        self._clock = clock
        self._records = Records(
            run_id, clock=clock, secrets=secrets, auth_header=auth_header, hiding=hiding, payloads=payloads
        )
        self._lock = threading.Lock()
        self._notes = _Notes()
        self._noted = 0  # notes so far; each is durable when `_written` has come to its number
        self._written = 0
        self._writing = False
        self._waiting: list[_Gate] = []
        self._broken: StateError | None = None
        self.waited_s = 0.0
        """How long the calls waited to be durable before they were made, all together."""

    def begin(self, request: Request, *, attempt: int, parent: int | None = None) -> int:
        """The new call's id; ids rise over all runs, in the order in which calls became durable.

        The call and its rows are durable as "intended" then, and so is everything that was noted before. Raises
        StateError.
        """
        return self._begin([self._records.begun(request, attempt, parent)])[0]

    def begin_all(self, requests: Sequence[Request]) -> list[int]:
        """The ids of new calls, each the first attempt of its request, after one commit for all. Raises StateError."""
        return self._begin([self._records.begun(request, 1, None) for request in requests])

    def _begin(self, begun: list[Begun]) -> list[int]:
        with self._lock:
            self._notes.begun += begun
            self._noted += 1
            number = self._noted
        before = self._clock.monotonic()
        self._wait_until_written(number)
        waited_s = self._clock.monotonic() - before
        with self._lock:
            self.waited_s += waited_s
        for each in begun:
            self._records.opened(each)
        return [each.id for each in begun]

    def answer(self, call_id: int, reply: Reply | NoReply) -> None:
        """Nothing, after noting what came back. Does not wait for the disk."""
        row = self._records.answer(call_id, reply) | {"call": call_id}
        with self._lock:
            self._refuse_when_broken()
            self._notes.answers[call_id] = row
            self._noted += 1

    def settle(
        self, call_id: int | None, verdict: str, reason: str | None = None, settled: Sequence[Settled] = ()
    ) -> None:
        """Nothing, after noting what the reply meant and what became of which rows. Does not wait for the disk.

        Without a call, only the rows are noted: they were never sent, or another call's rows are looked at again.
        """
        reason = self._records.masked(reason, call_id)
        rows = [self._records.settled(part, call_id) for part in settled]
        with self._lock:
            self._refuse_when_broken()
            if call_id is not None:
                self._notes.verdicts[call_id] = {"call": call_id, "verdict": verdict, "reason": reason}
            self._notes.settled += rows
            self._noted += 1

    def flush(self) -> None:
        """Nothing, when everything noted so far is durable. Raises StateError."""
        self._wait_until_written(self._noted)

    def cleaned(self, error: DestinationError) -> DestinationError:
        """The error without what the run's replies repeat of redacted values."""
        return self._records.cleaned(error)

    @property
    def noted(self) -> int:
        """How many notes were taken so far, written or not."""
        return self._noted

    def _wait_until_written(self, number: int) -> None:
        """Nothing, when the note of that number is durable: somebody else wrote it, or this thread did."""
        gate = None
        with self._lock:
            self._refuse_when_broken()
            if self._written >= number:
                return
            if self._writing:
                gate = _Gate(number)
                self._waiting.append(gate)
            else:
                self._writing = True
        if gate is not None and not self._is_my_turn(gate):
            return
        self._write_all()

    def _is_my_turn(self, gate: _Gate) -> bool:
        """True when this thread is to write now; False when its note is written. Raises StateError."""
        try:
            gate.closed.acquire()
        except BaseException:
            with self._lock:
                if gate in self._waiting:
                    self._waiting.remove(gate)
                elif gate.writes:
                    self._open_gates()
            raise
        if not gate.writes and not gate.is_written:
            self._refuse_when_broken()
        return gate.writes

    def _write_all(self) -> None:
        """Nothing, after one transaction with every note there is; called by the one thread that may write."""
        with self._lock:
            notes, number = self._notes, self._noted
            self._notes = _Notes()
        # Until it is known to be written it counts as lost, whatever ends this: the notes are out of the list.
        broken: StateError | None = StateError(
            "the journal was interrupted while it was writing",
            slug="journal-interrupted",
            hint="run again: what was sent without a verdict counts as in doubt",
        )
        try:
            self._write(notes)
            broken = None
        except StateError as error:
            broken = error
            raise
        finally:
            with self._lock:
                self._broken = broken
                if broken is None:
                    self._written = number
                self._open_gates()

    def _open_gates(self) -> None:
        """Nothing, after letting go who has nothing to wait for, and one more, who writes; called with the lock."""
        waiting = self._waiting
        self._waiting = []
        self._writing = False
        for gate in waiting:
            gate.is_written = gate.number <= self._written
            if not gate.is_written and self._broken is None:
                if self._writing:
                    self._waiting.append(gate)
                    continue
                gate.writes = self._writing = True
            gate.closed.release()

    def _write(self, notes: _Notes) -> None:
        with self._database.write() as connection:
            if notes.begun:
                last = _TAKE_IDS.value(connection, {"taken": len(notes.begun), "counter": "calls"})
                for call_id, begun in enumerate(notes.begun, last - len(notes.begun) + 1):
                    begun.number(call_id)
            _ADD_CALLS.run(connection, [begun.call for begun in notes.begun])
            bodies = [{"call_id": begun.id, "body": begun.body} for begun in notes.begun if begun.body is not None]
            _ADD_BODIES.run(connection, bodies)
            _ADD_INTENTS.run(connection, [begun.intent for begun in notes.begun if begun.intent is not None])
            answers, verdicts = notes.answers, notes.verdicts
            # Most calls are answered and judged between two commits: then their row is written anew once, not twice.
            done = answers.keys() & verdicts.keys()
            _ADD_BOTH.run(connection, [answers[call_id] | verdicts[call_id] for call_id in done])
            _ADD_ANSWERS.run(connection, [row for call_id, row in answers.items() if call_id not in done])
            _ADD_VERDICTS.run(connection, [row for call_id, row in verdicts.items() if call_id not in done])
            _CLOSE_INTENTS.run(connection, [*verdicts.values()])
            _ADD_SETTLED.run(connection, notes.settled)

    def _refuse_when_broken(self) -> None:
        if self._broken is not None:
            # A new one for each thread: a raised exception carries the traceback of its thread.
            problem = self._broken.problem
            raise StateError(problem.message, slug=problem.slug, at=problem.at, hint=problem.hint) from self._broken


def ranges(database: Database, run_id: str) -> pa.Table:
    """What the journal of a run says about the plan's rows, in the order in which it was noted.

    Columns: route, first, stop, outcome, reason, cause, call_id, attempts. Rows in doubt (sent, and nobody noted what
    came of it) come last, with outcome NULL; `attempts` is then the attempt that was under way. A later range of the
    same rows on the same route replaces an earlier one.
    """
    done = select(*(settled.c[name] for name in RANGE_COLUMNS))
    open_ = select(
        intents.c.route, intents.c.first, intents.c.stop, null(), null(), null(), intents.c.call_id, intents.c.attempt
    )
    with database.read() as connection:
        found = list(connection.execute(done.where(settled.c.run_id == run_id).order_by(settled.c.id)))
        found += connection.execute(open_.where(intents.c.run_id == run_id).order_by(intents.c.call_id))
    columns = list(zip(*found, strict=True)) or [()] * len(RANGE_TYPES)
    arrays = [pa.array(values, part.type) for values, part in zip(columns, RANGE_TYPES, strict=True)]
    return pa.Table.from_arrays(arrays, schema=RANGE_TYPES)


def settled_rows(database: Database, run_id: str) -> int:
    """How many rows of a run that goes on are settled so far, on the route that is furthest behind."""
    rows = func.sum(settled.c.stop - settled.c.first)
    with database.read() as connection:
        found = connection.execute(select(rows).where(settled.c.run_id == run_id).group_by(settled.c.route))
        return min((int(count) for count in found.scalars()), default=0)


def forget(database: Database, run_id: str) -> None:
    """Nothing, after deleting the run's intents and settled ranges; its calls stay."""
    with database.write() as connection:
        connection.execute(delete(intents).where(intents.c.run_id == run_id))
        connection.execute(delete(settled).where(settled.c.run_id == run_id))
