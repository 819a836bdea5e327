from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.errors import StateError
from connector.ports import Change, Members, Outcome, Reply, Route, Settled
from connector.state import open_history
from connector.state.database import Database
from connector.state.journal import RANGE_COLUMNS, RunJournal

from .fake_clock import OK, FakeClock, request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from connector.ports import Journal
    from connector.state.history import History

Range = tuple[Any, ...]


def ranges(history: History, run_id: str = "run-1") -> list[Range]:
    """The journal's ranges as tuples."""
    return [tuple(row[name] for name in RANGE_COLUMNS) for row in history.ranges(run_id).to_pylist()]


def test_it_is_the_journal_that_delivery_needs(history: History) -> None:
    journal: Journal = history.journal("run-1")

    journal.flush()


def test_a_begun_call_and_its_rows_are_there_when_begin_returns(history: History) -> None:
    call_id = history.journal("run-1").begin(request(0, 500), attempt=1)

    assert ranges(history) == [("custom", 0, 500, None, None, None, call_id, 1)]
    assert history.calls.get(call_id).stop == 500


def test_calls_that_begin_together_and_their_rows_are_there_when_begin_all_returns(history: History) -> None:
    journal = history.journal("run-1")
    before = journal.begin(request(0, 1), attempt=1)
    call_ids = journal.begin_all([request(1, 2), request(None), request(2, 5)])

    assert call_ids == [before + 1, before + 2, before + 3]
    assert ranges(history) == [
        ("custom", first, stop, None, None, None, call_id, 1)
        for first, stop, call_id in ((0, 1, before), (1, 2, call_ids[0]), (2, 5, call_ids[2]))
    ]
    assert [(call.parent_id, call.attempt) for call in history.calls.list("run-1")] == [(None, 1)] * 4


def test_a_call_without_rows_leaves_no_range(history: History) -> None:
    history.journal("run-1").begin(request(None), attempt=1)

    assert ranges(history) == []


def test_an_empty_journal_has_the_same_columns(history: History) -> None:
    assert history.ranges("run-1").schema.names == list(RANGE_COLUMNS)


def test_a_settled_call_is_in_doubt_no_more(history: History) -> None:
    journal = history.journal("run-1")
    call_id = journal.begin(request(0, 2), attempt=3)
    journal.answer(call_id, OK)
    good = Settled("custom", 0, 1, Outcome.SUCCEEDED, call_id=call_id, attempts=3)
    bad = Settled("custom", 1, 2, Outcome.REJECTED, "no such id", "row", call_id, 3)
    journal.settle(call_id, "judged", "one failed", (good, bad))
    journal.flush()

    assert ranges(history) == [
        ("custom", 0, 1, "succeeded", None, None, call_id, 3),
        ("custom", 1, 2, "rejected", "no such id", "row", call_id, 3),
    ]
    assert (history.calls.get(call_id).verdict, history.calls.get(call_id).reason) == ("judged", "one failed")


def test_a_call_to_be_tried_again_settles_no_row_and_leaves_none_in_doubt(history: History) -> None:
    journal = history.journal("run-1")
    journal.settle(journal.begin(request(0, 2), attempt=1), "try_again", "429")
    journal.flush()

    assert ranges(history) == []


def test_rows_that_were_never_sent_are_settled_without_a_call(history: History) -> None:
    journal = history.journal("run-1")
    journal.settle(None, "not_sent", None, (Settled("custom", 0, 9, Outcome.NOT_ATTEMPTED),))
    journal.flush()

    assert ranges(history) == [("custom", 0, 9, "not_attempted", None, None, None, 0)]


def test_what_is_noted_does_not_wait_and_the_next_begin_makes_it_durable(history: History) -> None:
    journal = history.journal("run-1")
    call_id = journal.begin(request(0, 1), attempt=1)
    journal.answer(call_id, OK)
    journal.settle(call_id, "judged")

    before = history.calls.get(call_id)
    journal.begin(request(1, 2), attempt=1)
    after = history.calls.get(call_id)

    assert (before.status, before.verdict) == (None, None)
    assert (after.status, after.verdict) == (200, "judged")


def test_a_journal_is_forgotten_and_its_calls_stay(history: History) -> None:
    for run_id in ("run-1", "run-2"):
        journal = history.journal(run_id)
        journal.begin(request(), attempt=1)
        journal.settle(None, "not_sent", None, (Settled("custom", 1, 2, Outcome.NOT_ATTEMPTED),))
        journal.flush()

    history.forget("run-1")

    assert ranges(history, "run-1") == []
    assert len(ranges(history, "run-2")) == 2
    assert history.calls.count("run-1") == 1


def test_call_ids_rise_over_all_runs(history: History) -> None:
    first, second = history.journal("run-1"), history.journal("run-2")

    assert [journal.begin(request(), attempt=1) for journal in (first, second, first)] == [1, 2, 3]


def test_threads_get_ids_of_their_own(history: History) -> None:
    journal = history.journal("run-1")
    ids: list[int] = []

    def work() -> None:
        for _ in range(50):
            call_id = journal.begin(request(), attempt=1)
            journal.settle(call_id, "judged")
            ids.append(call_id)

    run_threads(work, 8)
    journal.flush()

    assert sorted(ids) == list(range(1, 401))
    assert history.calls.count("run-1") == 400
    assert ranges(history) == []


def run_threads(work: Callable[[], None], count: int) -> None:
    """Nothing, after running it in so many threads at once."""
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Interrupted(Exception):
    """Something that is no error of the database."""


class Gate(Database):
    """A database whose next write waits at the gate; then it goes through, or fails."""

    def __init__(self, file: Path) -> None:
        super().__init__(file, writer=threading.Lock(), busy_timeout_s=1)
        self.arrived = threading.Event()
        self.opened = threading.Event()
        self.error: Exception | None = None
        self.writes = 0

    def write(self) -> Any:
        """The same as ever, behind the gate."""
        self.writes += 1
        self.arrived.set()
        self.opened.wait(10)
        if self.error is not None:
            raise self.error
        return super().write()


@pytest.fixture
def gate(history: History) -> Iterator[Gate]:
    """The history's own file, behind a gate."""
    gate = Gate(history.state_dir / "history.db")
    yield gate
    gate.close()


def begin_in_threads(journal: RunJournal, gate: Gate, count: int) -> tuple[list[int], list[str]]:
    """The ids and the errors of calls that began while the first of them was being written."""
    ids: list[int] = []
    slugs: list[str] = []

    def work() -> None:
        try:
            ids.append(journal.begin(request(), attempt=1))
        except StateError as error:
            slugs.append(error.problem.slug)
        except Interrupted:
            slugs.append("interrupted")

    threads = [threading.Thread(target=work) for _ in range(count)]
    threads[0].start()
    assert gate.arrived.wait(10)
    for thread in threads[1:]:
        thread.start()
    wait_for(lambda: journal.noted == count)
    gate.opened.set()
    for thread in threads:
        thread.join()
    return ids, slugs


def wait_for(condition: Callable[[], bool]) -> None:
    """Nothing, when it is so."""
    tick = threading.Event()
    for _ in range(1000):
        if condition():
            return
        tick.wait(0.01)
    pytest.fail("it did not come to that")


def test_calls_that_begin_during_a_commit_share_the_next_one(gate: Gate) -> None:
    journal = RunJournal(gate, "run-1", clock=FakeClock(), auth_header="x-key")

    ids, slugs = begin_in_threads(journal, gate, 8)

    assert (sorted(ids), slugs) == (list(range(1, 9)), [])
    assert gate.writes == 2


@pytest.mark.parametrize(
    ("error", "first", "others"),
    [
        (StateError("full", slug="state-disk-full"), "state-disk-full", "state-disk-full"),
        (Interrupted(), "interrupted", "journal-interrupted"),
    ],
)
def test_a_commit_that_fails_breaks_the_journal_for_every_thread(
    history: History, gate: Gate, error: Exception, first: str, others: str
) -> None:
    gate.error = error
    journal = RunJournal(gate, "run-1", clock=FakeClock(), auth_header="x-key")

    ids, slugs = begin_in_threads(journal, gate, 4)

    assert ids == []
    assert sorted(slugs) == sorted([first, others, others, others])
    later: list[Callable[[], object]] = [
        lambda: journal.begin(request(), attempt=1),
        lambda: journal.begin_all([request()]),
        lambda: journal.answer(1, OK),
        lambda: journal.settle(1, "judged"),
        journal.flush,
    ]
    for use in later:
        with pytest.raises(StateError) as refused:
            use()
        assert refused.value.problem.slug == others
    assert history.calls.count("run-1") == 0


# --- any interleaving equals a simple model --------------------------------------------------------------------------

ROUTES = [Route(name, frozenset(Change), Members(()), max_rows=9, max_bytes=9) for name in ("custom", "agent")]
ROWS = st.tuples(st.integers(0, 50), st.integers(1, 20)).map(lambda pair: (pair[0], pair[0] + pair[1]))
SETTLED = st.builds(
    lambda route, rows, outcome, reason, cause, attempts: Settled(
        route.name, rows[0], rows[1], outcome, reason, cause, None, attempts
    ),
    st.sampled_from(ROUTES),
    ROWS,
    st.sampled_from(Outcome),
    st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5),
    st.sampled_from([None, "row", "batch", "transient"]),
    st.integers(0, 9),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), st.sampled_from([None, *ROUTES]), ROWS, st.integers(1, 9)),
        st.tuples(st.just("answer"), st.integers(0, 9)),
        st.tuples(st.just("settle"), st.none() | st.integers(0, 9), st.lists(SETTLED, max_size=3)),
        st.tuples(st.just("flush")),
    ),
    max_size=30,
)


class Model:
    """The journal as two lists in memory."""

    def __init__(self) -> None:
        self.open: dict[int, Range] = {}
        self.done: list[Range] = []
        self.verdicts: dict[int, str] = {}
        self.statuses: dict[int, int] = {}
        self.ids: list[int] = []

    def step(self, journal: RunJournal, step: tuple[Any, ...]) -> None:
        """Do the step here and there."""
        match step:
            case ("begin", route, (first, stop), attempt):
                carried = request(None) if route is None else request(first, stop, route=route)
                call_id = journal.begin(carried, attempt=attempt)
                self.ids.append(call_id)
                if route is not None:
                    self.open[call_id] = (route.name, first, stop, None, None, None, call_id, attempt)
            case ("answer", index) if index < len(self.ids):
                status = 200 + len(self.statuses)
                journal.answer(self.ids[index], Reply(status, {}, b"", 1.0))
                self.statuses[self.ids[index]] = status
            case ("settle", index, settled) if index is None or index < len(self.ids):
                settled_id = None if index is None else self.ids[index]
                verdict = f"verdict-{len(self.done)}"
                journal.settle(settled_id, verdict, None, settled)
                if settled_id is not None:
                    self.open.pop(settled_id, None)
                    self.verdicts[settled_id] = verdict
                self.done += [
                    (s.route, s.first, s.stop, s.outcome.value, s.reason, s.cause, s.call_id, s.attempts)
                    for s in settled
                ]
            case _:
                journal.flush()


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_any_order_of_steps_leaves_what_a_simple_model_holds(steps: list[tuple[Any, ...]]) -> None:
    model = Model()
    with tempfile.TemporaryDirectory() as place, open_history(Path(place), clock=FakeClock()) as history:
        journal = history.journal("run-1")
        for step in steps:
            model.step(journal, step)
        journal.flush()

        assert ranges(history) == model.done + list(model.open.values())
        calls = history.calls.list("run-1")
        assert [call.id for call in calls] == model.ids
        assert {call.id: call.verdict for call in calls if call.verdict} == model.verdicts
        assert {call.id: call.status for call in calls if call.status} == model.statuses


def test_large_journals_are_read_in_columns(history: History) -> None:
    journal = history.journal("run-1")
    rows = tuple(Settled("custom", row, row + 1, Outcome.SUCCEEDED, attempts=1) for row in range(20_000))
    journal.settle(None, "judged", None, rows)
    journal.flush()

    table = history.ranges("run-1")

    assert table.column("first").to_pylist() == list(range(20_000))
